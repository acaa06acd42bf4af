"""Squared for small errors, absolute for large ones."""

from typing import ClassVar, final

from torch import Tensor
from torch.nn import functional as F

from nnlab.data.dataset import Task
from nnlab.loss.base import Loss


@final
class Huber(Loss):
    """``d^2 / 2`` where ``|d| <= delta``, else ``delta (|d| - delta / 2)``, ``d = p - t`` (``torch.nn.HuberLoss``).

    Huber, Robust Estimation of a Location Parameter, 1964. Mean over the outputs, then over the samples.

    Args:
        delta: where the square turns into a line, in the units of the target that is trained on; positive.

    Raises:
        ValueError: if delta is not positive.

    Example:
        >>> import torch
        >>> Huber(delta=1.0)(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.5], [0.0]]))
        tensor(1.3125)
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "binary"})
    reads: ClassVar[str] = "value"

    def __init__(self, delta: float) -> None:
        if not delta > 0:
            raise ValueError(f"loss.delta: expected a number > 0, found {delta}")
        self.delta = delta

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample, as ``Loss.per_sample``."""
        terms = F.huber_loss(prediction, target.expand_as(prediction), reduction="none", delta=self.delta)
        return terms.mean(dim=-1)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss, as ``Loss.__call__``."""
        if prediction.dim() > 2:
            return super().__call__(prediction, target)
        return F.huber_loss(prediction, target, delta=self.delta)

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative over B rows of O, as ``Loss.gradient``.

        Of ``d^2 / 2`` it is d, of ``delta |d|`` it is delta sign(d), and at ``|d| = delta`` they meet: d, held between
        -delta and delta, divided by B O.
        """
        errors = prediction - target
        return errors.clamp(-self.delta, self.delta) / prediction.shape[-2:].numel()

    def corners(self, prediction: Tensor, target: Tensor) -> Tensor:
        """``|p - t| - delta``: at 0 the curvature jumps from 1 to 0. See ``Loss.corners``."""
        return (prediction - target).abs() - self.delta


@final
class SmoothL1(Loss):
    """``d^2 / (2 beta)`` where ``|d| < beta``, else ``|d| - beta / 2``, with ``d = p - t`` (``torch.nn.SmoothL1Loss``).

    Huber's loss divided by its delta. Girshick, Fast R-CNN, 2015. Mean over the outputs, then over the samples.

    Args:
        beta: where the square turns into a line, in the units of the target that is trained on; 0 gives L1.

    Raises:
        ValueError: if beta is negative.

    Example:
        >>> import torch
        >>> SmoothL1(beta=2.0)(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [0.0]]))
        tensor(1.1250)
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "binary"})
    reads: ClassVar[str] = "value"

    def __init__(self, beta: float) -> None:
        if not beta >= 0:
            raise ValueError(f"loss.beta: expected a number >= 0, found {beta}")
        self.beta = beta

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample, as ``Loss.per_sample``."""
        terms = F.smooth_l1_loss(prediction, target.expand_as(prediction), reduction="none", beta=self.beta)
        return terms.mean(dim=-1)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss, as ``Loss.__call__``."""
        if prediction.dim() > 2:
            return super().__call__(prediction, target)
        return F.smooth_l1_loss(prediction, target, beta=self.beta)

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative over B rows of O, as ``Loss.gradient``.

        Of ``d^2 / (2 beta)`` it is d / beta, of ``|d|`` it is sign(d), and at ``|d| = beta`` they meet: d / beta, held
        between -1 and 1, divided by B O. With beta = 0 it is sign(d), 0 at 0.
        """
        errors = prediction - target
        slope = (errors / self.beta).clamp(-1, 1) if self.beta else errors.sign()
        return slope / prediction.shape[-2:].numel()

    def corners(self, prediction: Tensor, target: Tensor) -> Tensor:
        """``|p - t| - beta``: at 0 the curvature jumps; with beta = 0 the slope, at ``p - t``. See ``Loss.corners``."""
        errors = prediction - target
        return errors.abs() - self.beta if self.beta else errors
