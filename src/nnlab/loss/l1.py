"""Absolute errors."""

from typing import ClassVar, final

from torch import Tensor
from torch.nn import functional as F

from nnlab.data.dataset import Task
from nnlab.loss.base import Loss


@final
class L1(Loss):
    """The mean absolute error, ``|p - t|``: mean over the outputs, then over the samples (``torch.nn.L1Loss``).

    Example:
        >>> import torch
        >>> L1()(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [1.0]]))
        tensor(1.5000)
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "binary"})
    reads: ClassVar[str] = "value"

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample, as ``Loss.per_sample``."""
        return F.l1_loss(prediction, target.expand_as(prediction), reduction="none").mean(dim=-1)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss, as ``Loss.__call__``."""
        if prediction.dim() > 2:
            return super().__call__(prediction, target)
        return F.l1_loss(prediction, target)

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative ``sign(p - t) / (B O)`` over B rows of O, with sign(0) = 0, as ``Loss.gradient``."""
        return (prediction - target).sign() / prediction.shape[-2:].numel()

    def corners(self, prediction: Tensor, target: Tensor) -> Tensor:
        """``p - t``: the slope jumps at 0. See ``Loss.corners``."""
        return prediction - target
