"""A metric: a ``Metric`` over a whole split. It says whether it reads labels, probabilities or values."""

from typing import ClassVar

import torch
from torch import Tensor

from nnlab.data.dataset import Task
from nnlab.metric.base import Metric, Reads


class Matthews(Metric):
    """Matthews' correlation of labels and truth, from -1 to 1 (``sklearn.metrics.matthews_corrcoef``)."""

    name: ClassVar[str] = "matthews"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    reads: ClassVar[Reads] = "label"
    greater_is_better: ClassVar[bool] = True

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The correlation, float64 [...], of class codes [..., N]."""
        return self.of_part(self.part(output, target))

    def part(self, output: Tensor, target: Tensor) -> Tensor:
        """True positives, true negatives, false positives, false negatives, [..., 4]: they add up over parts of rows.

        With it, rows that stay on disk (``data.streaming``) need not be in memory at once.
        """
        right, positive = output == target, output == 1
        counts = [right & positive, right & ~positive, ~right & positive, ~right & ~positive]
        return torch.stack([count.sum(dim=-1) for count in counts], dim=-1).double()

    def of_part(self, part: Tensor) -> Tensor:
        """The correlation of rows that were counted; 0 where it is not defined, as in scikit-learn."""
        tp, tn, fp, fn = part.unbind(-1)
        scale = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt()
        return torch.where(scale > 0, (tp * tn - fp * fn) / scale.clamp(min=1), 0.0)
