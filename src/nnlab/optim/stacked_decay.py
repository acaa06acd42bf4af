"""Weight decay of many runs, each with its own."""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor, nn


@final
class StackedDecay:
    """The weight decay of R runs; parameters in a group of their own (``no_decay``) may be left alone.

    A run without decay beside others that have it computes g + 0 w and 1 w, which change nothing.

    Args:
        optimizers: R, with one decay each, and 0 for the parameters that are left alone. Without a setting of that
            name (Rprop) nothing decays.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self._optimizers = list(optimizers)
        decays = [[float(group.get("weight_decay", 0.0)) for group in o.param_groups] for o in optimizers]
        #: float64 [R]
        self.values = np.array([max(own) for own in decays])
        #: whether there is anything to do
        self.is_on = bool(self.values.any())

    def prepare(self, parameters: Sequence[Sequence[nn.Parameter]], weights: Tensor) -> None:
        """Make the tensors that ``add_to`` and ``shrink`` need.

        Args:
            parameters: of each run, in the order in which they lie in a row.
            weights: tells data type and device.
        """
        if not self.is_on:
            return
        left_alone = [_left_alone(optimizer) for optimizer in self._optimizers]
        self._penalty = torch.from_numpy(self.values).to(weights).unsqueeze(1)
        self._decayed: Tensor | None = None
        if any(value and row for value, row in zip(self.values, left_alone, strict=True)):
            masks = [_mask(own, row) for own, row in zip(parameters, left_alone, strict=True)]
            self._decayed = torch.stack(masks).to(weights)
            self._kept = 1 - self._decayed
            self._factor = torch.empty_like(self._decayed)
            self._penalty = self._decayed * self._penalty

    def add_to(self, grad: Tensor, weights: Tensor) -> None:
        """The gradient of an L2 penalty: g + decay * w.

        Args:
            grad: shape [R, P]; changed.
            weights: shape [R, P].
        """
        if self.is_on:
            grad.addcmul_(weights, self._penalty)

    def shrinkage(self, rates: np.ndarray) -> np.ndarray:
        """What decoupled decay multiplies the weights by.

        Args:
            rates: learning rates, float64 [S, R].

        Returns:
            Float64 [S, R].
        """
        factors: np.ndarray = 1 - rates * self.values
        return factors

    def shrink(self, weights: Tensor, factor: Tensor) -> None:
        """Decoupled decay (Loshchilov and Hutter, 2019).

        Args:
            weights: shape [R, P]; changed.
            factor: this step's ``shrinkage``, shape [R, 1].
        """
        if not self.is_on:
            return
        if self._decayed is not None:
            # Exactly the factor or 1, and much faster than torch.where on the CPU.
            factor = torch.addcmul(self._kept, self._decayed, factor, out=self._factor)
        weights.mul_(factor)


def _left_alone(optimizer: torch.optim.Optimizer) -> set[int]:
    groups = [group for group in optimizer.param_groups if group["weight_decay"] == 0]
    return {id(parameter) for group in groups for parameter in group["params"]}


def _mask(parameters: Sequence[nn.Parameter], left_alone: set[int]) -> Tensor:
    """1 where a row is decayed and 0 elsewhere, shape [P]."""
    return torch.cat([torch.full((p.numel(),), float(id(p) not in left_alone)) for p in parameters])
