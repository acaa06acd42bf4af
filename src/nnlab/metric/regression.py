"""Mean errors of values."""

from typing import ClassVar, final

from torch import Tensor

from nnlab.data.dataset import Task
from nnlab.metric.base import Metric, Reads
from nnlab.metric.sums import mean_of, sum_and_count


@final
class MAE(Metric):
    """The mean absolute error, in the target's units (``sklearn.metrics.mean_absolute_error``).

    Several targets count equally.

    Example:
        >>> import torch
        >>> MAE()(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [1.0]])).item()
        1.5
    """

    name: ClassVar[str] = "mae"
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    reads: ClassVar[Reads] = "value"
    greater_is_better: ClassVar[bool] = False

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric over all rows, as ``Metric.__call__``."""
        return (output.double() - target.double()).abs().mean(dim=(-2, -1))

    def part(self, output: Tensor, target: Tensor) -> Tensor:
        """The sum over rows and targets and how many there are, [..., 2]."""
        return sum_and_count((output.double() - target.double()).abs().flatten(-2))

    def of_part(self, part: Tensor) -> Tensor:
        """See ``Metric``."""
        return mean_of(part)


@final
class RMSE(Metric):
    """The root of the mean squared error, in the target's units (``sklearn.metrics.root_mean_squared_error``).

    With several targets the mean of each one's root, as in scikit-learn, not the root of the common mean.

    Example:
        >>> import torch
        >>> RMSE()(torch.tensor([[1.0], [7.0]]), torch.tensor([[0.0], [0.0]])).item()
        5.0
    """

    name: ClassVar[str] = "rmse"
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    reads: ClassVar[Reads] = "value"
    greater_is_better: ClassVar[bool] = False

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric over all rows, as ``Metric.__call__``."""
        return (output.double() - target.double()).square().mean(dim=-2).sqrt().mean(dim=-1)

    def part(self, output: Tensor, target: Tensor) -> Tensor:
        """For each target the sum over the rows and their number, [..., T, 2]."""
        return sum_and_count((output.double() - target.double()).square().mT)

    def of_part(self, part: Tensor) -> Tensor:
        """See ``Metric``."""
        return mean_of(part).sqrt().mean(dim=-1)
