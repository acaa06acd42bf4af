"""How well ways to compute the gradient agree, parameter by parameter."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Gradient, Precision
from nnlab.gradient.rewind import Rewind
from nnlab.loss.objective import Objective
from nnlab.model.slope import slope_of


@dataclass(frozen=True)
class Batch:
    """What the gradient is taken of.

    Args:
        model: in training mode, in float64.
        objective: the loss and penalties.
        inputs: shape [B, F].
        target: shape [B, O], or [B] of class codes.
    """

    model: nn.Module
    objective: Objective
    inputs: Tensor
    target: Tensor

    def parameters(self) -> dict[str, nn.Parameter]:
        """The trained ones by name."""
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}


@dataclass(frozen=True)
class Differences:
    """Central differences of one parameter tensor, and which of them say something.

    Args:
        slopes: shape of the parameter.
        is_smooth: likewise; False where moving that number carried something over a kink.
    """

    slopes: Tensor
    is_smooth: Tensor


def gradients_by(gradient: Gradient, batch: Batch) -> dict[str, Tensor]:
    """What one way computes. The model is left as it was, so that the next way sees the same dropout masks.

    Args:
        gradient: the way.
        batch: of what.

    Returns:
        For each parameter a tensor of its shape; zeros where the loss does not reach it.
    """
    precision = Precision(torch.float64, None, batch.inputs.device.type)
    parameters = batch.parameters()
    start = Rewind(batch.model)
    gradient(batch.model, batch.objective, batch.inputs, batch.target, precision, 1)
    start()
    found = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in parameters.items()}
    for parameter in parameters.values():
        parameter.grad = None
    return found


def differences(batch: Batch, delta: float) -> dict[str, Differences]:
    """Central differences, and for each whether everything stayed on its side of every kink.

    Where a pre-activation changes its sign under a ReLU, the loss has a corner between the two points that are
    compared, and their difference says little about the slope at the middle.

    Args:
        batch: of what.
        delta: how far each number is moved.

    Returns:
        For each parameter.
    """
    start = Rewind(batch.model)
    found = {}
    with torch.no_grad(), _hooks(batch.model) as sides:
        _, at_rest = _loss_and_sides(batch, start, sides)
        for name, parameter in batch.parameters().items():
            numbers = parameter.detach().view(-1)
            slopes, is_smooth = [], []
            for index, kept in enumerate(numbers.clone()):
                numbers[index] = kept + delta
                above, sides_above = _loss_and_sides(batch, start, sides)
                numbers[index] = kept - delta
                below, sides_below = _loss_and_sides(batch, start, sides)
                numbers[index] = kept
                slopes.append((above - below) / (2 * delta))
                is_smooth.append(_equal(sides_above, at_rest) and _equal(sides_below, at_rest))
            shape = parameter.shape
            found[name] = Differences(torch.stack(slopes).view(shape), torch.tensor(is_smooth).view(shape))
    start()
    return found


def relative_error(a: Tensor, b: Tensor) -> float:
    """``max |a - b| / max |b|``; 0 where they are equal.

    Args:
        a: what is judged, any shape.
        b: what it is judged by, of the same shape.
    """
    difference = float((a - b).abs().max()) if b.numel() else 0.0
    if difference == 0:
        return 0.0
    size = float(b.abs().max())
    return difference / size if size else math.inf


Sides = list[Tensor]


def _loss_and_sides(batch: Batch, start: Rewind, sides: Sides) -> tuple[Tensor, Sides]:
    """The objective as the parameters stand, and on which side of every kink everything lies."""
    start()
    sides.clear()
    prediction = batch.model(batch.inputs)
    value = batch.objective(prediction, batch.target)
    for corners in batch.objective.corners(prediction, batch.target):
        sides.append(corners.sign())
    return value, list(sides)


def _equal(some: Sides, others: Sides) -> bool:
    return all(map(torch.equal, some, others))


@contextmanager
def _hooks(model: nn.Module) -> Iterator[Sides]:
    """While it lasts, each forward pass adds to a list between which kinks every pre-activation lies."""
    sides: Sides = []
    handles = []
    for module in model.modules():
        slope = slope_of(module)
        kinks = slope.kinks(module) if slope is not None else ()
        if kinks:
            handles.append(module.register_forward_pre_hook(_Note(kinks, sides)))
    try:
        yield sides
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class _Note:
    kinks: tuple[float, ...]
    sides: Sides

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        at = torch.tensor(sorted(self.kinks), dtype=inputs[0].dtype, device=inputs[0].device)
        # Which interval, and whether exactly on its edge: a step to either side then counts as leaving.
        self.sides.append(torch.bucketize(inputs[0], at) + torch.bucketize(inputs[0], at, right=True))
