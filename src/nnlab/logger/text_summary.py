"""Lines for TensorBoard's Text tab."""

from collections.abc import Iterable

from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.text import metadata


def text_summary(tag: str, lines: Iterable[str]) -> Summary.Value:
    """Text that is shown as it is: in Markdown, no indented line can end the block or become HTML.

    Args:
        tag: its name.
        lines: without line breaks.
    """
    about = metadata.create_summary_metadata(display_name=None, description=None)
    about.data_class = DATA_CLASS_TENSOR
    markdown = "\n".join(f"    {line}" for line in lines)
    return Summary.Value(tag=tag, metadata=about, tensor=TensorProto(dtype=DT_STRING, string_val=[markdown.encode()]))
