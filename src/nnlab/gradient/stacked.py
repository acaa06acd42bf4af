"""How the gradients of many runs are computed at once."""

from typing import Any

from torch import nn

from nnlab.gradient.autograd import Autograd
from nnlab.gradient.backprop import Backprop
from nnlab.gradient.base import Gradient
from nnlab.gradient.chain import rules_for
from nnlab.loss.base import Loss
from nnlab.model.stacked import StackedBatchNorm


def stacked_gradient(module: nn.Module, loss: Any) -> Gradient:
    """By hand where every layer and the loss have a derivative, which is faster, else by autograd.

    Args:
        module: computes with a leading run axis.
        loss: likewise.

    Returns:
        The way; both give the same numbers up to rounding.

    Raises:
        ValueError: for batch norm under a loss without a derivative.
    """
    _, without = rules_for(module)
    if not without and getattr(type(loss), "gradient", Loss.gradient) is not Loss.gradient:
        return Backprop()
    if any(isinstance(layer, StackedBatchNorm) for layer in module.modules()):
        raise ValueError(
            f"batch norm in a stack needs the loss's derivative, and {type(loss).__name__} has no gradient"
        )
    return Autograd()
