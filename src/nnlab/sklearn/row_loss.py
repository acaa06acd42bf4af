"""Losses whose rows count differently, each with its weight beside the target."""

from collections.abc import Callable
from typing import ClassVar, Literal, final

import torch
from torch import Tensor
from torch.nn import functional as F

from nnlab.data.dataset import Task
from nnlab.loss.base import Loss

Kind = Literal["squared_error", "absolute_error", "huber", "poisson", "logistic", "softmax"]


@final
class RowLoss(Loss):
    """A weighted mean of the rows' losses, ``sum w l / sum w``, as scikit-learn's ``sample_weight`` means it.

    Args:
        kind: ``softmax`` of class codes, or the mean over the outputs of what else it names. ``poisson`` is half the
            Poisson deviance of a prediction's exponential; ``logistic`` reads logits.

    Example:
        >>> target = torch.tensor([[0.0, 3.0], [2.0, 1.0]])  # the last column has the weights
        >>> RowLoss("squared_error")(torch.zeros(2, 1), target)
        tensor(0.5000)
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "binary", "multiclass"})
    reads: ClassVar[str] = "value"

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each row times its weight, as ``Loss.per_sample``."""
        weight = target[..., -1]
        if self.kind == "softmax":
            logs = prediction.log_softmax(dim=-1)
            code = target[..., :1].long().expand(*logs.shape[:-1], 1)
            return -logs.gather(-1, code).squeeze(-1) * weight
        return _TERMS[self.kind](prediction, target[..., :-1].expand_as(prediction)).mean(dim=-1) * weight

    def sample_weight(self, target: Tensor) -> Tensor:
        """What each row counts, as ``Loss.sample_weight``."""
        return target[..., -1]


def _poisson(prediction: Tensor, target: Tensor) -> Tensor:
    return torch.xlogy(target, target) - target * prediction - target + prediction.exp()


_TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared_error": lambda prediction, target: (prediction - target).square() / 2,
    "absolute_error": lambda prediction, target: (prediction - target).abs(),
    "huber": lambda prediction, target: F.huber_loss(prediction, target, reduction="none"),
    "poisson": _poisson,
    "logistic": lambda prediction, target: F.binary_cross_entropy_with_logits(prediction, target, reduction="none"),
}


def with_weights(target: Tensor, weight: Tensor) -> Tensor:
    """A target as ``RowLoss`` wants it.

    Args:
        target: values [N, O], or class codes [N].
        weight: shape [N].

    Returns:
        Shape [N, O + 1], or [N, 2], in the weights' dtype.
    """
    columns = target.unsqueeze(-1) if target.dim() == 1 else target
    return torch.cat([columns.to(weight.dtype), weight.unsqueeze(-1)], dim=-1)
