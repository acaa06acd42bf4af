"""What is minimized: the loss and the penalties."""

from collections.abc import Callable, Sequence
from typing import cast, final

from torch import Tensor

from nnlab.loss.base import Loss, Penalty, WeightedLoss


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

    def weighted(self, weight: Tensor) -> "Objective":
        """The same objective of a batch whose rows count differently.

        Args:
            weight: what each row counts, [B].
        """
        assert isinstance(self.loss, Loss), "the trainer refuses others"
        return Objective(WeightedLoss(self.loss, weight), self.penalty, self.weights)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss plus the penalties, a scalar."""
        value = self.loss(prediction, target)
        return value + self.penalty(self.weights) if self.penalty else value

    def value_and_gradient(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The objective, and the derivative of its loss with respect to the prediction.

        Args:
            prediction: the model's output, shape [..., B, O].
            target: as for the loss, which has a ``gradient`` method.
        """
        loss = cast(Loss, self.loss)
        if isinstance(loss, Loss):
            value, slope = loss.value_and_gradient(prediction, target)
        else:
            value, slope = loss(prediction, target), loss.gradient(prediction, target)
        return (value + self.penalty(self.weights) if self.penalty else value), slope

    def corners(self, prediction: Tensor, target: Tensor) -> list[Tensor]:
        """What passes through zero where the loss or a penalty is not smooth; see ``Loss.corners``.

        Args:
            prediction: the model's output, shape [..., B, O].
            target: as for the loss.
        """
        of_loss = self.loss.corners(prediction, target) if isinstance(self.loss, Loss) else None
        of_penalty = self.penalty.corners(self.weights)
        return [corners for corners in (of_loss, of_penalty) if corners is not None]
