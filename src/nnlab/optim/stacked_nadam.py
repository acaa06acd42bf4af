"""NAdam of many runs."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
from torch import Tensor

from nnlab.optim.stacked_base import StackedUpdate
from nnlab.optim.stacked_means import MeanOfSquares, root


@final
class StackedNAdam(StackedUpdate):
    """``torch.optim.NAdam``, Adam with Nesterov momentum (Dozat, 2016)."""

    flags: ClassVar[tuple[str, ...]] = ("decoupled_weight_decay", "maximize")
    counts: ClassVar[Mapping[str, float]] = {"step": 0.0, "mu_product": 1.0}

    @staticmethod
    def buffers(group: Mapping[str, Any]) -> dict[str, float]:
        """As the base class says."""
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _read_settings(self) -> None:
        self._is_decoupled = self._flag("decoupled_weight_decay")
        self._beta1, self._beta2 = self._setting("betas", 0), self._setting("betas", 1)
        self._eps = self._setting("eps")
        self._momentum_decay = self._setting("momentum_decay")

    def _prepare(self) -> None:
        self._added = self._column(1 - self._beta1)
        self._room = self._scratch()
        self._squares = MeanOfSquares(self._column(self._beta2), self._column(1 - self._beta2), self._room)

    def _momentum(self, steps: np.ndarray) -> np.ndarray:
        momentum: np.ndarray = self._beta1 * (1 - 0.5 * 0.96 ** (steps * self._momentum_decay))
        return momentum

    def _plan_counts(self, steps: np.ndarray) -> dict[str, np.ndarray]:
        # torch keeps the product of the momenta in single precision: so rounded it enters the update.
        so_far = self._state.counts["mu_product"][:, 0].cpu().numpy()
        factors = np.concatenate([so_far[None], self._momentum(steps).astype(so_far.dtype)])
        return {"step": steps, "mu_product": np.multiply.accumulate(factors, axis=0)[1:]}

    def _plan(self, rates: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        product = self._plan_counts(steps)["mu_product"].astype(np.float64)
        momentum, momentum_next = self._momentum(steps), self._momentum(steps + 1)
        root = np.sqrt(1 - self._beta2**steps)
        return [
            -rates * (1 - momentum) / (1 - product) * root,
            -rates * momentum_next / (1 - product * momentum_next) * root,
            self._eps * root,
            self._decay.shrinkage(rates),
        ]

    def _update(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        rate_of_grad, rate_of_mean, eps, shrinkage = coefficients
        mean, square = self._state.buffers.values()
        if self._is_decoupled:
            self._decay.shrink(weights, shrinkage)
        else:
            self._decay.add_to(grad, weights)
        mean.lerp_(grad, self._added)
        self._squares.update(square, grad)
        divisor = root(square, out=self._room).add_(eps)
        weights.addcdiv_(grad.mul_(rate_of_grad).addcmul_(mean, rate_of_mean), divisor)
