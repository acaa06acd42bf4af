"""Event files for TensorBoard, written without a second thread and without TensorFlow."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import final

import numpy as np
import yaml
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE
from tensorboard.plugins.histogram import metadata as histogram

from nnlab.logger import custom_scalars, hparams
from nnlab.logger.base import Histogram, Image, Logger, Media, Run
from nnlab.logger.event_file import EventFile, read_events
from nnlab.logger.hyperparameters import hyperparameters
from nnlab.logger.module_graph import module_graph
from nnlab.logger.text_summary import text_summary

FLUSH_EVERY_S = 2.0
#: the one written in C, where PyYAML has it
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
NUM_BUCKETS = 30  # as tensorboard's own histogram summary has


@final
class TensorBoard(Logger):
    """Writes scalars, histograms, pictures, the config, the settings and the model's graph for TensorBoard.

    The event file lies in the run's folder itself. Train and valid values of one metric share a chart on the Custom
    Scalars tab, and each has one that lays all runs over each other; the HParams tab has a row for the run. What an
    earlier process logged after the step that a resumed run goes on from is withdrawn (by a session start, TensorFlow's
    way), and what it logged until then is not logged again, so that no point is shown twice.
    """

    def __init__(self) -> None:
        self._run: Run | None = None
        self._events: EventFile | None = None
        self._there: set[tuple[int, str]] = set()
        self._layout_written = False
        self._last_step = 0

    def start(self, run: Run) -> None:
        """Make the event file; a fresh run's config, settings and graph are in it at once.

        A resumed run withdraws what the earlier process logged after the step that it goes on from, and logs again
        what of the evaluations until then did not reach the disk.
        """
        resumed_at = -1 if run.resumed_at is None else run.resumed_at
        self._there = {(step, tag) for step, tag in _logged(run.folder) if step <= resumed_at}
        self._run, self._events = run, EventFile(run.folder, FLUSH_EVERY_S)
        self._last_step = max(0, resumed_at)
        self._layout_written = self._has_logged(custom_scalars.TAG)
        self._open_session(step=resumed_at + 1)
        for step, scalars in run.history:
            self.scalars(step, scalars, time.time())
        self._events.flush()

    def sync(self) -> None:
        """Bring what was logged to the disk."""
        if self._events is not None:
            self._events.flush(durably=True)

    def scalars(self, step: int, values: Mapping[str, float], time_s: float) -> None:
        """Record named numbers at one step, as a single event; those that an earlier process recorded are left out."""
        self._last_step = max(self._last_step, step)
        new = values
        if self._there:
            new = {tag: value for tag, value in values.items() if (step, tag) not in self._there}
        # A trace's own numbers may come before the first evaluation, and have no charts of two lines.
        if not self._layout_written and any(tag.startswith(("train/", "valid/")) for tag in new):
            self._layout_written = True
            self._write_summary(step, [custom_scalars.run_layout(new)])
        if new:
            assert self._events is not None, "start() comes first"
            event = Event(wall_time=time_s, step=step)
            for tag, value in new.items():  # in place: a list of values would be copied twice
                event.summary.value.add(tag=tag, simple_value=value)
            self._events.write(event)

    def media(self, step: int, tag: str, item: Media) -> None:
        """Record a histogram (of the finite values) or a picture, unless an earlier process has."""
        if (step, tag) not in self._there:
            value = _histogram(tag, item.values) if isinstance(item, Histogram) else _image(tag, item)
            self._write_summary(step, [value])

    def end(self, status: str) -> None:
        """Record how the run ended, unless it can be resumed."""
        value = hparams.session_end(status, time.time())
        if value is not None and self._events is not None and not self._has_logged(hparams.END_TAG):
            self._write_summary(self._last_step, [value])

    def close(self) -> None:
        """Write what is still held back."""
        if self._events is not None:
            self._events.flush()

    def _write_summary(self, step: int, values: Iterable[Summary.Value]) -> None:
        assert self._events is not None, "start() comes first"
        self._events.write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def _open_session(self, step: int) -> None:
        """Withdraw everything logged at or after ``step``; say again what was withdrawn with it."""
        assert self._events is not None
        assert self._run is not None
        # TensorBoard's own loader ignores the first session start of a run (tensorflow/tensorboard#4763): a fresh run
        # needs one as well, or the one that a resumed run writes would be the first.
        session = SessionLog(status=SessionLog.START)
        self._events.write(Event(wall_time=time.time(), step=step, session_log=session))
        config = yaml.dump(dict(self._run.config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
        self._write_summary(step, [text_summary("config", config.splitlines())])
        if not self._has_logged(hparams.START_TAG):
            settings = hyperparameters(self._run.config)
            self._write_summary(step, [hparams.session_start(settings, time.time())])
        if step == 0:
            graph = module_graph(self._run.model)
            self._events.write(Event(wall_time=time.time(), graph_def=graph.SerializeToString()))

    def _has_logged(self, tag: str) -> bool:
        return any(found == tag for _, found in self._there)


def _logged(folder: Path) -> set[tuple[int, str]]:
    """The steps and tags of what is in a folder's event files and was not withdrawn."""
    found: set[tuple[int, str]] = set()
    for event in read_events(folder):
        if event.session_log.status == SessionLog.START:
            found = {(step, tag) for step, tag in found if step < event.step}
        found |= {(event.step, value.tag) for value in event.summary.value}
    return found


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
