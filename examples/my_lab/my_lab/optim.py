"""An optimizer: a ``torch.optim.Optimizer`` whose groups have an ``lr``, which nnlab's schedules set."""

from collections.abc import Callable, Iterable
from typing import Any

import torch


class Lion(torch.optim.Optimizer):
    """Steps by the sign of a mean of gradients.

    Source: Chen et al., Symbolic discovery of optimization algorithms, 2023.

    Args:
        params: parameters or groups of them.
        lr: learning rate: every number moves by so much in each step.
        betas: weight of the mean in the step, and of the old mean in the new one.
        weight_decay: decoupled, as in AdamW.

    Raises:
        ValueError: for a learning rate that is not positive.
    """

    def __init__(self, params: Iterable[Any], lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        if not lr > 0:
            raise ValueError(f"optim.lr: expected a number > 0, found {lr}")
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, (in_step, kept) = group["lr"], group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                mean = state.setdefault("mean", torch.zeros_like(parameter))
                parameter.mul_(1 - lr * group["weight_decay"])
                parameter.sub_(lr * torch.lerp(parameter.grad, mean, in_step).sign_())
                mean.lerp_(parameter.grad, 1 - kept)
        return loss
