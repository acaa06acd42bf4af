"""A polynomial of the prediction, to show derivatives with."""

from collections.abc import Sequence
from math import isfinite
from typing import ClassVar, final

import torch
from torch import Tensor

from nnlab.data.dataset import Task
from nnlab.loss.base import Loss


@final
class Polynomial(Loss):
    """``c0 + c1 p + c2 p^2 + …`` of the prediction p: mean over the outputs, then over the samples.

    The target is not looked at. Made for showing derivatives: the gradient that reaches a model whose output is p is
    that of a function which anyone can differentiate on paper.

    Args:
        coefficients: c0, c1, c2, …: the constant first; finite.

    Raises:
        ValueError: if there are none, or one is not finite.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[12.5]], requires_grad=True)
        >>> loss = Polynomial([6, 5, 2])(prediction, torch.zeros(1, 1))
        >>> loss.backward()
        >>> loss.item(), prediction.grad
        (381.0, tensor([[55.]]))
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    reads: ClassVar[str] = "value"

    def __init__(self, coefficients: Sequence[float]) -> None:
        if not coefficients or not all(isfinite(one) for one in coefficients):
            expected = "expected at least one finite number, the constant first"
            raise ValueError(f"loss.coefficients: {expected}, found {list(coefficients)}")
        self.coefficients = list(coefficients)

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The polynomial for each sample, as ``Loss.per_sample``."""
        return _by_horner(self.coefficients, prediction).mean(dim=-1)

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative ``(c1 + 2 c2 p + 3 c3 p^2 + …) / (B O)`` over B rows of O, as ``Loss.gradient``."""
        slopes = [power * one for power, one in enumerate(self.coefficients)][1:]
        return _by_horner(slopes, prediction) / prediction.shape[-2:].numel()


def _by_horner(coefficients: Sequence[float], x: Tensor) -> Tensor:
    # From 0 rather than from the last coefficient: a constant, too, depends on x as autograd sees it.
    total = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total
