"""What the steps of one epoch of a stack leave behind."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from nnlab.trainer.batches import Batch
from nnlab.trainer.record import EpochRecord


@final
class StackRecord:
    """Losses, outputs and targets of the steps of an epoch, for all runs at once, until a run's own record needs them.

    Args:
        keeps_outputs: whether metrics over the training split will be asked for.
    """

    def __init__(self, keeps_outputs: bool) -> None:
        self.keeps_outputs = keeps_outputs
        #: the rows of each update
        self.sizes: list[int] = []
        self._losses: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._by_row: list[list[float]] = []
        self._finite: list[bool] = []
        self._given: dict[int, int] = {}
        self._given_outputs: dict[int, int] = {}

    def add(self, values: Tensor, predictions: Sequence[Tensor], batches: Sequence[Batch]) -> None:
        """Keep what a step gave.

        Args:
            values: the objectives before the update, shape [K].
            predictions: for each batch, shape [K, B, O].
            batches: what was trained on.
        """
        self._losses.append(values)
        self.sizes.append(sum(prediction.shape[1] for prediction in predictions))
        if self.keeps_outputs:
            self._outputs.extend(predictions)
            self._targets.extend(batch.target for batch in batches)

    def outputs(self) -> tuple[Tensor, Tensor]:
        """The epoch's predictions [K, N, O] and targets [K, N, …]."""
        # Along the rows, which lie together in memory where layers are StackedLinear.
        return torch.cat([outputs.mT for outputs in self._outputs], dim=-1).mT, torch.cat(self._targets, dim=1)

    def give_losses(self, row: int, record: EpochRecord) -> None:
        """Tell a run's own record the losses that it does not have yet; waits for the device, once for the same steps.

        Args:
            row: the run's.
            record: its record.
        """
        self._read()
        first = self._given.get(row, 0)
        self._given[row] = len(self._losses)
        if first < len(self._losses):
            record.add_read(self._by_row[row][first:], self.sizes[first:])

    def is_finite(self, row: int) -> bool:
        """Whether all losses of a run are finite; waits for the device, once for the same steps."""
        self._read()
        return not self._finite or self._finite[row]

    @property
    def rows_kept(self) -> int:
        """Rows whose outputs are kept here."""
        return sum(outputs.shape[1] for outputs in self._outputs)

    def forget_outputs(self) -> None:
        """Let go of outputs and targets, once every run's own record was given them."""
        self._outputs.clear()
        self._targets.clear()
        self._given_outputs.clear()

    def _read(self) -> None:
        if self._losses and (not self._by_row or len(self._by_row[0]) != len(self._losses)):
            losses = torch.stack(self._losses, dim=1)
            self._by_row, self._finite = losses.tolist(), losses.isfinite().all(dim=1).tolist()

    def give_outputs(self, row: int, record: EpochRecord) -> None:
        """Tell a run's own record the outputs and targets that it does not have yet."""
        first = self._given_outputs.get(row, 0)
        self._given_outputs[row] = len(self._outputs)
        record.add_outputs([t[row] for t in self._outputs[first:]], [t[row] for t in self._targets[first:]])
