"""Cross-entropy over several classes."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F

from nnlab.data.dataset import Task
from nnlab.loss.base import Loss
from nnlab.loss.class_weight import ClassWeight, numbers_of


@final
class CrossEntropy(Loss):
    """Cross-entropy of the softmax of the logits with the target's class (``torch.nn.CrossEntropyLoss``).

    With class weights the mean is ``sum w l / sum w``, torch's own; a batch of nothing but classes of weight zero
    has none and gives NaN.

    Args:
        label_smoothing: the share of the target that is spread evenly over all classes, 0 to 1. Szegedy et al.,
            Rethinking the Inception Architecture for Computer Vision, 2016.
        class_weight: one weight for each class, in the order of the codes; None for equal ones.

    Raises:
        ValueError: if the smoothing is not within 0 and 1, a weight is negative, or all are zero; at the first call,
            if the weights are not as many as the model's outputs.

    Example:
        >>> import torch
        >>> CrossEntropy(label_smoothing=0.0)(torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([0, 2]))
        tensor(0.6691)
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"multiclass"})
    reads: ClassVar[str] = "logit"

    def __init__(self, label_smoothing: float, class_weight: ClassWeight = None) -> None:
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"loss.label_smoothing: expected a number from 0 to 1, found {label_smoothing}")
        self.label_smoothing = label_smoothing
        self.class_weight = numbers_of(class_weight)
        self._weight: Tensor | None = None

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample, as ``Loss.per_sample``."""
        if prediction.dim() > 2 and self.class_weight is None:
            logits = prediction.mT
            return self._terms(logits.log_softmax(dim=-2), _at_class(logits, target)).squeeze(-2)
        shape = prediction.shape[:-1]
        terms = F.cross_entropy(
            prediction.flatten(0, -2),
            target.expand(shape).flatten(),
            weight=self._weight_for(prediction),
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        return terms.view(shape)

    def sample_weight(self, target: Tensor) -> Tensor | None:
        """What each sample counts, as ``Loss.sample_weight``."""
        if self.class_weight is None:
            return None
        if self._weight is None or self._weight.device != target.device:
            return torch.tensor(self.class_weight, device=target.device)[target]
        return self._weight[target]

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss, as ``Loss.__call__``."""
        if prediction.dim() > 2:
            return super().__call__(prediction, target)
        weight = self._weight_for(prediction)
        return F.cross_entropy(prediction, target, weight=weight, label_smoothing=self.label_smoothing)

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative over B rows of C classes, as ``Loss.gradient``: ``(s - q) / B`` with the softmax s.

        The loss of a row is ``-sum_c q_c log s_c`` with the target's distribution q: 1 at its class; with the smoothing
        e, 1 - e there plus e / C everywhere. As the derivative of ``log s_c`` by the logit p_j is ``[c = j] - s_j``,
        that of the loss is ``s_j sum_c q_c - q_j``. The sum is 1, unless class weights multiply q; then the sum of the
        rows' weights takes the place of B.
        """
        spread = self.label_smoothing / prediction.shape[-1]
        index = target.expand(prediction.shape[:-1]).unsqueeze(-1)
        q = torch.full_like(prediction, spread).scatter_(-1, index, 1 - self.label_smoothing + spread)
        softmax = prediction.softmax(dim=-1)
        weight = self._weight_for(prediction)
        if weight is None:
            return (softmax - q) / prediction.shape[-2]
        q = q * weight
        return (softmax * q.sum(dim=-1, keepdim=True) - q) / weight[target].sum(dim=-1)[..., None, None]

    def value_and_gradient(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Loss.value_and_gradient``; with run axes along the classes, where torch's kernels are fast."""
        if prediction.dim() == 2 or self.class_weight is not None:
            return super().value_and_gradient(prediction, target)
        logits = prediction.mT
        at_class = _at_class(logits, target)
        value = self._terms(logits.log_softmax(dim=-2), at_class).mean(dim=(-2, -1))
        # Not from the logarithms, of which MKL's exponential takes longer than this.
        slope = logits.softmax(dim=-2)
        num_classes, num_rows = slope.shape[-2:]
        if self.label_smoothing:
            slope.sub_(self.label_smoothing / num_classes)
        slope.scatter_add_(-2, at_class, slope.new_full((), self.label_smoothing - 1).expand(at_class.shape))
        return value, slope.div_(num_rows).mT

    def _terms(self, logs: Tensor, at_class: Tensor) -> Tensor:
        """The loss of each sample, [..., 1, B], from the logarithms of the softmax, [..., C, B], and ``_at_class``."""
        terms = logs.gather(-2, at_class).neg_()
        if not self.label_smoothing:
            return terms
        return torch.lerp(terms, -logs.mean(dim=-2, keepdim=True), self.label_smoothing)

    def _weight_for(self, prediction: Tensor) -> Tensor | None:
        # Kept on the device: a copy from the host in every step would stall it.
        if self.class_weight is None:
            return None
        dtype = torch.float64 if prediction.dtype == torch.float64 else torch.float32
        if self._weight is None or self._weight.dtype != dtype or self._weight.device != prediction.device:
            numbers_of(self.class_weight, num_classes=prediction.shape[-1])
            self._weight = torch.tensor(self.class_weight, dtype=dtype, device=prediction.device)
        return self._weight


def _at_class(logits: Tensor, target: Tensor) -> Tensor:
    """Where among logits [..., C, B] each row's class is, as an index [..., 1, B].

    Logits of many runs have their classes before their rows: torch's kernels are ten times faster along an axis that is
    not the last, where the last is long and classes are few.
    """
    wanted = logits.shape[:-2] + target.shape[-1:]
    return (target if target.shape == wanted else target.expand(wanted)).unsqueeze(-2)
