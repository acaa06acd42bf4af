"""Gradients by nudging each parameter and looking at what the loss does."""

import copy
import time
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Gradient, Precision
from nnlab.gradient.rewind import Rewind
from nnlab.loss.objective import Objective

MOST_PARAMETERS = 100_000
_UNITS = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"), (0.0, "seconds"))


@final
class FiniteDifference(Gradient):
    """Central differences: ``(L(w + delta) - L(w - delta)) / (2 delta)`` for one parameter after another.

    By Taylor's theorem ``L(w ± d) = L ± d L' + d^2 L'' / 2 ± d^3 L''' / 6 + …``; in the difference the even terms
    cancel, so the error is ``delta^2 L''' / 6``: a quarter of it is left when delta is halved. A smaller delta is not
    always better: L is rounded, and the rounding is divided by delta. Each step costs two forward passes a parameter.
    All of them see the same dropout mask; batch norm's running values move once, as in any other step.

    Args:
        delta: how far each parameter is moved, in its own unit; positive.

    Raises:
        ValueError: if delta is not positive.
    """

    def __init__(self, delta: float) -> None:
        if not delta > 0:
            raise ValueError(f"gradient.delta: expected a number > 0, found {delta}")
        self.delta = delta

    def check(self, model: nn.Module, objective: Objective, precision: Precision, batch_size: int) -> None:
        """See ``Gradient``."""
        if precision.autocast is not None:
            raise ValueError(
                "gradient=finite_difference: needs trainer.precision=fp32 or fp64; rounded to 8 or 11 bits, the two "
                "losses hardly differ"
            )
        num_parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        if num_parameters > MOST_PARAMETERS:
            raise ValueError(
                f"gradient=finite_difference: {num_parameters:,} parameters are more than {MOST_PARAMETERS:,}: a step "
                f"takes two forward passes for each{_time_of_step(model, batch_size, num_parameters)}; use "
                "gradient=backprop or autograd, or a smaller model"
            )

    def __call__(
        self, model: nn.Module, objective: Objective, inputs: Tensor, target: Tensor, precision: Precision, share: float
    ) -> tuple[Tensor, Tensor]:
        """See ``Gradient``."""
        with torch.no_grad():
            before = Rewind(model)
            prediction = model(inputs)
            value = objective(prediction, target)
            after = Rewind(model)

            def loss() -> Tensor:
                before()
                return objective(model(inputs), target)

            for parameter in model.parameters():
                if parameter.requires_grad:
                    slope = central_differences(parameter, loss, self.delta)
                    slope = slope if share == 1 else slope * share
                    parameter.grad = slope if parameter.grad is None else parameter.grad + slope
            after()
        return value, prediction


def central_differences(parameter: Tensor, loss: Callable[[], Tensor], delta: float) -> Tensor:
    """The slope of a loss with respect to each number in a tensor.

    Args:
        parameter: contiguous; moved in place and put back, exactly.
        loss: a scalar that depends on it.
        delta: how far each number is moved.

    Returns:
        Shape of the parameter; NaN for a number so large that delta is lost in its rounding, since no difference of
        zero may pass for a slope of zero.
    """
    numbers = parameter.detach().view(-1)
    is_moved = (numbers + delta != numbers) & (numbers - delta != numbers)
    pairs = []
    for index, kept in enumerate(numbers.clone()):
        numbers[index] = kept + delta
        above = loss()
        numbers[index] = kept - delta
        pairs.append(above - loss())
        numbers[index] = kept
    return torch.where(is_moved, torch.stack(pairs) / (2 * delta), torch.nan).view_as(parameter)


def _time_of_step(model: nn.Module, batch_size: int, num_parameters: int) -> str:
    """How long a step would take, in words, by a forward pass of a copy; nothing where its width is unknown."""
    first = next((layer for layer in model.modules() if isinstance(layer, nn.Linear)), None)
    if first is None:
        return ""
    twin = copy.deepcopy(model).eval()
    rows = torch.zeros(batch_size, first.in_features, dtype=first.weight.dtype, device=first.weight.device)
    with torch.no_grad():
        twin(rows)
        began_s = time.perf_counter()
        twin(rows).sum().item()
        seconds = 2 * num_parameters * (time.perf_counter() - began_s)
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= size)
    return f", here about {seconds / (size or 1):.2g} {unit}"
