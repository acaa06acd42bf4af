"""Resilient backpropagation of many runs."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from nnlab.optim.stacked_base import StackedUpdate


@final
class StackedRprop(StackedUpdate):
    """``torch.optim.Rprop`` (Riedmiller and Braun, 1993).

    Where torch assigns through masks, which takes the CPU thirty times as long, numbers that are 0 or 1 select here:
    their products and sums are exact.
    """

    @staticmethod
    def buffers(group: Mapping[str, Any]) -> dict[str, float]:
        """As the base class says."""
        return {"prev": 0.0, "step_size": group["lr"]}

    def _prepare(self) -> None:
        self._factor_turned = self._column(self._setting("etas", 0))
        self._factor_kept = self._column(self._setting("etas", 1))
        self._smallest = self._column(self._setting("step_sizes", 0))
        self._largest = self._column(self._setting("step_sizes", 1))
        self._kept, self._turned, self._factor = self._scratch(), self._scratch(), self._scratch()
        self._one = self._like.new_ones(())

    def _plan(self, rates: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        # The rate is the size of the first step and means nothing afterwards.
        for row in np.flatnonzero((self.num_steps == 0) & (len(rates) > 0)):
            self._state.buffers["step_size"][row] = rates[0, row]
        return []

    def _update(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        previous, size = self._state.buffers.values()
        sign = torch.mul(grad, previous, out=self._factor).sign_()
        kept = torch.clamp_min(sign, 0, out=self._kept)
        turned = torch.sub(kept, sign, out=self._turned)
        factor = torch.addcmul(self._one, sign, sign, value=-1, out=self._factor)
        size.mul_(factor.addcmul_(kept, self._factor_kept).addcmul_(turned, self._factor_turned))
        torch.maximum(size, self._smallest, out=size)
        torch.minimum(size, self._largest, out=size)
        torch.addcmul(grad, grad, turned, value=-1, out=previous)
        weights.addcmul_(torch.sign(previous, out=grad), size, value=-1)
