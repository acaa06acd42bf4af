"""Feeding a training with rows that stay on disk: window by window, the next one read while this one is trained on."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, final

import torch
from torch import Tensor

from nnlab.data.stream.streamed import Spans, Streamed
from nnlab.trainer.batches import Batch, Batches, place


class Window(NamedTuple):
    """Rows that are in memory now, until the next but one is asked for.

    Args:
        spans: which they are.
        inputs: [R, F], on the device.
        target: [R, …], on the device.
    """

    spans: Spans
    inputs: Tensor
    target: Tensor


@final
class StreamBatches(Batches):
    """Rows on disk, in windows of whole steps.

    Args:
        rows: the training rows.
        batch_size: rows in a batch; the last one of an epoch holds the rest.
        accumulate_steps: batches of a step.
        shuffle: whether each epoch has an order of its own, a function of (data seed, seed, epoch) and the batch size.
        seed: of the order inside windows.
        device: where the batches are moved.
        dtype: of the inputs, and of a target that is no class codes.
    """

    repeatable = True

    def __init__(
        self,
        rows: Streamed,
        batch_size: int,
        accumulate_steps: int,
        shuffle: bool,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.step_rows = batch_size * accumulate_steps
        self.shuffle = shuffle
        self.seed = seed
        self.device = device
        self.dtype = dtype
        self.num_batches = -(-len(rows) // batch_size)
        #: rows of the largest window, in any epoch
        self.most_rows = max(spans.num_rows for spans in rows.windows(0, self.step_rows, shuffle))
        self._room: list[tuple[Tensor, Tensor]] = []
        self._held: Window | None = None

    @property
    def first_rows(self) -> tuple[Tensor, Tensor]:
        """Inputs and target of the first two rows, or of the only one, on the device."""
        inputs, target = (place(tensor, self.device, self.dtype) for tensor in self.rows.first)
        return inputs, target

    @property
    def smallest(self) -> int:
        """The rows of the smallest batch."""
        return len(self.rows) % self.batch_size or min(self.batch_size, len(self.rows))

    @property
    def about(self) -> tuple[object, ...]:
        """What runs must have in common to be fed together, beside the epoch that they are in."""
        return self.rows.stored, self.rows.window_rows, self.step_rows, self.batch_size, self.shuffle, self.dtype

    def windows(self, epoch: int, first_row: int = 0) -> Iterator[Window]:
        """The windows of an epoch; of those before a row nothing is read.

        Args:
            epoch: from 0.
            first_row: the number in the epoch of the first row that is wanted.

        Raises:
            OSError: if they cannot be read.
        """
        spans = self.rows.windows(epoch, self.step_rows, self.shuffle)
        spans = [one for one in spans if one.first + one.num_rows > first_row]
        if len(spans) == 1 and spans[0].is_all:  # there is room for all rows, which are read once
            self._held = self._held or self._on_device(self._read(spans[0], 0))
            yield self._held
            return
        with ThreadPoolExecutor(1, "nnlab-reader") as reader:
            ahead: Future[Window] = reader.submit(self._read, spans[0], 0)
            for number in range(1, len(spans)):
                window = ahead.result()
                ahead = reader.submit(self._read, spans[number], number % 2)
                yield self._on_device(window)
            window = ahead.result()
        yield self._on_device(window)  # with nothing left to read, there is no thread any more

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """See ``Batches``; those before the first that is wanted are passed over unread.

        Args:
            epoch: from 0.
            first: the number of the first batch that is wanted.
        """
        first_row = first * self.batch_size
        for window in self.windows(epoch, first_row):
            order = self.order(window.spans, epoch)
            for start in range(max(0, first_row - window.spans.first), window.spans.num_rows, self.batch_size):
                stop = min(start + self.batch_size, window.spans.num_rows)
                if order is None:  # copies: what is kept of a batch must outlast its window
                    yield Batch(window.inputs[start:stop].clone(), window.target[start:stop].clone())
                else:
                    rows = order[start:stop]
                    yield Batch(window.inputs.index_select(0, rows), window.target.index_select(0, rows))

    def order(self, spans: Spans, epoch: int) -> Tensor | None:
        """The order of the rows of a window, int64 [R] on the device; None for the one they have.

        Args:
            spans: of the window.
            epoch: from 0.
        """
        return spans.order(self.seed, epoch).to(self.device) if self.shuffle else None

    def _read(self, spans: Spans, place: int) -> Window:
        """Fill one of two rooms; for the reader's thread."""
        if len(self._room) <= place:
            self._room.append(self._new_room())
        inputs, target = (tensor[: spans.num_rows] for tensor in self._room[place])
        self.rows.fill(spans, inputs, target)
        return Window(spans, inputs, target)

    def _new_room(self) -> tuple[Tensor, Tensor]:
        inputs, target = self.rows.first
        is_pinned = self.device.type == "cuda"
        dtype = self.dtype if target.is_floating_point() else target.dtype
        return (
            torch.empty(self.most_rows, *inputs.shape[1:], dtype=self.dtype, pin_memory=is_pinned),
            torch.empty(self.most_rows, *target.shape[1:], dtype=dtype, pin_memory=is_pinned),
        )

    def _on_device(self, window: Window) -> Window:
        if self.device.type == "cpu":
            return window
        return Window(window.spans, window.inputs.to(self.device), window.target.to(self.device))
