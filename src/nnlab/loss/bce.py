"""Binary cross-entropy on logits."""

from typing import ClassVar, final

from torch import Tensor
from torch.nn import functional as F

from nnlab.data.dataset import Task
from nnlab.loss.base import Loss
from nnlab.loss.class_weight import ClassWeight, numbers_of


@final
class BCE(Loss):
    """Binary cross-entropy on logits, ``-t log s(p) - (1 - t) log(1 - s(p))`` with the sigmoid s, by log-sum-exp.

    ``torch.nn.BCEWithLogitsLoss``; with class weights the mean is ``sum w l / sum w``, as in
    ``torch.nn.CrossEntropyLoss``.

    Args:
        class_weight: the weights of class 0 and class 1; None for equal ones.

    Raises:
        ValueError: if the weights are not two, one is negative or both are zero.

    Example:
        >>> import torch
        >>> BCE()(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0]]))
        tensor(0.4100)
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    reads: ClassVar[str] = "logit"

    def __init__(self, class_weight: ClassWeight = None) -> None:
        self.class_weight = numbers_of(class_weight, num_classes=2)

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample, as ``Loss.per_sample``."""
        terms = F.binary_cross_entropy_with_logits(prediction, target.expand_as(prediction), reduction="none")
        weight = self.sample_weight(target)
        return terms.squeeze(-1) if weight is None else terms.squeeze(-1) * weight

    def sample_weight(self, target: Tensor) -> Tensor | None:
        """What each sample counts, as ``Loss.sample_weight``."""
        if self.class_weight is None:
            return None
        negative, positive = self.class_weight
        return (negative + (positive - negative) * target).squeeze(-1)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss, as ``Loss.__call__``."""
        if prediction.dim() > 2:
            return super().__call__(prediction, target)
        weight = self.sample_weight(target)
        if weight is None:
            return F.binary_cross_entropy_with_logits(prediction, target)
        weight = weight.unsqueeze(-1)
        return F.binary_cross_entropy_with_logits(prediction, target, weight, reduction="sum") / weight.sum()

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative over B rows, as ``Loss.gradient``: ``(s(p) - t) / B``.

        As ``s' = s (1 - s)``, that of ``-t log s - (1 - t) log(1 - s)`` is ``-t (1 - s) + (1 - t) s = s - t``. With
        class weights it is ``w (s(p) - t) / sum w``.
        """
        errors = prediction.sigmoid() - target
        weight = self.sample_weight(target)
        if weight is None:
            return errors / prediction.shape[-2:].numel()
        share = weight / weight.sum(dim=-1, keepdim=True)
        return errors * share.unsqueeze(-1)
