"""Many steps in one call of the C library, on rows that stay on disk."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, final

import torch
from torch import Tensor

from nnlab.native.program import NativeSteps, Rows
from nnlab.trainer.engine import Ahead, Engine, most_steps
from nnlab.trainer.record import EpochRecord
from nnlab.trainer.step import StepParts
from nnlab.trainer.stream_batches import StreamBatches, Window


@final
class NativeStream(Engine):
    """As ``Native``, window by window.

    Args:
        parts: what a step needs, for which ``nnlab.native.program.why_not`` knows no reason.
        batches: the training rows.
        accumulate_steps: batches whose gradients make one update.
        num_threads: that share the work.
    """

    name: ClassVar[str] = "native"
    plans_rates: ClassVar[bool] = True

    def __init__(self, parts: StepParts, batches: StreamBatches, accumulate_steps: int, num_threads: int) -> None:
        self._parts = parts
        self._batches = batches
        self._accumulate_steps = accumulate_steps
        self._num_threads = num_threads
        self._most = most_steps(parts, batches.step_rows)
        self._steps: NativeSteps | None = None
        self._windows: Iterator[Window] = iter(())
        self._window: Window | None = None
        self._record: EpochRecord | None = None
        self._rates: Sequence[float] = ()
        self._epoch = self._next = self._first = 0
        self._predictions: Tensor | None = None
        self._target: Tensor | None = None

    def start_epoch(self, ahead: Ahead) -> None:
        """See ``Engine``."""
        self._record, self._rates, self._epoch = ahead.record, ahead.rates, ahead.epoch
        self._first = self._next = ahead.first
        self._windows = self._batches.windows(ahead.epoch, ahead.first * self._batches.step_rows)
        self._window = None

    def steps(self, most: int) -> int:
        """See ``Engine``."""
        if self._window is None or self._next >= self._end():
            self._window = next(self._windows, None)
            if self._window is None:
                return 0
            self._enter(self._window)
        assert self._steps is not None
        first = self._next - self._begin()
        number = min(most, self._most, self._end() - self._next)
        losses = self._steps.run(first, number)
        rows = self._steps.rows_of(first, number)
        if self._record is not None:
            sizes = [self._batches.step_rows] * (number - 1)
            sizes.append(rows.stop - rows.start - sum(sizes))
            self._record.add_steps(losses, sizes)
            if self._predictions is not None and self._target is not None:
                # Copies: the next window takes their place.
                self._record.add_outputs([self._predictions[rows].clone()], [self._target[rows]])
        self._next += number
        return number

    def _begin(self) -> int:
        """The step of the epoch that the window begins with."""
        assert self._window is not None
        return self._window.spans.first // self._batches.step_rows

    def _end(self) -> int:
        """The step of the epoch behind the window."""
        assert self._window is not None
        return self._begin() + -(-self._window.spans.num_rows // self._batches.step_rows)

    def _enter(self, window: Window) -> None:
        """Tell the library of other rows."""
        rows = Rows(window.inputs, window.target, self._batches.batch_size, self._accumulate_steps)
        if self._steps is None:
            parts = self._parts
            self._steps = NativeSteps(
                parts.model, parts.objective, parts.optimizer, rows, parts.grad_clip_norm, self._num_threads
            )
        else:
            self._steps.show(rows)
        order = self._batches.order(window.spans, self._epoch)
        keeps = self._record is not None and self._record.keeps_outputs
        self._predictions = self._room() if keeps else None
        self._target = None
        if keeps:
            self._target = window.target.clone() if order is None else window.target.index_select(0, order)
        begin, end = self._begin(), self._end()
        rates = self._rates[max(begin, self._first) - self._first : end - self._first]
        self._steps.start_epoch(order, self._predictions, rates, max(0, self._first - begin))

    def _room(self) -> Tensor:
        if self._predictions is not None:
            return self._predictions
        linear = [p for p in self._parts.parameters if p.dim() == 2][-1]
        return torch.empty(self._batches.most_rows, len(linear), dtype=linear.dtype)
