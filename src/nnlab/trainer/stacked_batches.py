"""Feeding a stack: each run's own rows in each run's own order, gathered for all of them at once."""

from collections.abc import Iterator, Sequence
from typing import final

import torch
from torch import Tensor

from nnlab.data.stream.streamed import Spans
from nnlab.seeding import epoch_order
from nnlab.trainer.batches import Batch, TensorBatches
from nnlab.trainer.stream_batches import StreamBatches


@final
class StackedBatches:
    """The training rows of K runs, an epoch at a time.

    Runs on the same rows share one copy of them.

    Args:
        sources: each run's batches; equal in the shapes of their rows and in the batch size.
    """

    def __init__(self, sources: Sequence[TensorBatches]) -> None:
        self.sources = list(sources)
        self.sizes = [len(view.inputs) for view in sources[0].epoch_views]
        self.inputs, self.target, self._first_rows = shared_rows([(s.inputs, s.target) for s in sources])

    def epoch(self, epochs: Sequence[int]) -> list[Batch]:
        """The batches of one epoch, inputs [K, B, F] and target [K, B, …].

        Args:
            epochs: its number for each run, from 0.
        """
        runs = [(first, s.shuffle, s.seed, epoch) for first, s, epoch in self._of_runs(epochs)]
        orders = {run: self._order(*run) for run in dict.fromkeys(runs)}
        # Runs that all go through the same rows in the same order read one batch.
        rows = torch.stack(list(orders.values()) if len(orders) == 1 else [orders[run] for run in runs])
        device, num_runs, size = self.inputs.device, len(rows), self.sizes[0]
        num_whole = sum(length == size for length in self.sizes)
        whole, rest = rows[:, : num_whole * size], rows[:, num_whole * size :]
        # Step by step, so that a batch is one piece of memory.
        index = whole.view(num_runs, num_whole, size).transpose(0, 1).reshape(-1).to(device)
        pairs = list(
            zip(*(tensor.unbind() for tensor in self._gathered(index, (num_whole, num_runs, size))), strict=True)
        )
        if rest.numel():
            pairs.append(self._gathered(rest.reshape(-1).to(device), (num_runs, rest.shape[1])))
        width = len(self.sources)
        return [Batch(*(t.expand(width, *t.shape[1:]) for t in pair)) for pair in pairs]

    def _gathered(self, index: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        return gathered(self.inputs, self.target, index, shape)

    def _of_runs(self, epochs: Sequence[int]) -> list[tuple[int, TensorBatches, int]]:
        return list(zip(self._first_rows, self.sources, epochs, strict=True))

    def _order(self, first: int, shuffle: bool, seed: int, epoch: int) -> Tensor:
        num_rows = sum(self.sizes)
        order = epoch_order(seed, epoch, num_rows) if shuffle else torch.arange(num_rows)
        return order.add_(first) if first else order


@final
class StackedStream:
    """The training rows of K runs that stay on disk: read once, in windows, for all of them.

    Args:
        sources: each run's batches, equal in ``StreamBatches.about``.
    """

    def __init__(self, sources: Sequence[StreamBatches]) -> None:
        self.sources = list(sources)

    def epoch(self, epoch: int, first: int) -> Iterator[Batch]:
        """The batches of one epoch, inputs [K, B, F] and target [K, B, …].

        Args:
            epoch: its number, from 0, the same for all.
            first: the number of the first batch that is wanted.
        """
        source, width = self.sources[0], len(self.sources)
        size, first_row = source.batch_size, first * source.batch_size
        seeds = list(dict.fromkeys(own.seed for own in self.sources))
        places = torch.tensor([seeds.index(own.seed) for own in self.sources])
        for window in source.windows(epoch, first_row):
            spans = window.spans
            orders = self._orders(spans, seeds, epoch)
            for start in range(max(0, first_row - spans.first), spans.num_rows, size):
                rows = orders[:, start : start + size]
                rows = rows if len(rows) == 1 else rows[places]
                index = rows.reshape(-1).to(source.device)
                pair = gathered(window.inputs, window.target, index, tuple(rows.shape))
                yield Batch(*(tensor.expand(width, *tensor.shape[1:]) for tensor in pair))

    def _orders(self, spans: Spans, seeds: Sequence[int], epoch: int) -> Tensor:
        """The order of each seed, in 32 bits: there is one of every row for every seed."""
        if not self.sources[0].shuffle:
            return torch.arange(spans.num_rows, dtype=torch.int32).unsqueeze(0)
        return torch.stack([spans.order(seed, epoch).int() for seed in seeds])


def gathered(inputs: Tensor, target: Tensor, index: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Some rows; the inputs lie feature by feature in memory, as ``StackedLinear`` wants them.

    Args:
        inputs: [N, F].
        target: [N, …].
        index: numbers of rows.
        shape: in which they are given back.
    """
    inputs, target = (tensor.index_select(0, index).view(*shape, *tensor.shape[1:]) for tensor in (inputs, target))
    return inputs.mT.contiguous().mT, target


def shared_rows(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, list[int]]:
    """Rows of several runs without copies of those that are the same tensors.

    Args:
        pairs: each run's inputs [N, F] and target [N, …].

    Returns:
        All distinct inputs [D N, F] and targets [D N, …], and the number of each run's first row in them.
    """
    distinct: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    first_rows: list[int] = []
    places: dict[tuple[int, int], int] = {}
    for inputs, target in pairs:
        key = (inputs.data_ptr(), target.data_ptr())
        if key not in distinct:
            places[key] = len(inputs) * len(distinct)
            distinct[key] = (inputs, target)
        first_rows.append(places[key])
    if len(distinct) == 1:
        return (*pairs[0], first_rows)
    inputs, target = (torch.cat([pair[side] for pair in distinct.values()]) for side in (0, 1))
    return inputs, target, first_rows


def by_run(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """A split of several runs with a leading run axis; one that all share is not copied.

    Args:
        pairs: each run's inputs [N, F] and target [N, …].

    Returns:
        Inputs [K, N, F] and target [K, N, …].
    """
    inputs, target, first_rows = shared_rows(pairs)
    num_rows = len(pairs[0][0])
    if len(inputs) == num_rows:
        return tuple(t.expand(len(pairs), *t.shape) for t in (inputs, target))  # type: ignore[return-value]
    which = torch.tensor(first_rows, device=inputs.device) // num_rows
    return tuple(t.view(-1, num_rows, *t.shape[1:]).index_select(0, which) for t in (inputs, target))  # type: ignore[return-value]
