"""RAdam of many runs."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from nnlab.optim.stacked_base import StackedUpdate
from nnlab.optim.stacked_means import MeanOfSquares, root


@final
class StackedRAdam(StackedUpdate):
    """``torch.optim.RAdam``, Adam with a rectified adaptive rate (Liu et al., 2020)."""

    flags: ClassVar[tuple[str, ...]] = ("decoupled_weight_decay", "maximize")

    @staticmethod
    def buffers(group: Mapping[str, Any]) -> dict[str, float]:
        """As the base class says."""
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _read_settings(self) -> None:
        self._is_decoupled = self._flag("decoupled_weight_decay")
        self._beta1, self._beta2 = self._setting("betas", 0), self._setting("betas", 1)

    def _prepare(self) -> None:
        self._eps = self._column(self._setting("eps"))
        self._added = self._column(1 - self._beta1)
        self._room = self._scratch()
        self._squares = MeanOfSquares(self._column(self._beta2), self._column(1 - self._beta2), self._room)

    def _plan(self, rates: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        rho_inf = 2 / (1 - self._beta2) - 1
        correction = 1 - self._beta2**steps
        rho = rho_inf - 2 * steps * self._beta2**steps / correction
        is_rectified = rho > 5
        # What is not rectified gets a number for which the formula has a value.
        rho, rho_inf = np.where(is_rectified, rho, 6), np.where(is_rectified, rho_inf, 6)
        rectification = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        factor = np.where(is_rectified, np.sqrt(correction) * rectification, 1)
        # Between these limits lies the root of a rectified row as it is, and of any other the number 1.
        lowest, highest = np.where(is_rectified, 0, 1), np.where(is_rectified, np.inf, 1)
        return [-rates / (1 - self._beta1**steps) * factor, lowest, highest, self._decay.shrinkage(rates)]

    def _look_at(self, planned: np.ndarray) -> None:
        self._all_rectified = (planned[:, 1] == 0).all(axis=1).tolist()

    def _update(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        rate, lowest, highest, shrinkage = coefficients
        mean, square = self._state.buffers.values()
        if self._is_decoupled:
            self._decay.shrink(weights, shrinkage)
        else:
            self._decay.add_to(grad, weights)
        mean.lerp_(grad, self._added)
        self._squares.update(square, grad)
        divisor = root(square, out=grad).add_(self._eps)
        if not self._all_rectified[self._next]:
            # Much faster than torch.where on the CPU, and right for infinities, which a product with 0 is not.
            torch.maximum(divisor, lowest, out=divisor)
            torch.minimum(divisor, highest, out=divisor)
        weights.addcdiv_(torch.mul(mean, rate, out=self._room), divisor)
