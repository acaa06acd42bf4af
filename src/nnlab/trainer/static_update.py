"""An optimizer's updates as steps that are told on the device which of them they are."""

from typing import final

import numpy as np
import torch
from torch import Tensor

from nnlab.optim.stacked import StackedUpdate


@final
class StaticUpdate:
    """The updates of R runs, with no number that the host changes from step to step.

    What depends on the step is planned in float64 on the host, as every stack's is, and lies in one table on the
    device; a step takes the row whose number a counter on the device says. Torch's own ``capturable`` optimizers would
    compute these numbers on the device, but keep a tensor for the rate and the flag in their groups, from where
    checkpoints and callbacks would read them, and decide on the host what the first step of momentum does.

    Args:
        stacked: the update of R rows; nobody else calls its ``step``.
        num_rows: R.
        num_steps: S, the most that are planned at a time.
        like: tells data type and device.
    """

    def __init__(self, stacked: StackedUpdate, num_rows: int, num_steps: int, like: Tensor) -> None:
        self._stacked = stacked
        self._table = like.new_zeros((num_steps, stacked.make_ready(), num_rows))

    def plan(self, rates: np.ndarray, first: int) -> None:
        """Prepare the steps that are still to be done of those that the table has room for.

        Args:
            rates: the learning rate of each row in each of them, float64 [steps, R].
            first: the number of the first of them.
        """
        planned = torch.from_numpy(self._stacked.plan(rates))
        self._table[first : first + len(planned)].copy_(planned)
        if len(planned):
            # What is tried out before it is captured takes the first rows, and is to find numbers that make sense.
            self._table[:first] = self._table[first]

    def step(self, weights: Tensor, grad: Tensor, counter: Tensor) -> None:
        """Take the step whose number the counter says; nothing is counted, see ``StackedUpdate.advance``.

        Args:
            weights: shape [R, P]; changed.
            grad: shape [R, P]; may be overwritten.
            counter: int64 [1].
        """
        chosen = self._table.index_select(0, counter).squeeze(0).unsqueeze(-1) if self._table.numel() else None
        self._stacked.update_by(weights, grad, () if chosen is None else chosen.unbind(0))
