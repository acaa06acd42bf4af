"""What the numbers that a model puts out mean: labels, probabilities, values in the target's units."""

from typing import Literal

import torch
from torch import Tensor

from nnlab.data.dataset import Task

Output = Literal["value", "logit", "probability", "score"]

#: classes up to which comparing one after another is the fastest way to the largest output
MOST_COMPARED = 10


class Readout:
    """Reads a model's output, given what the loss makes of it.

    Args:
        task: the data's task.
        output: what the loss reads the output as (``Loss.reads``).
        negative: the code of class 0 in the target that the loss sees: 0, or -1 where outputs lie on both sides of
            zero (least squares on a tanh, hinge). Class 1 is always coded 1. Only for ``binary``.
        mean: the target's mean that was subtracted before training, shape [T]; None for nothing. Only for
            ``regression``.
        std: the target's standard deviation that it was divided by, shape [T]; None for nothing.
    """

    def __init__(
        self, task: Task, output: Output, negative: float = 0.0, mean: Tensor | None = None, std: Tensor | None = None
    ) -> None:
        self.task = task
        self.output = output
        self.negative = negative
        self.mean = mean
        self.std = std

    @classmethod
    def of_loss(cls, loss: object) -> "Readout":
        """The readout that a loss implies by itself: nnlab's losses say what they read, torch's are known by name.

        Args:
            loss: a loss of ``nnlab.loss`` or ``torch.nn``; anything else is taken to compare values.

        Returns:
            The readout, for a target coded 0 and 1 (hinge: -1 and 1).
        """
        name = type(loss).__name__.removesuffix("Loss")
        known: dict[str, tuple[Task, Output, float]] = {
            "CrossEntropy": ("multiclass", "logit", 0.0),
            "BCE": ("binary", getattr(loss, "reads", "probability"), 0.0),
            "BCEWithLogits": ("binary", "logit", 0.0),
            "BCEProbability": ("binary", "probability", 0.0),
            "Hinge": ("binary", "score", -1.0),
        }
        task, output, negative = known.get(name, ("regression", "value", 0.0))
        return cls(task, output, negative)

    def encode(self, target: Tensor) -> Tensor:
        """The data set's target as the loss wants it.

        Args:
            target: binary 0 and 1, [N, 1]; others as in ``Split``.

        Returns:
            The same shape: standardized values, ±1 codes, or the target itself.
        """
        if self.task == "binary" and self.negative:
            return target * (1 - self.negative) + self.negative
        if self.mean is not None and self.std is not None:
            return (target - self.mean.to(target)) / self.std.to(target)
        return target

    def target(self, encoded: Tensor) -> Tensor:
        """Back from what the loss sees: class codes, int64 [N], or values in the target's units, [N, T]."""
        if self.task == "binary":
            return (encoded > (1 + self.negative) / 2).squeeze(-1).long()
        return encoded if self.task == "multiclass" else self.value(encoded)

    def value(self, prediction: Tensor) -> Tensor:
        """Regression outputs in the target's units, [N, T]."""
        if self.mean is None or self.std is None:
            return prediction
        return prediction * self.std.to(prediction) + self.mean.to(prediction)

    def label(self, prediction: Tensor) -> Tensor:
        """The predicted class of each row, int64 [N]; with a run axis, [K, N]."""
        if self.task == "multiclass":
            return prediction.argmax(dim=-1) if prediction.dim() == 2 else _largest(prediction)
        threshold = 0.0 if self.output in ("logit", "score") else (1 + self.negative) / 2
        return (prediction > threshold).squeeze(-1).long()

    def probability(self, prediction: Tensor) -> Tensor:
        """The probability of class 1, [N], or of each class, [N, C].

        Outputs that are no probabilities are mapped to them without changing their order: a sigmoid for logits and
        hinge scores, a line from the code of class 0 to the code of class 1, clipped, for least squares.
        """
        if self.task == "multiclass":
            return prediction.mT.softmax(dim=-2).mT  # torch's kernel is ten times faster where the last axis is long
        flat = prediction.squeeze(-1)
        if self.output in ("logit", "score"):
            return torch.sigmoid(flat)
        return ((flat - self.negative) / (1 - self.negative)).clamp(0, 1)

    def read(self, reads: str, prediction: Tensor) -> Tensor:
        """The output as a metric wants it: ``label``, ``probability`` or ``value``."""
        if reads == "label":
            return self.label(prediction)
        return self.probability(prediction) if reads == "probability" else self.value(prediction)


def _largest(outputs: Tensor) -> Tensor:
    """``argmax`` over the last axis, whose kernel takes up to a hundred times as long where that axis is short.

    Args:
        outputs: shape [K, N, C], in any order in memory. Rows with NaN are put in some class; they have no finite loss.

    Returns:
        Shape [K, N].
    """
    first, *others = outputs.unbind(-1)
    if not 1 <= len(others) < MOST_COMPARED:
        return outputs.contiguous().argmax(dim=-1)
    largest, label = first, torch.zeros_like(first, dtype=torch.long)
    for number, other in enumerate(others, 1):
        is_larger = other > largest  # not where it is equal: the first of several counts
        label = torch.where(is_larger, number, label)
        largest = torch.maximum(largest, other)
    return label
