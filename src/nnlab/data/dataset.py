"""What every data set is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

if TYPE_CHECKING:
    from nnlab.data.table.encoding import Encoding

Task = Literal["regression", "binary", "multiclass"]


@dataclass(frozen=True)
class Split:
    """The rows of one split, as the user knows them: before any preprocessing.

    Args:
        inputs: float32, shape [N, F].
        target: regression float32 [N, T]; binary float32 [N, 1] of 0 and 1; multiclass int64 [N].
    """

    inputs: Tensor
    target: Tensor

    def __len__(self) -> int:
        return self.inputs.shape[0]


@dataclass(frozen=True)
class Dataset:
    """A data set: its task, its splits and the names of its columns.

    Args:
        task: ``regression``, ``binary`` or ``multiclass``.
        train: the rows to train on.
        valid: the rows to select on, or None where the set is too small to split.
        test: the rows to report on, or None.
        input_names: one name for each of the F input columns.
        target_names: one name for each target column (a single one for classification).
        class_names: one name for each class, in the order of the target's codes; empty for regression.
        encoding: how raw columns became the inputs, learnt from the training rows; None for a set that has no others.
        notes: one sentence for each thing that was inferred, filled in or left out.
        num_empty: of each raw column, the training cells that were filled in; no numbers where none ever is.
    """

    task: Task
    train: Split
    valid: Split | None
    test: Split | None
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]
    class_names: tuple[str, ...] = ()
    encoding: "Encoding | None" = None
    notes: tuple[str, ...] = ()
    num_empty: tuple[int, ...] = ()

    @property
    def num_outputs(self) -> int:
        """How many numbers a model puts out for one row: targets, one logit, or one logit a class."""
        return {"regression": len(self.target_names), "binary": 1, "multiclass": len(self.class_names)}[self.task]

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that exist, by name, in the order train, valid, test."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}


def cut(inputs: Tensor, target: Tensor, sizes: Sequence[int]) -> tuple[Split, Split | None, Split | None]:
    """Cut rows, in order, into train, valid and test.

    Args:
        inputs: shape [N, F].
        target: shape [N, …].
        sizes: rows in train, valid and test; a zero means that there is no such split. Their sum is at most N.

    Returns:
        The three splits, None where the size is zero.
    """
    parts: list[Split | None] = []
    start = 0
    for size in sizes:
        rows = slice(start, start + size)
        parts.append(Split(inputs[rows].contiguous(), target[rows].contiguous()) if size else None)
        start += size
    train, valid, test = parts
    assert train is not None
    return train, valid, test
