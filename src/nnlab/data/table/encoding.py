"""What raw columns become before a model sees them, learnt from the training rows alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, cast, final, get_args

import numpy as np

from nnlab.data.check import check_count
from nnlab.data.table.choose import nearest_column
from nnlab.data.table.column import Column, Table
from nnlab.data.table.column_encoding import ColumnEncoding, Found, learn_column
from nnlab.data.table.kinds import as_kind, kind_of
from nnlab.data.table.target import TargetEncoding
from nnlab.words import counted

Missing = Literal["error", "drop", "impute"]

#: rows that are encoded at a time: a block of the matrix stays in the processor's cache
_BLOCK = 1 << 13
#: rows that are encoded on their way to the disk at a time
ROWS_OF_BLOCK = 1 << 16
#: columns that a message about missing cells names at most
_MOST_COLUMNS = 5


@dataclass(frozen=True, eq=False)
class Encoded:
    """Rows as numbers.

    Args:
        values: float32, shape [M, F].
        rows: the row of the table that each came from, int64 [M].
        notes: one sentence for each thing that was filled in, passed over or not known.
    """

    values: np.ndarray
    rows: np.ndarray
    notes: tuple[str, ...]


@final
@dataclass(frozen=True)
class Encoding:
    """Numbers as they are, booleans as 0 and 1, dates as days since the first, categories one-hot.

    Made by ``fit`` or ``from_json``.

    Args:
        columns: the raw input columns, in the order of the model's inputs.
        missing: what is done with empty cells: ``error`` refuses them, ``drop`` leaves their rows out, ``impute`` fills
            in the training rows' median (numbers, dates) or most frequent value (booleans, categories).
        target: what the target's cells become.
    """

    columns: tuple[ColumnEncoding, ...]
    missing: Missing
    target: TargetEncoding

    @classmethod
    def fit(
        cls,
        table: Table,
        features: Sequence[str],
        rows: np.ndarray,
        *,
        missing: Missing,
        types: Mapping[str, str],
        max_categories: int,
        target: TargetEncoding,
    ) -> Self:
        """Learn the encoding from the training rows.

        Args:
            table: as it was read.
            features: the input columns.
            rows: the training rows, int [M].
            missing: ``error``, ``drop`` or ``impute``.
            types: declared kinds by column, checked.
            max_categories: most different values of a category column.
            target: what the target's cells become.

        Returns:
            The fitted encoding.

        Raises:
            ValueError: for a column that cannot be learnt from, saying what to do with it.

        Example:
            >>> colour = Column("colour", "text", np.array([1, 0, 1], np.int32), ("red", "blue"))
            >>> table = Table("t.csv", {"colour": colour}, 3)
            >>> target = TargetEncoding("regression", ("price",))
            >>> rules = {"missing": "error", "types": {}, "max_categories": 50, "target": target}
            >>> fitted = Encoding.fit(table, ["colour"], np.arange(3), **rules)
            >>> fitted.input_names, fitted.encode(table).values.tolist()
            (('colour=blue', 'colour=red'), [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        """
        check_missing(missing)
        check_count("max_categories", max_categories, 1)
        columns = []
        for name in features:
            kind = kind_of(table.columns[name], types)
            column = as_kind(table, name, kind)
            declared = name in types
            columns.append(learn_column(table, column, kind, rows, missing == "impute", declared, max_categories))
        fitted = cls(tuple(columns), missing, target)
        double = [name for place, name in enumerate(fitted.input_names) if name in fitted.input_names[:place]]
        if double:
            raise ValueError(f"{table.source}: two inputs would be called {double[0]}; rename or exclude a column")
        return fitted

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the F columns that rows are encoded as; of a category, one for each value."""
        return tuple(name for column in self.columns for name in column.input_names)

    @property
    def summary(self) -> str:
        """Such as ``7 numbers, 2 categories (colour 3, city 12), 1 date``."""
        words = []
        for kind, noun in (("number", "number"), ("boolean", "boolean"), ("category", "categor"), ("date", "date")):
            of_kind = [column for column in self.columns if column.kind == kind]
            if kind == "category" and of_kind:
                each = ", ".join(f"{column.name} {len(column.categories)}" for column in of_kind)
                words.append(f"{len(of_kind):,} categor{'y' if len(of_kind) == 1 else 'ies'} ({each})")
            elif of_kind:
                words.append(counted(len(of_kind), noun))
        return ", ".join(words)

    def encode(self, table: Table, rows: np.ndarray | None = None) -> Encoded:
        """Rows as the numbers that a model takes, before any preprocessing.

        Args:
            table: with the raw columns, found by name; others are passed over.
            rows: those to encode, int [M]; None for all.

        Returns:
            The rows, in the order given; with ``drop``, those that are complete.

        Raises:
            ValueError: for an absent column, a cell of another kind, an infinite one, or an empty one with ``error``.
        """
        columns = [as_kind(table, column.name, column.kind) for column in self._present(table)]
        rows = np.arange(table.num_rows) if rows is None else rows
        empty = [column.missing()[rows] for column in columns]
        notes = []
        if self.missing == "drop":
            incomplete = np.logical_or.reduce(empty)
            if incomplete.any():
                rows, empty = rows[~incomplete], [cells[~incomplete] for cells in empty]
                notes.append(f"{table.source}: {counted(int(incomplete.sum()), 'row')} with empty cells left out")
        elif self.missing == "error":
            refuse_missing(table, self.raw_names, rows, empty)
        values = np.empty((len(rows), len(self.input_names)), np.float32)
        is_whole = len(rows) == table.num_rows
        parts = [
            column.numbers(cells, None if is_whole else rows)
            for column, cells in zip(self.columns, columns, strict=True)
        ]
        _fill(values, self.columns, parts)
        if not np.isfinite(values).all():
            self._refuse_infinite(table, columns, rows)
        for column, part, cells in zip(self.columns, parts, empty, strict=True):
            notes += column.notes(table, column.look(part, cells, rows))
        return Encoded(values, rows, tuple(notes))

    def encode_in_blocks(self, table: Table, rows: np.ndarray, found: list[Found]) -> Iterator[np.ndarray]:
        """Rows as ``encode`` gives them, some at a time.

        Args:
            table: with the raw columns.
            rows: those to encode, int [M]; complete ones, unless empty cells are filled in.
            found: for each column, to which is added what there is to be said of its cells.

        Yields:
            Float32 [B, F].

        Raises:
            ValueError: as ``encode``, of the first block that has to be refused.
        """
        columns = {column.name: as_kind(table, column.name, column.kind) for column in self._present(table)}
        ready = replace(table, columns=columns)
        for start in range(0, len(rows), ROWS_OF_BLOCK):
            block = rows[start : start + ROWS_OF_BLOCK]
            empty = [column.missing_in(block) for column in columns.values()]
            parts = [own.numbers(column, block) for own, column in zip(self.columns, columns.values(), strict=True)]
            values = np.empty((len(block), len(self.input_names)), np.float32)
            _fill(values, self.columns, parts)
            if not np.isfinite(values).all():
                self._refuse_infinite(ready, list(columns.values()), rows)
            for place, (own, part, cells) in enumerate(zip(self.columns, parts, empty, strict=True)):
                found[place] += own.look(part, cells, block)
            yield values

    @property
    def raw_names(self) -> tuple[str, ...]:
        """The names of the raw columns that are read."""
        return tuple(column.name for column in self.columns)

    def _present(self, table: Table) -> tuple[ColumnEncoding, ...]:
        absent = [name for name in self.raw_names if name not in table.columns]
        if absent:
            hints = ", ".join(f"{name}{nearest_column(name, table)}" for name in absent[:_MOST_COLUMNS])
            more = f", … ({len(absent)} in all)" if len(absent) > _MOST_COLUMNS else ""
            raise ValueError(f"{table.source}: missing column{'s' * (len(absent) != 1)}: {hints}{more}")
        return self.columns

    def _refuse_infinite(self, table: Table, columns: Sequence[Column], rows: np.ndarray) -> None:
        for column in columns:
            if column.stored != "number":
                continue
            with np.errstate(over="ignore"):
                is_infinite = np.isinf(column.values[rows].astype(np.float32))
            refuse_infinite(table, column, rows[is_infinite])
        raise AssertionError("a number that is not finite is in some column")

    def to_json(self) -> dict[str, Any]:
        """Everything needed to do the same to other rows, as plain values."""
        return {
            "columns": [column.to_json() for column in self.columns],
            "missing": self.missing,
            "target": self.target.to_json(),
        }

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """The encoding that ``to_json`` wrote down.

        Args:
            values: what ``json.loads`` gives.

        Returns:
            An equal encoding.

        Raises:
            ValueError: if the values are not those of an encoding.
        """
        if not isinstance(values, Mapping) or set(values) != {"columns", "missing", "target"}:
            raise ValueError(f"table: expected the keys columns, missing and target, found {_found(values)}")
        if values["missing"] not in get_args(Missing):
            raise ValueError(
                f"table.missing: expected one of {', '.join(get_args(Missing))}, found {values['missing']!r}"
            )
        if not isinstance(values["columns"], list) or not values["columns"]:
            raise ValueError("table.columns: expected a list of at least one column")
        missing = cast(Missing, values["missing"])
        columns = tuple(ColumnEncoding.from_json(column, missing == "impute") for column in values["columns"])
        fitted = cls(columns, missing, TargetEncoding.from_json(values["target"]))
        if len(set(fitted.input_names)) != len(fitted.input_names):
            raise ValueError("table.columns: expected different names")
        return fitted


def check_missing(missing: str) -> None:
    """Refuse a rule for empty cells that there is not.

    Args:
        missing: ``data.missing``.

    Raises:
        ValueError: with the rules that there are.
    """
    if missing not in get_args(Missing):
        raise ValueError(f"data.missing: expected one of {', '.join(get_args(Missing))}, found {missing!r}")


def refuse_missing(table: Table, names: Sequence[str], rows: np.ndarray, empty: Sequence[np.ndarray]) -> None:
    """Refuse empty cells, naming the first and the ways out.

    Args:
        table: as it was read.
        names: of the columns.
        rows: of the table, int [M].
        empty: for each column which of these rows are empty, bool [M].

    Raises:
        ValueError: if there is one.
    """
    counts = {name: int(cells.sum()) for name, cells in zip(names, empty, strict=True)}
    with_empty = {name: count for name, count in counts.items() if count}
    if not with_empty:
        return
    firsts = {name: int(np.argmax(cells)) for name, cells in zip(names, empty, strict=True) if name in with_empty}
    name = min(firsts, key=lambda one: firsts[one])
    each = ", ".join(f"{one} {count:,}" for one, count in list(with_empty.items())[:_MOST_COLUMNS])
    more = f", … {len(with_empty)} columns in all" if len(with_empty) > _MOST_COLUMNS else ""
    raise ValueError(
        f"{table.where(int(rows[firsts[name]]))}, column {name}: expected a value, found an empty cell; "
        f"{counted(sum(with_empty.values()), 'empty cell')} in all ({each}{more}): data.missing=impute fills them in "
        "from the training rows, data.missing=drop leaves their rows out, data.exclude leaves columns out"
    )


def refuse_infinite(table: Table, column: Column, rows: np.ndarray) -> None:
    """Refuse numbers that float32 cannot hold.

    Args:
        table: as it was read.
        column: of numbers.
        rows: of the table, those that are infinite.

    Raises:
        ValueError: if there is one, naming the first.
    """
    if len(rows):
        raise ValueError(
            f"{table.where(int(rows[0]))}, column {column.name}: expected a number within the range of float32, found "
            f"{column.cell(int(rows[0]))}; {counted(len(rows), 'such cell')} in the column"
        )


def _fill(values: np.ndarray, columns: Sequence[ColumnEncoding], parts: Sequence[np.ndarray]) -> None:
    """Write columns into a matrix of rows, block by block."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is looked for afterwards
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            place = 0
            for column, part in zip(columns, parts, strict=True):
                width = len(column.input_names)
                cells = part[start : start + _BLOCK]
                if column.kind == "category":
                    block[:, place : place + width] = cells[:, None] == np.arange(width)
                else:
                    block[:, place] = cells
                place += width


def _found(values: Any) -> str:
    return ", ".join(sorted(map(str, values)))[:200] if isinstance(values, Mapping) else type(values).__name__
