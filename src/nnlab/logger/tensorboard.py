"""Event files for TensorBoard, written without a second thread and without TensorFlow."""

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, final

import numpy as np
import yaml
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_STRING
from tensorboard.plugins.custom_scalar import metadata as custom_scalar
from tensorboard.plugins.custom_scalar.layout_pb2 import Category, Chart, Layout, MultilineChartContent
from tensorboard.plugins.histogram import metadata as histogram
from tensorboard.plugins.text import metadata as text

from nnlab.logger.base import Histogram, Image, Logger, Media, Run
from nnlab.logger.event_file import EventFile, read_events
from nnlab.logger.module_graph import module_graph

FLUSH_EVERY_S = 2.0
NUM_BUCKETS = 30  # as tensorboard's own histogram summary has


@final
class TensorBoard(Logger):
    """Writes scalars, histograms, pictures, the config and the model's graph for TensorBoard.

    The event file lies in the run's folder itself. Train and valid values of one metric share a chart on the Custom
    Scalars tab. What an earlier process logged after the step that a resumed run goes on from is withdrawn (by a
    session start, TensorFlow's way), so that no point is shown twice.
    """

    def __init__(self) -> None:
        self._run: Run | None = None
        self._events: EventFile | None = None
        self._layout_written = False

    def start(self, run: Run) -> None:
        """Make the event file; a fresh run's config and graph are in it at once.

        A resumed run withdraws what the earlier process logged after the step that it goes on from, and logs again
        what of the evaluations until then did not reach the disk.
        """
        there = {event.step for event in read_events(run.folder) if _has_scalars(event)} if run.history else set()
        self._run, self._events = run, EventFile(run.folder, FLUSH_EVERY_S)
        self._layout_written = False
        self._open_session(step=0 if run.resumed_at is None else run.resumed_at + 1)
        for step, scalars in run.history:
            if step not in there:
                self.scalars(step, scalars, time.time())
        self._events.flush()

    def sync(self) -> None:
        """Bring what was logged to the disk."""
        if self._events is not None:
            self._events.flush(durably=True)

    def scalars(self, step: int, values: Mapping[str, float], time_s: float) -> None:
        """Record named numbers at one step, as a single event."""
        # A trace's own numbers may come before the first evaluation, and have no charts of two lines.
        if not self._layout_written and any(tag.startswith(("train/", "valid/")) for tag in values):
            self._layout_written = True
            self._write_summary(step, [_layout(values)])
        self._write_summary(step, [Summary.Value(tag=tag, simple_value=x) for tag, x in values.items()], time_s)

    def media(self, step: int, tag: str, item: Media) -> None:
        """Record a histogram (of the finite values) or a picture."""
        self._write_summary(step, [_histogram(tag, item.values) if isinstance(item, Histogram) else _image(tag, item)])

    def close(self) -> None:
        """Write what is still held back."""
        if self._events is not None:
            self._events.flush()

    def _write_summary(self, step: int, values: Iterable[Summary.Value], time_s: float | None = None) -> None:
        assert self._events is not None, "start() comes first"
        moment = time.time() if time_s is None else time_s
        self._events.write(Event(wall_time=moment, step=step, summary=Summary(value=values)))

    def _open_session(self, step: int) -> None:
        """Withdraw everything logged at or after ``step``; say again what was withdrawn with it."""
        assert self._events is not None
        assert self._run is not None
        # TensorBoard's own loader ignores the first session start of a run (tensorflow/tensorboard#4763): a fresh run
        # needs one as well, or the one that a resumed run writes would be the first.
        session = SessionLog(status=SessionLog.START)
        self._events.write(Event(wall_time=time.time(), step=step, session_log=session))
        self._write_summary(step, [_config(self._run.config)])
        if step == 0:
            graph = module_graph(self._run.model)
            self._events.write(Event(wall_time=time.time(), graph_def=graph.SerializeToString()))


def _has_scalars(event: Event) -> bool:
    return any(value.tag == "train/loss" for value in event.summary.value)


def _layout(tags: Iterable[str]) -> Summary.Value:
    """Custom Scalars: a chart for each metric, its train and valid values together."""
    charts: dict[str, list[str]] = {}
    for tag in tags:
        split, _, metric = tag.partition("/")
        if split in ("train", "valid"):
            charts.setdefault(metric, []).append(f"^{re.escape(tag)}$")
    chart = [Chart(title=metric, multiline=MultilineChartContent(tag=lines)) for metric, lines in charts.items()]
    layout = Layout(category=[Category(title="train and valid", chart=chart)])
    return Summary.Value(
        tag=custom_scalar.CONFIG_SUMMARY_TAG,
        metadata=custom_scalar.create_summary_metadata(),
        tensor=TensorProto(dtype=DT_STRING, string_val=[layout.SerializeToString()]),
    )


def _config(config: Mapping[str, Any]) -> Summary.Value:
    """The config as YAML. Markdown shows indented lines as they are: no value can end the block or become HTML."""
    lines = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True).splitlines()
    metadata = text.create_summary_metadata(display_name=None, description=None)
    metadata.data_class = DATA_CLASS_TENSOR
    markdown = "\n".join(f"    {line}" for line in lines)
    return Summary.Value(
        tag="config", metadata=metadata, tensor=TensorProto(dtype=DT_STRING, string_val=[markdown.encode()])
    )


def _histogram(tag: str, values: np.ndarray) -> Summary.Value:
    metadata: SummaryMetadata = histogram.create_summary_metadata(display_name=None, description=None)
    metadata.data_class = DATA_CLASS_TENSOR
    rows = buckets(values)
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in rows.shape])
    content = rows.astype("<f8").tobytes()
    return Summary.Value(
        tag=tag, metadata=metadata, tensor=TensorProto(dtype=DT_DOUBLE, tensor_shape=shape, tensor_content=content)
    )


def buckets(values: np.ndarray) -> np.ndarray:
    """The histogram that TensorBoard stores.

    Args:
        values: any shape; NaN and infinities are left out.

    Returns:
        Rows of left edge, right edge and count, shape [30, 3]. Without values all are zero; equal values are all in
        the last bucket, and every edge is that value, as tensorboard.plugins.histogram.summary_v2 has it.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if finite.size == 0:
        return np.zeros((NUM_BUCKETS, 3))
    low, high = finite.min(), finite.max()
    edges, counts = np.linspace(low, high, NUM_BUCKETS + 1), np.zeros(NUM_BUCKETS)
    if edges[0] == edges[1]:
        counts[-1] = finite.size
    else:
        index = ((finite - low) / (edges[1] - low)).astype(np.int64)
        counts = np.bincount(index.clip(max=NUM_BUCKETS - 1), minlength=NUM_BUCKETS).astype(np.float64)
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def _image(tag: str, image: Image) -> Summary.Value:
    picture = Summary.Image(width=image.width, height=image.height, colorspace=4, encoded_image_string=image.png)
    return Summary.Value(tag=tag, image=picture)
