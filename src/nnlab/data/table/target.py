"""What the target's cells become, and which task follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, final, get_args

import numpy as np

from nnlab.data.dataset import Task
from nnlab.data.table.column import Table
from nnlab.data.table.kinds import as_kind, kind_of, wrong_cell
from nnlab.words import counted

#: whole numbers of at most so many different values are taken for classes
MOST_CLASS_NUMBERS = 10
#: if each of them stands in at least so many rows
LEAST_ROWS_OF_A_CLASS = 2
#: classes that a message shows at most
_MOST_SHOWN = 10


@final
@dataclass(frozen=True)
class TargetEncoding:
    """The task, and the target's columns and classes.

    Args:
        task: ``regression``, ``binary`` or ``multiclass``.
        names: the target's columns; a single one for classification.
        class_names: as in the file, numbers as their digits; in order of their codes: numbers by size, texts
            alphabetically. Empty for regression.
    """

    task: Task
    names: tuple[str, ...]
    class_names: tuple[str, ...] = ()

    def encode(self, table: Table, rows: np.ndarray) -> np.ndarray:
        """Targets as numbers.

        Args:
            table: with the raw columns.
            rows: those to encode, int [M]; none of their targets is empty.

        Returns:
            Float32 [M, T] for regression, else class codes, int64 [M].

        Raises:
            ValueError: for a cell that is no number, or none of the classes.
        """
        if self.task == "regression":
            with np.errstate(over="ignore"):
                values = np.stack([as_kind(table, name, "number").values[rows] for name in self.names], axis=1)
                numbers = values.astype(np.float32)
            self._refuse_infinite(table, numbers, rows)
            return numbers
        (name,) = self.names
        column = as_kind(table, name, "category")
        code_of = {text: code for code, text in enumerate(self.class_names)}
        codes = np.array([*(code_of.get(text, -1) for text in column.texts), -1], np.int64)[column.values[rows]]
        if (unknown := rows[codes < 0]).size:
            raise wrong_cell(table, name, int(unknown[0]), f"one of the classes {_some(self.class_names)}")
        return np.asarray(codes)

    def _refuse_infinite(self, table: Table, numbers: np.ndarray, rows: np.ndarray) -> None:
        if not np.isfinite(numbers).all():
            row, place = np.argwhere(~np.isfinite(numbers))[0]
            raise wrong_cell(table, self.names[place], int(rows[row]), "a number within the range of float32")

    def to_json(self) -> dict[str, Any]:
        """The encoding as plain values."""
        return {"task": self.task, "names": list(self.names), "class_names": list(self.class_names)}

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """The encoding that ``to_json`` wrote down.

        Args:
            values: what ``json.loads`` gives.

        Raises:
            ValueError: if the values are not those of a target.
        """
        if not isinstance(values, Mapping) or set(values) != {"task", "names", "class_names"}:
            raise ValueError("table.target: expected the keys task, names and class_names")
        if values["task"] not in get_args(Task):
            raise ValueError(
                f"table.target.task: expected one of {', '.join(get_args(Task))}, found {values['task']!r}"
            )
        for key in ("names", "class_names"):
            texts = values[key]
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise ValueError(f"table.target.{key}: expected a list of texts, found {texts!r}")
            if len(set(texts)) != len(texts):
                raise ValueError(f"table.target.{key}: expected different texts")
        task, names, classes = values["task"], values["names"], values["class_names"]
        num_classes_fits = {"regression": not classes, "binary": len(classes) == 2, "multiclass": len(classes) >= 2}[
            task
        ]
        if not names or not num_classes_fits or (task != "regression" and len(names) != 1):
            raise ValueError(f"table.target: {task} does not fit {len(names)} names and {len(classes)} classes")
        return cls(task, tuple(names), tuple(classes))


def learn_target(
    table: Table, names: Sequence[str], rows: np.ndarray, task: str | None, types: Mapping[str, str]
) -> tuple[TargetEncoding, str]:
    """The task, from the cells if nobody says it, and the classes.

    Texts and booleans are classes. So are whole numbers with at most 10 different values of at least 2 rows each; all
    other numbers, and several targets, mean regression.

    Args:
        table: as it was read.
        names: the target's columns.
        rows: those whose target is not empty, int [M].
        task: None to infer it.
        types: declared kinds by column, checked.

    Returns:
        The encoding, and a sentence on the task and where it comes from.

    Raises:
        ValueError: for a target that cannot be learnt: constant, of one class, or nearly different in every row.

    Example:
        >>> from nnlab.data.table.column import Column
        >>> grade = Column("grade", "number", np.array([2.0, 1.0, 2.0, 1.0]))
        >>> learn_target(Table("t.csv", {"grade": grade}, 4), ["grade"], np.arange(4), None, {})[0]
        TargetEncoding(task='binary', names=('grade',), class_names=('1', '2'))
    """
    if task is not None and task not in get_args(Task):
        raise ValueError(f"data.task: expected one of {', '.join(get_args(Task))}, or null to infer it, found {task!r}")
    if not len(rows):
        raise ValueError(f"{table.source}: column {names[0]}: every cell of the target is empty")
    if len(names) > 1 and task not in (None, "regression"):
        raise ValueError(f"data.target: expected one column for {task}, found {len(names)}: {', '.join(names)}")
    inferred = _reason(table, names, rows, types)
    is_regression = task == "regression" if task is not None else inferred[0]
    encoding = _regression(table, names, rows) if is_regression else _classes(table, names[0], rows, task)
    reason = "as data.task says" if task is not None else f"inferred from {inferred[1]}; data.task=… chooses another"
    classes = f" of {len(encoding.class_names)} classes ({_some(encoding.class_names)})" * bool(encoding.class_names)
    return encoding, f"target {', '.join(names)}: {encoding.task}{classes}, {reason}"


def _reason(table: Table, names: Sequence[str], rows: np.ndarray, types: Mapping[str, str]) -> tuple[bool, str]:
    """Whether the cells mean a regression, and why."""
    if len(names) > 1:
        return True, f"{len(names)} target columns"
    column = table.columns[names[0]]
    kind = kind_of(column, types)
    if kind == "date":
        raise ValueError(f"data.target: column {names[0]} holds dates, which nothing here predicts; make them numbers")
    if kind != "number":
        words = {"boolean": "true and false", "category": "texts"}[kind]
        return False, f"data.types.{names[0]}" if names[0] in types else words
    values = as_kind(table, names[0], "number").values[rows]
    # Sorting a million numbers takes a while: most targets betray themselves at once.
    if len(np.unique(values[:1000])) > MOST_CLASS_NUMBERS:
        return True, "more than 10 different numbers"
    different, counts = np.unique(values, return_counts=True)
    if not (different == np.rint(different)).all():
        return True, "numbers with fractions"
    if len(different) > MOST_CLASS_NUMBERS:
        return True, "more than 10 different numbers"
    if counts.min() < LEAST_ROWS_OF_A_CLASS:
        return True, f"whole numbers, of which {different[np.argmin(counts)]:g} stands in one row only"
    return False, f"{len(different)} different whole numbers"


def _regression(table: Table, names: Sequence[str], rows: np.ndarray) -> TargetEncoding:
    for name in names:
        values = as_kind(table, name, "number").values[rows]
        if values.min() == values.max():
            raise ValueError(
                f"{table.source}: column {name}: the target is {values[0]:g} in every row; there is nothing to learn"
            )
    return TargetEncoding("regression", tuple(names))


def _classes(table: Table, name: str, rows: np.ndarray, task: str | None) -> TargetEncoding:
    column = as_kind(table, name, "category")
    counts = np.bincount(column.values[rows], minlength=len(column.texts))
    found = [text for text, count in zip(column.texts, counts, strict=True) if count]
    # A column of numbers has its texts in the order of the numbers.
    classes = tuple(found if table.columns[name].stored == "number" else sorted(found))
    if len(classes) == 1:
        raise ValueError(
            f"{table.source}: column {name}: every row is of the class {classes[0]!r}; expected at least 2"
        )
    if len(classes) > len(rows) / 2 and len(rows) > 4:
        advice = (
            "data.task=regression predicts the number"
            if table.columns[name].stored == "number"
            else "is it the target?"
        )
        raise ValueError(
            f"{table.source}: column {name}: {len(classes):,} classes in {counted(len(rows), 'row')}: "
            f"expected at most half as many classes as rows; {advice}"
        )
    if task == "binary" and len(classes) != 2:
        raise ValueError(f"data.task: binary needs 2 classes; column {name} has {len(classes)}: {_some(classes)}")
    return TargetEncoding("binary" if len(classes) == 2 and task != "multiclass" else "multiclass", (name,), classes)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_SHOWN]) + (f", … ({len(names)} in all)" if len(names) > _MOST_SHOWN else "")
