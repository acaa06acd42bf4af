"""Feeding a stack: each run's own rows in each run's own order, gathered for all of them at once."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from nnlab.seeding import epoch_order
from nnlab.trainer.batches import Batch, TensorBatches


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
        """Some rows in this shape; the inputs lie feature by feature in memory, as ``StackedLinear`` wants them."""
        inputs, target = (t.index_select(0, index).view(*shape, *t.shape[1:]) for t in (self.inputs, self.target))
        return inputs.mT.contiguous().mT, target

    def _of_runs(self, epochs: Sequence[int]) -> list[tuple[int, TensorBatches, int]]:
        return list(zip(self._first_rows, self.sources, epochs, strict=True))

    def _order(self, first: int, shuffle: bool, seed: int, epoch: int) -> Tensor:
        num_rows = sum(self.sizes)
        order = epoch_order(seed, epoch, num_rows) if shuffle else torch.arange(num_rows)
        return order.add_(first) if first else order


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
