"""The coefficient of determination."""

from typing import ClassVar, final

import torch
from torch import Tensor

from nnlab.data.dataset import Task
from nnlab.metric.base import Metric, Reads


@final
class R2(Metric):
    """``1 - sum (t - p)^2 / sum (t - mean t)^2``, the plain mean over the targets (``sklearn.metrics.r2_score``).

    NaN if a target is the same in all rows (scikit-learn answers 0 or 1 there).

    Example:
        >>> import torch
        >>> R2()(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[1.0], [2.0], [3.0]])).item()
        0.5
    """

    name: ClassVar[str] = "r2"
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    reads: ClassVar[Reads] = "value"
    greater_is_better: ClassVar[bool] = True

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric over all rows, as ``Metric.__call__``."""
        output, target = output.double(), target.double()
        residual = (target - output).square().sum(dim=-2)
        total = (target - target.mean(dim=-2, keepdim=True)).square().sum(dim=-2)
        # The mean of equal numbers is rounded, so their total need not be 0 exactly.
        is_constant = target.amax(dim=-2) == target.amin(dim=-2)
        return _score(residual, total, is_constant)

    def part(self, output: Tensor, target: Tensor) -> Tensor:
        """For each target rows, mean, squares around the mean, residual, least and largest value, [..., T, 6]."""
        output, target = output.double(), target.double()
        mean = target.mean(dim=-2, keepdim=True)
        sums = [(target - mean).square().sum(dim=-2), (target - output).square().sum(dim=-2)]
        mean = mean.squeeze(-2)
        num_rows = torch.full_like(mean, target.shape[-2])
        return torch.stack([num_rows, mean, *sums, target.amin(dim=-2), target.amax(dim=-2)], dim=-1)

    def merged(self, one: Tensor, other: Tensor) -> Tensor:
        """See ``Metric``.

        Source: T. F. Chan, G. H. Golub and R. J. LeVeque, Updating formulae and a pairwise algorithm for computing
        sample variances, 1979: the squares around the mean of two sets are added by the distance of their means.
        """
        rows, mean, total, residual, least, largest = one.unbind(-1)
        own_rows, own_mean, own_total, own_residual, own_least, own_largest = other.unbind(-1)
        all_rows, distance = rows + own_rows, own_mean - mean
        sums = [total + own_total + distance.square() * rows * own_rows / all_rows, residual + own_residual]
        extremes = [torch.minimum(least, own_least), torch.maximum(largest, own_largest)]
        return torch.stack([all_rows, mean + distance * own_rows / all_rows, *sums, *extremes], dim=-1)

    def of_part(self, part: Tensor) -> Tensor:
        """See ``Metric``."""
        _, _, total, residual, least, largest = part.unbind(-1)
        return _score(residual, total, least == largest)


def _score(residual: Tensor, total: Tensor, is_constant: Tensor) -> Tensor:
    return (1 - residual / total).masked_fill(is_constant, torch.nan).mean(dim=-1)
