"""The rows of a split on disk as the model sees them, read when they are wanted."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, final

import torch
from torch import Tensor

from nnlab.data.stream.stored import StoredRows
from nnlab.seeding import epoch_order, generator

#: a window, whose rows are shuffled as one, takes no more bytes than this ...
WINDOW_BYTES = 1 << 26
#: ... and has no more rows, since each run of a stack has an order of its own for them
WINDOW_ROWS = 1 << 19
#: the parts of a window, each of rows that lie behind one another on the disk
BLOCKS_OF_WINDOW = 64
#: rows that are made ready at a time: few enough to stay in the processor's cache
_ROWS_AT_ONCE = 1 << 13


class Spans(NamedTuple):
    """Where the rows of a window are on the disk.

    Args:
        number: of the window in its epoch, from 0.
        first: the number of its first row in the epoch.
        num_rows: R.
        parts: first row on disk and the one behind the last, one part behind the other.
        is_all: whether it is the only one.
    """

    number: int
    first: int
    num_rows: int
    parts: tuple[tuple[int, int], ...]
    is_all: bool

    def order(self, seed: int, epoch: int) -> Tensor:
        """The order in which a run goes through the rows, int64 [R].

        Args:
            seed: the run's.
            epoch: from 0.
        """
        if self.is_all:  # then they are trained on as rows in memory would be
            return epoch_order(seed, epoch, self.num_rows)
        return torch.randperm(self.num_rows, generator=generator(seed, "order", epoch, self.number))


@final
class Streamed:
    """A split on disk, for ``Trainer.fit`` and ``Trainer.evaluate``.

    Args:
        stored: its rows as the user knows them.
        ready: makes inputs [M, F] and target [M, …] what the model sees.
        seed: of the order in which blocks are read: the data's, so that runs of several seeds can share the reading.
        window_rows: rows that are shuffled as one, at most; None for a rule on bytes.
    """

    def __init__(
        self,
        stored: StoredRows,
        ready: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        seed: int,
        window_rows: int | None = None,
    ) -> None:
        self.stored = stored
        self.seed = seed
        self._ready = ready
        #: the first two rows, or the only one
        self.first = self.read(0, min(2, len(self)))
        row_bytes = sum(tensor[0].numel() * tensor.element_size() for tensor in self.first)
        self.window_rows = window_rows or min(WINDOW_ROWS, max(1, WINDOW_BYTES // row_bytes))

    def __len__(self) -> int:
        return self.stored.num_rows

    def read(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Some rows as the model sees them.

        Args:
            start: the first.
            stop: the one behind the last.

        Returns:
            Inputs [M, F'] and target [M, …], on the CPU.

        Raises:
            OSError: if they cannot be read.
        """
        return self._ready(*self.stored.read(start, stop))

    def fill(self, spans: Spans, inputs: Tensor, target: Tensor) -> None:
        """Read a window.

        Args:
            spans: where its rows are.
            inputs: where they go, [R, F'].
            target: likewise, [R, …].

        Raises:
            OSError: if they cannot be read.
        """
        place = 0
        for start, stop in spans.parts:
            for first in range(start, stop, _ROWS_AT_ONCE):
                rows = self.read(first, min(first + _ROWS_AT_ONCE, stop))
                end = place + len(rows[0])
                inputs[place:end], target[place:end] = rows
                place = end

    def blocks(self, num_rows: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows in the order of the disk, the next ones read by a thread while some are looked at.

        Args:
            num_rows: in a block; the last one holds the rest.

        Yields:
            Inputs and target, on the CPU, in memory that the next block but one is read into.

        Raises:
            OSError: if they cannot be read.
        """
        edges = [(start, min(start + num_rows, len(self))) for start in range(0, len(self), num_rows)]
        most = min(num_rows, len(self))
        rooms = [tuple(first.new_empty(most, *first.shape[1:]) for first in self.first) for _ in edges[:2]]

        def read(number: int) -> tuple[Tensor, Tensor]:
            start, stop = edges[number]
            inputs, target = (room[: stop - start] for room in rooms[number % 2])
            self.fill(Spans(0, start, stop - start, (edges[number],), is_all=False), inputs, target)
            return inputs, target

        with ThreadPoolExecutor(1, "nnlab-reader") as reader:
            ahead = reader.submit(read, 0)
            for number in range(1, len(edges)):
                block = ahead.result()
                ahead = reader.submit(read, number)
                yield block
            block = ahead.result()
        yield block

    def windows(self, epoch: int, step_rows: int, shuffle: bool) -> list[Spans]:
        """The windows of an epoch, in order; each holds whole steps, but for the last one.

        Blocks of neighbouring rows are taken in an order that is a function of the data's seed and the epoch, with
        another beginning in each epoch, so that not always the same rows are neighbours. What no block has room for is
        part of the last window.

        Args:
            epoch: from 0.
            step_rows: rows of a step.
            shuffle: False for the order of the disk.
        """
        num_rows = len(self)
        block = max(1, self.window_rows // BLOCKS_OF_WINDOW // step_rows) * step_rows
        blocks_of_window = max(1, self.window_rows // block)
        if num_rows <= blocks_of_window * block:
            return [Spans(0, 0, num_rows, ((0, num_rows),), is_all=True)]
        num_blocks = num_rows // block
        numbers, begin = list(range(num_blocks)), 0
        if shuffle:
            stream = generator(self.seed, "blocks", epoch)
            numbers = torch.randperm(num_blocks, generator=stream).tolist()
            begin = int(torch.randint(num_rows, (), generator=stream))
        spans, first = list[Spans](), 0
        for start in range(0, num_blocks, blocks_of_window):
            own = numbers[start : start + blocks_of_window]
            ring = [(begin + number * block, block) for number in own]
            if start + blocks_of_window >= num_blocks:
                ring.append((begin + num_blocks * block, num_rows - num_blocks * block))
            parts = tuple(part for place, size in ring for part in _on_disk(place % num_rows, size, num_rows))
            size = sum(stop - start for start, stop in parts)
            spans.append(Spans(len(spans), first, size, parts, is_all=False))
            first += size
        return spans


def _on_disk(place: int, size: int, num_rows: int) -> Iterator[tuple[int, int]]:
    """Rows of a ring as they lie on the disk: behind the last one comes the first."""
    end = place + size
    if size:
        yield place, min(end, num_rows)
    if end > num_rows:
        yield 0, end - num_rows
