"""Adam and AdamW of many runs."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor

from nnlab.optim.stacked_base import StackedUpdate
from nnlab.optim.stacked_means import MeanOfSquares, root


@final
class StackedAdam(StackedUpdate):
    """``torch.optim.Adam`` (Kingma and Ba, 2015), ``AdamW`` (Loshchilov and Hutter, 2019), AMSGrad (Reddi, 2018)."""

    flags: ClassVar[tuple[str, ...]] = ("amsgrad", "decoupled_weight_decay", "maximize")

    @staticmethod
    def buffers(group: Mapping[str, Any]) -> dict[str, float]:
        """As the base class says."""
        names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]
        return dict.fromkeys(names, 0.0)

    def _read_settings(self) -> None:
        self._is_decoupled = self._flag("decoupled_weight_decay")
        self._beta1, self._beta2 = self._setting("betas", 0), self._setting("betas", 1)
        self._eps = self._setting("eps")

    def _prepare(self) -> None:
        self._added = self._column(1 - self._beta1)
        self._room = self._scratch()
        self._squares = MeanOfSquares(self._column(self._beta2), self._column(1 - self._beta2), self._room)

    def _plan(self, rates: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        # torch divides the root of the second moment by that of its correction; here eps and the rate carry it.
        root = np.sqrt(1 - self._beta2**steps)
        return [-rates / (1 - self._beta1**steps) * root, self._eps * root, self._decay.shrinkage(rates)]

    def _update(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        rate, eps, shrinkage = coefficients
        mean, square, *largest = self._state.buffers.values()
        if self._is_decoupled:
            self._decay.shrink(weights, shrinkage)
        else:
            self._decay.add_to(grad, weights)
        mean.lerp_(grad, self._added)
        self._squares.update(square, grad)
        if largest:
            square = torch.maximum(largest[0], square, out=largest[0])
        divisor = root(square, out=grad).add_(eps)
        weights.addcdiv_(torch.mul(mean, rate, out=self._room), divisor)
