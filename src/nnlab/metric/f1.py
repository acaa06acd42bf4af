"""The F1 score."""

from typing import ClassVar, final

from torch import Tensor

from nnlab.data.dataset import Task
from nnlab.metric.base import Metric, Reads
from nnlab.metric.confusion import confusion_counts, sum_of_counts


@final
class F1(Metric):
    """The harmonic mean of precision and recall, ``2 TP / (2 TP + FP + FN)`` (``sklearn.metrics.f1_score``).

    Of class 1 for a binary task; for several classes the plain mean over those that occur in target or predictions
    (scikit-learn's ``macro``). A score without any true positive, or without anything to count, is 0.

    Args:
        task: the data's task, ``binary`` or ``multiclass``: labels alone do not tell them apart.

    Example:
        >>> import torch
        >>> F1("binary")(torch.tensor([1, 1, 1, 0]), torch.tensor([1, 1, 0, 0])).item()
        0.8
    """

    name: ClassVar[str] = "f1"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary", "multiclass"})
    reads: ClassVar[Reads] = "label"
    greater_is_better: ClassVar[bool] = True

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric over all rows, as ``Metric.__call__``."""
        return self.of_part(self.part(output, target))

    def part(self, output: Tensor, target: Tensor) -> Tensor:
        """The confusion counts, [..., C, C]."""
        return confusion_counts(output, target).double()

    def of_part(self, part: Tensor) -> Tensor:
        """See ``Metric``."""
        num_predicted_and_true = part.sum(dim=-2) + part.sum(dim=-1)
        # An absent class has 0 / 0; dividing by 1 instead makes its score 0 and leaves the others alone.
        score = 2 * part.diagonal(dim1=-2, dim2=-1) / num_predicted_and_true.clamp(min=1)
        if self.task == "binary":
            return score[..., 1]
        return score.sum(dim=-1) / (num_predicted_and_true > 0).sum(dim=-1)

    def merged(self, one: Tensor, other: Tensor) -> Tensor:
        """See ``Metric``."""
        return sum_of_counts(one, other)
