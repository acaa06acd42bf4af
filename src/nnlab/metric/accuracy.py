"""The share of rows that were put in the right class."""

from typing import ClassVar, final

from torch import Tensor

from nnlab.data.dataset import Task
from nnlab.metric.base import Metric, Reads
from nnlab.metric.confusion import confusion_counts, sum_of_counts
from nnlab.metric.sums import mean_of, sum_and_count


@final
class Accuracy(Metric):
    """The share of right labels (``sklearn.metrics.accuracy_score``).

    Example:
        >>> import torch
        >>> Accuracy()(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2])).item()
        0.75
    """

    name: ClassVar[str] = "accuracy"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multiclass"})
    reads: ClassVar[Reads] = "label"
    greater_is_better: ClassVar[bool] = True

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric over all rows, as ``Metric.__call__``."""
        return (output == target).double().mean(dim=-1)

    def part(self, output: Tensor, target: Tensor) -> Tensor:
        """Right labels and rows, [..., 2]."""
        return sum_and_count((output == target).double())

    def of_part(self, part: Tensor) -> Tensor:
        """See ``Metric``."""
        return mean_of(part)


@final
class BalancedAccuracy(Metric):
    """The mean recall over the classes that occur in the target (``sklearn.metrics.balanced_accuracy_score``).

    Example:
        >>> import torch
        >>> BalancedAccuracy()(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1])).item()
        0.75
    """

    name: ClassVar[str] = "balanced_accuracy"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multiclass"})
    reads: ClassVar[Reads] = "label"
    greater_is_better: ClassVar[bool] = True

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric over all rows, as ``Metric.__call__``."""
        return self.of_part(self.part(output, target))

    def part(self, output: Tensor, target: Tensor) -> Tensor:
        """The confusion counts, [..., C, C]."""
        return confusion_counts(output, target).double()

    def of_part(self, part: Tensor) -> Tensor:
        """See ``Metric``."""
        recall = part.diagonal(dim1=-2, dim2=-1) / part.sum(dim=-1)
        return recall.nanmean(dim=-1)

    def merged(self, one: Tensor, other: Tensor) -> Tensor:
        """See ``Metric``."""
        return sum_of_counts(one, other)
