"""What is minimized: the loss and the penalties."""

from collections.abc import Callable, Sequence
from typing import final

from torch import Tensor

from nnlab.loss.base import Penalty


@final
class Objective:
    """The loss of a batch plus penalties on the weights.

    Args:
        loss: the batch's mean loss of a prediction and a target.
        penalty: on the weights.
        weights: the weight matrices.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], penalty: Penalty, weights: Sequence[Tensor]) -> None:
        self.loss = loss
        self.penalty = penalty
        self.weights = list(weights)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss plus the penalties, a scalar."""
        value = self.loss(prediction, target)
        return value + self.penalty(self.weights) if self.penalty else value
