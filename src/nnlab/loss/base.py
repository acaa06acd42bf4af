"""What every loss offers."""

from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor

from nnlab.data.dataset import Task


class Loss(ABC):
    """The mean over a batch of a loss for each sample.

    Tensors may carry leading run axes: a prediction of shape [K, B, O] gives K losses; a target without them is
    shared by all runs. Calling the loss gives the batch's mean, shape [...]; ``per_sample`` gives the terms, shape
    [..., B], and ``sample_weight`` their weights, so that a split read in chunks has the mean of the whole:
    ``per_sample(…).sum() / sample_weight(…).sum()``.
    """

    #: the tasks that the loss is defined for
    tasks: ClassVar[frozenset[Task]]

    #: what the model's output means to this loss: a ``value`` to compare with the target, a ``logit`` (before a
    #: sigmoid or softmax), a ``probability`` of class 1, or a ``score`` whose sign is the class
    reads: ClassVar[str]

    @abstractmethod
    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample.

        Args:
            prediction: the model's output, shape [..., B, O].
            target: shape [..., B, O], or [..., B] of class codes for multiclass.

        Returns:
            Shape [..., B]; multiplied by the sample's weight where there are class weights.
        """

    def sample_weight(self, target: Tensor) -> Tensor | None:
        """What each sample counts in the mean.

        Args:
            target: as for ``per_sample``.

        Returns:
            Shape [..., B], or None where all samples count 1.
        """
        return None

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative of the batch's mean loss with respect to the prediction: where backpropagation begins.

        Args:
            prediction: the model's output, shape [..., B, O].
            target: shape [..., B, O], or [..., B] of class codes for multiclass.

        Returns:
            Shape [..., B, O]; with run axes, each run's part is the derivative of that run's own mean.

        Raises:
            NotImplementedError: for a loss that does not know it; ``gradient=backprop`` refuses such a loss.
        """
        raise NotImplementedError(f"{type(self).__name__} has no gradient method")

    def value_and_gradient(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The batch's mean loss and its derivative, for a loss whose two halves share work.

        Args:
            prediction: as for ``gradient``.
            target: likewise.

        Returns:
            What calling the loss gives, and what ``gradient`` gives.
        """
        return self(prediction, target), self.gradient(prediction, target)

    def corners(self, prediction: Tensor, target: Tensor) -> Tensor | None:
        """Where the loss is not smooth, for those who compare it with finite differences.

        Args:
            prediction: the model's output, shape [..., B, O].
            target: as for ``per_sample``.

        Returns:
            Numbers, of any shape that starts with [...], each of which passes through zero exactly where the loss, its
            slope or its curvature jumps; None for a loss that is smooth everywhere.
        """
        return None

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss.

        Args:
            prediction: the model's output, shape [..., B, O].
            target: shape [..., B, O], or [..., B] of class codes for multiclass.

        Returns:
            Shape [...].
        """
        terms = self.per_sample(prediction, target)
        weight = self.sample_weight(target)
        return terms.mean(dim=-1) if weight is None else terms.sum(dim=-1) / weight.sum(dim=-1)


@final
class WeightedLoss(Loss):
    """Another loss's mean over rows that count differently: ``sum(v w l) / sum(v w)``.

    v is what the row counts by itself and w what the other loss makes of its class.

    Args:
        loss: of each row.
        weight: what each row counts, [..., B], not 0 everywhere.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset()
    reads: ClassVar[str] = "value"

    def __init__(self, loss: Loss, weight: Tensor) -> None:
        self._loss = loss
        self._weight = weight

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See ``Loss``."""
        return self._loss.per_sample(prediction, target) * self._weight

    def sample_weight(self, target: Tensor) -> Tensor:
        """See ``Loss``."""
        own = self._loss.sample_weight(target)
        return self._weight if own is None else own * self._weight

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See ``Loss``; the other loss's own is that of a mean in which rows count ``w / sum(w)``."""
        own = self._loss.sample_weight(target)
        total = prediction.shape[-2] if own is None else own.sum(dim=-1)
        share = self._weight * total / self.sample_weight(target).sum(dim=-1)
        return self._loss.gradient(prediction, target) * share.unsqueeze(-1)

    def corners(self, prediction: Tensor, target: Tensor) -> Tensor | None:
        """See ``Loss``."""
        return self._loss.corners(prediction, target)


class Penalty:
    """L1 and L2 penalties on the weights: ``l1 * sum |w| + l2 * sum w^2 / 2``.

    Weights are the matrices of the linear layers; biases and norm parameters are left alone, as in TensorFlow
    Playground and scikit-learn's MLP. The halved square makes ``l2`` what torch calls ``weight_decay`` for SGD.

    Args:
        l1: factor of the sum of absolute weights, non-negative.
        l2: factor of half the sum of squared weights, non-negative.

    Raises:
        ValueError: if a factor is negative.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        for name, value in {"l1": l1, "l2": l2}.items():
            if not value >= 0:
                raise ValueError(f"loss.{name}: expected a number >= 0, found {value}")
        self.l1 = l1
        self.l2 = l2

    def __bool__(self) -> bool:
        return self.l1 > 0 or self.l2 > 0

    def __call__(self, weights: list[Tensor]) -> Tensor:
        """The penalty.

        Args:
            weights: the weight matrices, [..., out, in].

        Returns:
            Shape [...].
        """
        terms = []
        for weight in weights:
            if self.l1:
                terms.append(self.l1 * weight.abs().sum((-2, -1)))
            if self.l2:
                terms.append(self.l2 / 2 * weight.square().sum((-2, -1)))
        return torch.stack(terms).sum(0)

    def gradient(self, weights: list[Tensor]) -> list[Tensor]:
        """The derivative with respect to each weight matrix: ``l1 * sign(w) + l2 * w``, with sign(0) = 0.

        Args:
            weights: the weight matrices.

        Returns:
            One tensor for each, of its shape.
        """
        return [self.l1 * weight.sign() + self.l2 * weight for weight in weights]

    def corners(self, weights: list[Tensor]) -> Tensor | None:
        """Where the penalty is not smooth: the slope of ``|w|`` jumps at w = 0.

        Args:
            weights: the weight matrices.

        Returns:
            All weights in one row, shape [N]; None without an L1 penalty, which is smooth.
        """
        return torch.cat([weight.flatten() for weight in weights]) if self.l1 > 0 else None
