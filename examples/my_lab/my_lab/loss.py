"""A loss: a ``Loss`` that knows the loss of each sample. It says which tasks it is for and how it reads outputs."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from nnlab.data.dataset import Task
from nnlab.loss import Loss


class Focal(Loss):
    """``(1 - p)^gamma`` times the cross-entropy ``-log p``, p being the probability of the right class.

    What is right already counts little. Source: Lin et al., Focal loss for dense object detection, ICCV 2017.

    Args:
        gamma: 0 for the plain cross-entropy.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    reads: ClassVar[str] = "logit"

    def __init__(self, gamma: float) -> None:
        if gamma < 0:
            raise ValueError(f"loss.gamma: expected a number >= 0, found {gamma}")
        self.gamma = gamma

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Of each sample, [..., B], for logits and targets [..., B, 1]."""
        negative_log = F.binary_cross_entropy_with_logits(prediction, target, reduction="none").squeeze(-1)
        return -(-(-negative_log).expm1()).pow(self.gamma).mul(-negative_log)
