"""Gradients by automatic differentiation."""

from typing import ClassVar, final

from torch import Tensor, nn

from nnlab.gradient.base import Gradient, Precision
from nnlab.loss.objective import Objective


@final
class Autograd(Gradient):
    """Reverse-mode automatic differentiation, as torch records it."""

    by_chain_rule: ClassVar[bool] = True

    def __call__(
        self, model: nn.Module, objective: Objective, inputs: Tensor, target: Tensor, precision: Precision, share: float
    ) -> tuple[Tensor, Tensor]:
        """See ``Gradient``."""
        if precision.autocast is None:
            prediction = model(inputs)
        else:
            with precision.forward():
                prediction = model(inputs)
            prediction = prediction.to(precision.dtype)
        value = objective(prediction, target)
        scaled = value if share == 1 else value * share
        if precision.scaler is not None:
            scaled = precision.scaler.scale(scaled)
        # With a run axis, the sum gives each run the gradient of its own objective.
        (scaled if scaled.dim() == 0 else scaled.sum()).backward()  # type: ignore[no-untyped-call]
        return value.detach(), prediction.detach()
