"""Adagrad of many runs."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
from torch import Tensor

from nnlab.optim.stacked_base import StackedUpdate
from nnlab.optim.stacked_means import root


@final
class StackedAdagrad(StackedUpdate):
    """``torch.optim.Adagrad`` (Duchi et al., 2011)."""

    starts_at_once: ClassVar[bool] = True

    @staticmethod
    def buffers(group: Mapping[str, Any]) -> dict[str, float]:
        """As the base class says."""
        return {"sum": group["initial_accumulator_value"]}

    def _read_settings(self) -> None:
        self._rate_decay = self._setting("lr_decay")

    def _prepare(self) -> None:
        self._eps = self._column(self._setting("eps"))
        self._room = self._scratch()

    def _plan(self, rates: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        return [-rates / (1 + (steps - 1) * self._rate_decay)]

    def _update(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        (rate,) = coefficients
        total = self._state.buffers["sum"]
        self._decay.add_to(grad, weights)
        total.addcmul_(grad, grad)
        divisor = root(total, out=self._room).add_(self._eps)
        weights.addcdiv_(grad.mul_(rate), divisor)
