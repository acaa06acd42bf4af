"""Adadelta of many runs."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from nnlab.optim.stacked_base import StackedUpdate
from nnlab.optim.stacked_means import MeanOfSquares, root


@final
class StackedAdadelta(StackedUpdate):
    """``torch.optim.Adadelta`` (Zeiler, 2012)."""

    @staticmethod
    def buffers(group: Mapping[str, Any]) -> dict[str, float]:
        """As the base class says."""
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def _prepare(self) -> None:
        rho = self._setting("rho")
        self._eps = self._column(self._setting("eps"))
        self._room, self._change = self._scratch(), self._scratch()
        self._squares = MeanOfSquares(self._column(rho), self._column(1 - rho), self._room)

    def _plan(self, rates: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        return [-rates]

    def _update(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        (rate,) = coefficients
        square, square_of_changes = self._state.buffers.values()
        self._decay.add_to(grad, weights)
        self._squares.update(square, grad)
        divisor = torch.add(square, self._eps, out=self._room)
        root(divisor, out=divisor)
        change = torch.add(square_of_changes, self._eps, out=self._change)
        root(change, out=change).div_(divisor).mul_(grad)
        self._squares.update(square_of_changes, change)
        weights.addcmul_(change, rate)
