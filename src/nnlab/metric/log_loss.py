"""The logarithmic loss of probabilities."""

from typing import ClassVar, final

import torch
from torch import Tensor

from nnlab.data.dataset import Task
from nnlab.metric.base import Metric, Reads
from nnlab.metric.sums import mean_of, sum_and_count


@final
class LogLoss(Metric):
    """The mean of ``-log p`` of the right class (``sklearn.metrics.log_loss``).

    Probabilities are clipped to ``[eps, 1 - eps]`` first, eps being the machine epsilon of their type, as in
    scikit-learn.

    Example:
        >>> import torch
        >>> round(LogLoss()(torch.tensor([0.5, 0.8]), torch.tensor([0, 1])).item(), 4)
        0.4581
    """

    name: ClassVar[str] = "log_loss"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multiclass"})
    reads: ClassVar[Reads] = "probability"
    greater_is_better: ClassVar[bool] = False

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric over all rows, as ``Metric.__call__``."""
        return self._losses(output, target).mean(dim=-1)

    def part(self, output: Tensor, target: Tensor) -> Tensor:
        """The sum over the rows and their number, [..., 2]."""
        return sum_and_count(self._losses(output, target))

    def of_part(self, part: Tensor) -> Tensor:
        """See ``Metric``."""
        return mean_of(part)

    def _losses(self, output: Tensor, target: Tensor) -> Tensor:
        """Of each row, float64 [..., N]."""
        if output.dim() == target.dim():
            of_target = torch.where(target == 1, output, 1 - output)
        else:
            of_target = output.gather(-1, target.unsqueeze(-1)).squeeze(-1)
        eps = torch.finfo(output.dtype).eps
        return -of_target.clamp(eps, 1 - eps).double().log()
