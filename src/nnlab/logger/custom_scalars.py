"""What TensorBoard's Custom Scalars tab reads: which curves share a chart."""

import re
from collections.abc import Iterable, Mapping, Sequence

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import metadata
from tensorboard.plugins.custom_scalar.layout_pb2 import (
    Category,
    Chart,
    Layout,
    MarginChartContent,
    MultilineChartContent,
)

TAG = metadata.CONFIG_SUMMARY_TAG

#: what the three curves of a group are called, below their metric
MEAN, LOWER, UPPER = "mean", "lower", "upper"


def run_layout(tags: Iterable[str]) -> Summary.Value:
    """The charts of a run: the two splits of a metric together, and each curve by itself, to lay runs side by side.

    Every chart shows all the runs that are ticked. Of the layouts of several runs TensorBoard shows the union.

    Args:
        tags: of the run's scalars; those of ``train/`` and ``valid/`` count.
    """
    metrics: dict[str, list[str]] = {}
    for tag in tags:
        split, _, metric = tag.partition("/")
        if split in ("train", "valid"):
            metrics.setdefault(metric, []).append(tag)
    alone = [f"{split}/{metric}" for split in ("valid", "train") for metric in metrics]
    present = {tag for both in metrics.values() for tag in both}
    return _layout(
        {
            "train and valid": [_lines(metric, both) for metric, both in metrics.items()],
            "all runs": [_lines(tag, [tag]) for tag in alone if tag in present],
        }
    )


def group_layout(metrics: Sequence[str]) -> Summary.Value:
    """The charts of a group: for each metric the mean with its band, all groups overlaid.

    Args:
        metrics: such as ``valid/loss``.
    """
    return _layout({"groups: mean and 95 % interval": [_margin(metric) for metric in metrics]})


def _lines(title: str, tags: Sequence[str]) -> Chart:
    return Chart(title=title, multiline=MultilineChartContent(tag=[f"^{re.escape(tag)}$" for tag in tags]))


def _margin(metric: str) -> Chart:
    value, lower, upper = (f"{metric}/{name}" for name in (MEAN, LOWER, UPPER))
    series = MarginChartContent.Series(value=value, lower=lower, upper=upper)
    return Chart(title=metric, margin=MarginChartContent(series=[series]))


def _layout(charts: Mapping[str, Sequence[Chart]]) -> Summary.Value:
    layout = Layout(category=[Category(title=title, chart=inside) for title, inside in charts.items()])
    return Summary.Value(
        tag=TAG,
        metadata=metadata.create_summary_metadata(),
        tensor=TensorProto(dtype=DT_STRING, string_val=[layout.SerializeToString()]),
    )
