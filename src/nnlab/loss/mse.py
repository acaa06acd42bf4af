"""Squared errors."""

from typing import ClassVar, final

from torch import Tensor
from torch.nn import functional as F

from nnlab.data.dataset import Task
from nnlab.loss.base import Loss


@final
class MSE(Loss):
    """The mean squared error, ``(p - t)^2``: mean over the outputs, then over the samples (``torch.nn.MSELoss``).

    Example:
        >>> import torch
        >>> MSE()(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [1.0]]))
        tensor(2.5000)
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "binary"})
    reads: ClassVar[str] = "value"

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample, as ``Loss.per_sample``."""
        return F.mse_loss(prediction, target.expand_as(prediction), reduction="none").mean(dim=-1)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss, as ``Loss.__call__``."""
        if prediction.dim() > 2:
            return super().__call__(prediction, target)
        return F.mse_loss(prediction, target)

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative ``2 (p - t) / (B O)`` of the mean of ``(p - t)^2`` over B rows of O, as ``Loss.gradient``."""
        return (prediction - target) * (2 / prediction.shape[-2:].numel())


@final
class HalfMSE(Loss):
    """Half the squared error, ``(p - t)^2 / 2``: mean over the outputs, then over the samples.

    Its gradient is the plain difference ``p - t``; the loss of TensorFlow Playground (``Errors.SQUARE``) and of
    scikit-learn's MLPRegressor.

    Example:
        >>> import torch
        >>> HalfMSE()(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [1.0]]))
        tensor(1.2500)
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "binary"})
    reads: ClassVar[str] = "value"

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample, as ``Loss.per_sample``."""
        return 0.5 * F.mse_loss(prediction, target.expand_as(prediction), reduction="none").mean(dim=-1)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss, as ``Loss.__call__``."""
        if prediction.dim() > 2:
            return super().__call__(prediction, target)
        return 0.5 * F.mse_loss(prediction, target)

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative ``(p - t) / (B O)`` of half the mean square over B rows of O, as ``Loss.gradient``."""
        return (prediction - target) / prediction.shape[-2:].numel()
