"""Stochastic gradient descent of many runs."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
from torch import Tensor

from nnlab.optim.stacked_base import StackedUpdate


@final
class StackedSGD(StackedUpdate):
    """``torch.optim.SGD``, with momentum (damped, Nesterov's) or without."""

    flags: ClassVar[tuple[str, ...]] = ("momentum", "nesterov", "maximize")
    counts: ClassVar[Mapping[str, float]] = {}

    @staticmethod
    def buffers(group: Mapping[str, Any]) -> dict[str, float]:
        """As the base class says."""
        return {"momentum_buffer": 0.0} if group["momentum"] != 0 else {}

    def _read_settings(self) -> None:
        self._dampening = self._setting("dampening")
        self._buffer = self._state.buffers.get("momentum_buffer")

    def _prepare(self) -> None:
        self._is_damped = bool(self._dampening.any())
        self._is_nesterov = self._flag("nesterov")
        self._momentum = self._column(self._setting("momentum"))

    def _plan(self, rates: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        if self._buffer is None:
            return [-rates]
        # A row's first gradient enters its buffer undamped.
        return [-rates, np.where(steps == 1, 1, 1 - self._dampening)]

    def _update(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        self._decay.add_to(grad, weights)
        if self._buffer is None:
            weights.addcmul_(grad, coefficients[0])
            return
        rate, share = coefficients
        self._buffer.mul_(self._momentum)
        if self._is_damped:
            self._buffer.addcmul_(grad, share)
        else:
            self._buffer.add_(grad)
        if self._is_nesterov:
            weights.addcmul_(grad.addcmul_(self._buffer, self._momentum), rate)
        else:
            weights.addcmul_(self._buffer, rate)
