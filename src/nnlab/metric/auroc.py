"""The area under the receiver operating characteristic."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F

from nnlab.data.dataset import Task
from nnlab.metric.base import Metric, Reads


@final
class AUROC(Metric):
    """The chance that a row of the class scores higher than a row outside it, ties counting half.

    ``sklearn.metrics.roc_auc_score``; for several classes each against the rest, then the plain mean
    (``multi_class="ovr"``, ``average="macro"``). From the ranks by the Mann-Whitney statistic: Hanley and McNeil, The
    Meaning and Use of the Area under a ROC Curve, 1982. NaN if a class does not occur or is the only one.

    Example:
        >>> import torch
        >>> AUROC()(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1])).item()
        0.75
    """

    name: ClassVar[str] = "auroc"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multiclass"})
    reads: ClassVar[Reads] = "probability"
    greater_is_better: ClassVar[bool] = True

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric over all rows, as ``Metric.__call__``."""
        if output.dim() == target.dim():
            return _area(output, target == 1)
        classes = torch.arange(output.shape[-1], device=target.device)
        is_class = target.unsqueeze(-2) == classes.unsqueeze(-1)
        return _area(output.movedim(-1, -2), is_class).mean(dim=-1)

    def weighted(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See ``Metric``."""
        if output.dim() == target.dim():
            return _weighted_area(output, target == 1, weight.double())
        classes = torch.arange(output.shape[-1], device=target.device)
        is_class = target.unsqueeze(-2) == classes.unsqueeze(-1)
        return _weighted_area(output.movedim(-1, -2), is_class, weight.double().unsqueeze(-2)).mean(dim=-1)


def _area(score: Tensor, positive: Tensor) -> Tensor:
    """The area for scores and a mask of the same shape [..., N]; shape [...]."""
    ordered, order = score.sort(dim=-1)
    positive = positive.gather(-1, order).long()
    negative = 1 - positive
    # Tied rows stand next to each other: what is below a row is what stands before the first of its tie.
    starts = F.pad(ordered[..., 1:] != ordered[..., :-1], (1, 0), value=True)
    first = torch.where(starts, torch.arange(score.shape[-1], device=score.device), 0).cummax(dim=-1).values
    positives_below = F.pad(positive.cumsum(dim=-1), (1, 0)).gather(-1, first)
    wins = (positive * (first - positives_below)).sum(dim=-1)
    losses = (negative * positives_below).sum(dim=-1)
    num_pairs = positive.sum(dim=-1) * negative.sum(dim=-1)
    area = 0.5 + (wins - losses).double() / (2 * num_pairs)
    return area.masked_fill(score.isnan().any(dim=-1), torch.nan)


def _weighted_area(score: Tensor, positive: Tensor, weight: Tensor) -> Tensor:
    """As ``_area``, of rows that count differently: of the pairs' weights, those that are in the right order."""
    ordered, order = score.sort(dim=-1)
    weight = weight.expand(score.shape).gather(-1, order)
    is_positive = positive.gather(-1, order)
    of_positive, of_negative = weight * is_positive, weight * ~is_positive
    places = torch.arange(score.shape[-1], device=score.device)
    is_new = ordered[..., 1:] != ordered[..., :-1]
    first = torch.where(F.pad(is_new, (1, 0), value=True), places, 0).cummax(dim=-1).values
    last = torch.where(F.pad(is_new, (0, 1), value=True), places, score.shape[-1] - 1).flip(-1).cummin(dim=-1).values
    below = F.pad(of_negative.cumsum(dim=-1), (1, 0))
    # Of a tie, half of what stands in it counts.
    beaten = (below.gather(-1, first) + below.gather(-1, last.flip(-1) + 1)) / 2
    area = (of_positive * beaten).sum(dim=-1) / (of_positive.sum(dim=-1) * of_negative.sum(dim=-1))
    return area.masked_fill(score.isnan().any(dim=-1), torch.nan)
