"""Adamax of many runs."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from nnlab.optim.stacked_base import StackedUpdate


@final
class StackedAdamax(StackedUpdate):
    """``torch.optim.Adamax``, Adam with the infinity norm (Kingma and Ba, 2015, section 7.1)."""

    @staticmethod
    def buffers(group: Mapping[str, Any]) -> dict[str, float]:
        """As the base class says."""
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def _read_settings(self) -> None:
        self._beta1 = self._setting("betas", 0)

    def _prepare(self) -> None:
        self._added = self._column(1 - self._beta1)
        self._kept = self._column(self._setting("betas", 1))
        self._eps = self._column(self._setting("eps"))
        self._room = self._scratch()

    def _plan(self, rates: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        return [-rates / (1 - self._beta1**steps)]

    def _update(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        (rate,) = coefficients
        mean, largest = self._state.buffers.values()
        self._decay.add_to(grad, weights)
        mean.lerp_(grad, self._added)
        torch.maximum(largest.mul_(self._kept), grad.abs_().add_(self._eps), out=largest)
        weights.addcdiv_(torch.mul(mean, rate, out=self._room), largest)
