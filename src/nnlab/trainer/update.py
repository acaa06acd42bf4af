"""An optimizer's update without what surrounds it."""

from collections.abc import Callable
from typing import Any, final

import torch
from torch.optim import optimizer as torch_optimizer


@final
class Update:
    """Calls an optimizer's step without the profiler record and the checks that torch wraps around it.

    They cost more than the update of a small network: 30 microseconds when caches are cold. The function inside is
    torch's own, so the numbers are the same. Optimizers from elsewhere, with hooks, or that are differentiated through
    keep their whole ``step``.

    Args:
        optimizer: over the model's parameters; not one that needs a closure.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self._inner = _innermost(optimizer)

    def __call__(self) -> None:
        """Update the parameters once from their gradients."""
        if self._inner is None or _has_hooks(self.optimizer):
            self.optimizer.step()
            return
        with torch.no_grad():
            self._inner(self.optimizer)


def _innermost(optimizer: torch.optim.Optimizer) -> Callable[[Any], Any] | None:
    kind = type(optimizer)
    if not kind.__module__.startswith("torch.optim.") or optimizer.defaults.get("differentiable"):
        return None
    # A scheduler of torch's or a user may have put a step of its own on the object.
    if "step" in vars(optimizer):
        return None
    function: Any = kind.step
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function  # type: ignore[no-any-return]


def _has_hooks(optimizer: torch.optim.Optimizer) -> bool:
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or torch_optimizer._global_optimizer_pre_hooks
        or torch_optimizer._global_optimizer_post_hooks
    )
