"""RMSprop of many runs."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from nnlab.optim.stacked_base import StackedUpdate
from nnlab.optim.stacked_means import MeanOfSquares, root


@final
class StackedRMSprop(StackedUpdate):
    """``torch.optim.RMSprop`` (Hinton, lecture 6e, 2012), centred or not, with momentum or without."""

    flags: ClassVar[tuple[str, ...]] = ("momentum", "centered", "maximize")

    @staticmethod
    def buffers(group: Mapping[str, Any]) -> dict[str, float]:
        """As the base class says."""
        momentum = ["momentum_buffer"] if group["momentum"] != 0 else []
        return dict.fromkeys(["square_avg", *momentum, *(["grad_avg"] if group["centered"] else [])], 0.0)

    def _prepare(self) -> None:
        alpha = self._setting("alpha")
        self._added = self._column(1 - alpha)
        self._eps = self._column(self._setting("eps"))
        self._momentum = self._column(self._setting("momentum"))
        self._room = self._scratch()
        self._squares = MeanOfSquares(self._column(alpha), self._added, self._room)

    def _plan(self, rates: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        return [-rates]

    def _update(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        (rate,) = coefficients
        buffers = self._state.buffers
        square, mean, buffer = buffers["square_avg"], buffers.get("grad_avg"), buffers.get("momentum_buffer")
        self._decay.add_to(grad, weights)
        self._squares.update(square, grad)
        if mean is not None:
            mean.lerp_(grad, self._added)
            square = torch.addcmul(square, mean, mean, value=-1, out=self._room)
        divisor = root(square, out=self._room).add_(self._eps)
        if buffer is None:
            weights.addcdiv_(grad.mul_(rate), divisor)
        else:
            buffer.mul_(self._momentum).addcdiv_(grad, divisor)
            weights.addcmul_(buffer, rate)
