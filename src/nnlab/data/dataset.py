"""What every data set is made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from torch import Tensor

if TYPE_CHECKING:
    from nnlab.data.stream.stored import StoredRows
    from nnlab.data.table.encoding import Encoding

Task = Literal["regression", "binary", "multiclass"]


@dataclass(frozen=True)
class Split:
    """The rows of one split, as the user knows them: before any preprocessing.

    Args:
        inputs: float32, shape [N, F].
        target: regression float32 [N, T]; binary float32 [N, 1] of 0 and 1; multiclass int64 [N].
        stored: the files that the tensors are maps of; None for rows in memory.
    """

    inputs: Tensor
    target: Tensor
    stored: "StoredRows | None" = None

    def __len__(self) -> int:
        return self.inputs.shape[0]

    def blocks(self, num_rows: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The rows in order, some at a time.

        Args:
            num_rows: in a block; the last one holds the rest.

        Yields:
            Inputs and target; of rows on disk, in memory that is given back with them.
        """
        for start in range(0, len(self), num_rows):
            stop = min(start + num_rows, len(self))
            if self.stored is not None:
                yield self.stored.read(start, stop)
            else:
                yield self.inputs[start:stop], self.target[start:stop]


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
        fingerprint: the SHA-256 of the rows where it is known already; see ``nnlab.rows.fingerprint``.
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
    fingerprint: str | None = None

    @property
    def num_outputs(self) -> int:
        """How many numbers a model puts out for one row: targets, one logit, or one logit a class."""
        return {"regression": len(self.target_names), "binary": 1, "multiclass": len(self.class_names)}[self.task]

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that exist, by name, in the order train, valid, test."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    @property
    def is_streamed(self) -> bool:
        """Whether the rows stay on disk."""
        return self.train.stored is not None

    def sample(self, most: int) -> "Dataset":
        """What tables and figures show: the data set itself, or some rows of one that stays on disk.

        Args:
            most: rows of each split, taken from many places.

        Returns:
            A data set in memory.
        """
        if not self.is_streamed:
            return self
        some = {name: _some_rows(split, most) for name, split in self.splits.items()}
        return replace(self, train=some["train"], valid=some.get("valid"), test=some.get("test"), fingerprint=None)


def _some_rows(split: Split, most: int) -> Split:
    assert split.stored is not None
    return Split(*split.stored.sample(most))


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
