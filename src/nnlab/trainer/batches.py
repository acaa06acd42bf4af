"""Feeding a training: whole epochs of batches, with nothing done per sample in Python."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, default_collate

from nnlab.data.stream.streamed import Streamed
from nnlab.seeding import epoch_order

Data = tuple[Tensor, Tensor] | TensorDataset | DataLoader[tuple[Tensor, ...]] | Streamed


class Batch(NamedTuple):
    """Rows to train on: inputs [B, F] and target [B, …], on the device."""

    inputs: Tensor
    target: Tensor


class Batches(ABC):
    """The training rows, an epoch at a time."""

    #: batches in an epoch
    num_batches: int
    #: whether an epoch can be gone through a second time in the same order
    repeatable: bool

    @abstractmethod
    def epoch(self, epoch: int) -> Iterable[Batch]:
        """The batches of one epoch.

        Args:
            epoch: its number, from 0.
        """


@final
class TensorBatches(Batches):
    """Tensors that rest on the device: permuted once an epoch into a buffer whose slices are the batches.

    Args:
        inputs: shape [N, F], on the device.
        target: shape [N, …], on the device.
        batch_size: rows in a batch; the last one holds the rest.
        shuffle: whether each epoch has an order of its own, a function of (seed, epoch) alone.
        seed: of the orders.
    """

    repeatable = True

    def __init__(self, inputs: Tensor, target: Tensor, batch_size: int, shuffle: bool, seed: int) -> None:
        self.inputs = inputs
        self.target = target
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self._epoch_inputs = torch.empty_like(inputs) if shuffle else inputs
        self._epoch_target = torch.empty_like(target) if shuffle else target
        #: the batches of every epoch: parts of the buffer that ``epoch`` fills
        self.epoch_views = [
            Batch(*pair)
            for pair in zip(
                torch.split(self._epoch_inputs, batch_size), torch.split(self._epoch_target, batch_size), strict=True
            )
        ]
        self.num_batches = len(self.epoch_views)

    @property
    def first_rows(self) -> tuple[Tensor, Tensor]:
        """Inputs and target of the first two rows, or of the only one, on the device."""
        return self.inputs[:2], self.target[:2]

    @property
    def smallest(self) -> int:
        """The rows of the smallest batch."""
        return min(len(view.inputs) for view in self.epoch_views)

    @property
    def about(self) -> tuple[object, ...]:
        """What runs must have in common to be fed together."""
        sizes = [len(view.inputs) for view in self.epoch_views]
        return self.inputs.shape, self.inputs.dtype, str(self.inputs.device), self.target.shape, sizes

    def epoch(self, epoch: int) -> list[Batch]:
        """See ``Batches``."""
        order = self.order(epoch)
        if order is not None:
            torch.index_select(self.inputs, 0, order, out=self._epoch_inputs)
            self.target_in(order)
        return self.epoch_views

    def order(self, epoch: int) -> Tensor | None:
        """The numbers of the rows in the order of an epoch, int64 [N] on the device; None for the order they have.

        Args:
            epoch: its number, from 0.
        """
        return epoch_order(self.seed, epoch, len(self.inputs)).to(self.inputs.device) if self.shuffle else None

    def target_in(self, order: Tensor | None) -> Tensor:
        """The target in an order, [N, …], in a buffer that the next order overwrites.

        Args:
            order: from ``order``.
        """
        if order is None:
            return self.target
        return torch.index_select(self.target, 0, order, out=self._epoch_target)


@final
class LoaderBatches(Batches):
    """A DataLoader of the user's, in the order that it gives.

    Args:
        loader: yields (inputs, target) pairs; its length must be known.
        device: where the batches are moved.
        dtype: of floating-point tensors.

    Raises:
        ValueError: if the loader has no length.
    """

    repeatable = False

    def __init__(self, loader: DataLoader[tuple[Tensor, ...]], device: torch.device, dtype: torch.dtype) -> None:
        try:
            self.num_batches = len(loader)
        except TypeError:
            raise ValueError("train: expected a DataLoader whose length is known, found one over a stream") from None
        self.loader = loader
        self.device = device
        self.dtype = dtype

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """See ``Batches``."""
        del epoch
        for pair in self.loader:
            yield Batch(*(place(tensor, self.device, self.dtype) for tensor in pair))


@final
class FixedBatches(Batches):
    """A few batches, the same in every epoch.

    Args:
        batches: on the device.
    """

    repeatable = True

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = list(batches)
        self.num_batches = len(self._batches)
        self.num_rows = sum(len(batch.inputs) for batch in self._batches)

    def epoch(self, epoch: int) -> list[Batch]:
        """See ``Batches``."""
        del epoch
        return self._batches


def updates(batches: Iterable[Batch], accumulate_steps: int) -> Iterator[list[Batch]]:
    """Batches in groups of ``accumulate_steps``, one group an update; the last group holds the rest."""
    iterator = iter(batches)
    while group := list(islice(iterator, accumulate_steps)):
        yield group


def place(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A tensor on a device; floating-point numbers in a dtype, class codes as they are."""
    if tensor.is_floating_point():
        return tensor.to(device, dtype, non_blocking=True)
    return tensor.to(device, non_blocking=True)


def tensors_of(data: Data) -> tuple[Tensor, Tensor]:
    """Inputs and target of a whole data set, loaders and rows on disk gathered.

    Args:
        data: a pair of tensors, a TensorDataset of two tensors, a DataLoader of such pairs, or rows on disk.

    Returns:
        Inputs [N, F] and target [N, …].

    Raises:
        ValueError: for anything else, for unequal lengths, or for no rows.
    """
    if isinstance(data, Streamed):
        inputs, target = data.read(0, len(data))
    elif isinstance(data, DataLoader):
        pairs = list(data)
        inputs, target = (torch.cat([pair[side] for pair in pairs]) for side in (0, 1))
    else:
        parts = data.tensors if isinstance(data, TensorDataset) else data
        if not (isinstance(parts, tuple | list) and len(parts) == 2 and all(isinstance(p, Tensor) for p in parts)):
            raise ValueError("data: expected (inputs, target) tensors, a TensorDataset of two tensors or a DataLoader")
        inputs, target = parts
    if len(inputs) != len(target):
        raise ValueError(f"data: {len(inputs)} rows of inputs but {len(target)} targets{_transposed(inputs, target)}")
    if len(inputs) == 0:
        raise ValueError("data: expected at least one row, found none")
    return inputs, target


def stacked_inputs(loader: DataLoader[tuple[Tensor, ...]]) -> Tensor | None:
    """The inputs [N, F] that a loader takes its rows from, where they can be had without drawing a batch."""
    dataset = loader.dataset
    if isinstance(dataset, TensorDataset) and loader.collate_fn is default_collate:
        return dataset.tensors[0]
    return None


def _transposed(inputs: Tensor, target: Tensor) -> str:
    """Which of two tensors with unequal numbers of rows may lie on its side."""
    pairs = (("inputs", inputs, len(target)), ("target", target, len(inputs)))
    fitting = [
        f"{name}.T with shape {list(tensor.T.shape)}"
        for name, tensor, num_rows in pairs
        if tensor.dim() == 2 and tensor.shape[1] == num_rows
    ]
    return f"; {' or '.join(fitting)} would fit" if fitting else ""
