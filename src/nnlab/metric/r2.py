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
        return (1 - residual / total).masked_fill(is_constant, torch.nan).mean(dim=-1)
