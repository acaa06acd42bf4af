"""Binary cross-entropy on probabilities."""

import math
from typing import Any, ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F

from nnlab.data.dataset import Task
from nnlab.loss.base import Loss


@final
class BCEProbability(Loss):
    """Binary cross-entropy on the output of a sigmoid, ``-t log p - (1 - t) log(1 - p)``, logarithms cut at -100.

    Value and gradient are those of ``torch.nn.BCELoss``, which however stops with an error (on CUDA, kills the
    process) at a NaN or at anything else outside 0 to 1; here these give NaN. ``BCE`` on logits is the safer choice: a
    saturated sigmoid has no gradient left.

    Example:
        >>> import torch
        >>> BCEProbability()(torch.tensor([[0.5], [0.8]]), torch.tensor([[0.0], [1.0]]))
        tensor(0.4581)
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    reads: ClassVar[str] = "probability"

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample, as ``Loss.per_sample``."""
        return _terms(prediction, target.expand_as(prediction)).squeeze(-1)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss, as ``Loss.__call__``."""
        if prediction.dim() > 2 or not prediction.is_cpu:
            return super().__call__(prediction, target)
        try:
            return F.binary_cross_entropy(prediction, target)  # the same as below at half the cost
        except RuntimeError:  # what is no probability, NaN first of all
            return super().__call__(prediction, target)

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative over B rows, as ``Loss.gradient``: ``(p - t) / (p (1 - p)) / B``.

        That is ``-t / p + (1 - t) / (1 - p)`` as one fraction. Where p (1 - p) is below 1e-12 it is divided by that, as
        torch does; the loss itself is steeper there until its logarithms are cut, and flat from there on.
        """
        slope = _derivative(prediction.to(target.dtype), target) / prediction.shape[-2:].numel()
        return slope.to(prediction.dtype)

    def corners(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The distances of p and 1 - p from ``exp(-100)``, where their logarithms are cut. See ``Loss.corners``.

        Returns:
            Shape [..., B, 2]; 1 for a logarithm that counts nothing because the target is 0 or 1.
        """
        p = prediction.to(target.dtype)
        both = torch.cat([p, 1 - p], dim=-1) - math.exp(-100)
        counts = torch.cat([target > 0, target < 1], dim=-1)
        return torch.where(counts, both, 1.0)


#: torch's 1e-12, which it holds in float32 even for float64
_LEAST = 9.999999960041972e-13


def _derivative(probability: Tensor, target: Tensor) -> Tensor:
    return (probability - target) / (probability * (1 - probability)).clamp(min=_LEAST)


def _terms(probability: Tensor, target: Tensor) -> Tensor:
    # Half precision cannot hold the 1e-12 below; the target never comes in it.
    terms: Tensor = _CrossEntropyTerms.apply(probability.to(target.dtype), target)  # type: ignore[no-untyped-call]
    return terms


class _CrossEntropyTerms(torch.autograd.Function):
    """The terms with their closed derivative ``(p - t) / max(p (1 - p), 1e-12)``, torch's own.

    Left to autograd, the cut logarithms would have a derivative of 0 * inf = NaN at p = 0 and 1, and 1 / p instead of
    torch's bound near them.
    """

    @staticmethod
    def forward(ctx: Any, probability: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(probability, target)
        log_other = (-probability).log1p_().clamp_(min=-100)
        return torch.lerp(log_other, probability.log().clamp_(min=-100), target).neg_()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        probability, target = ctx.saved_tensors
        return _derivative(probability, target) * grad, None
