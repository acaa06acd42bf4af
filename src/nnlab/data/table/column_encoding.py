"""What one raw column becomes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, final, get_args

import numpy as np

from nnlab.data.table.column import Column, Table
from nnlab.data.table.kinds import Kind
from nnlab.words import counted

_DAY = np.timedelta64(1, "D")
#: a column of texts that are different in so many of its rows is an identifier
_IDENTIFIER_SHARE = 0.95
#: of fewer rows nothing can be said
_IDENTIFIER_ROWS = 5
#: cells in which examples are looked for
_MOST_LOOKED_AT = 1000
#: categories that a message shows at most
_MOST_SHOWN = 5


@final
@dataclass(frozen=True)
class Found:
    """What cells of a column had in them that has to be said.

    Args:
        num_filled: empty cells that were filled in.
        num_unseen: cells with a category that no training row has.
        unseen: the first rows with such a cell.
    """

    num_filled: int = 0
    num_unseen: int = 0
    unseen: tuple[int, ...] = ()

    def __add__(self, other: "Found") -> "Found":
        unseen = (*self.unseen, *other.unseen)[:_MOST_LOOKED_AT]
        return Found(self.num_filled + other.num_filled, self.num_unseen + other.num_unseen, unseen)


@final
@dataclass(frozen=True)
class ColumnEncoding:
    """One raw column: its kind, and what was learnt from its training rows.

    Args:
        name: as in the file.
        kind: ``number``, ``boolean``, ``date`` or ``category``.
        fill: what an empty cell becomes: a number, 0 or 1, an ISO date, or a category; None where none is filled in.
        categories: the different values of a category column, sorted.
        first: the earliest date, in ISO form; days are counted from it.
    """

    name: str
    kind: Kind
    fill: float | str | None = None
    categories: tuple[str, ...] = ()
    first: str | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the columns that it becomes."""
        if self.kind == "category":
            return tuple(f"{self.name}={category}" for category in self.categories)
        return (self.name,)

    def numbers(self, column: Column, rows: np.ndarray | None) -> np.ndarray:
        """The cells as numbers, empty ones filled in if there is something to fill in.

        Args:
            column: of this kind.
            rows: those to take, int [M]; None for all.

        Returns:
            Numbers, 0 and 1, or days, float64 [M]; of categories their places, int [M], -1 for none of them.
        """
        values = column.values if rows is None else column.values[rows]
        if self.kind == "category":
            place_of = {category: place for place, category in enumerate(self.categories)}
            # An empty cell is number -1, the last.
            empty_place = -1 if self.fill is None else place_of[str(self.fill)]
            places = np.array([*(place_of.get(text, -1) for text in column.texts), empty_place], np.int32)
            return np.asarray(places[values])
        if self.kind == "date":
            numbers = (values - np.datetime64(str(self.first), "us")) / _DAY
            fill = math.nan if self.fill is None else self._days(str(self.fill))
        else:
            numbers, fill = values, math.nan if self.fill is None else float(self.fill)
        if math.isnan(fill):
            return np.asarray(numbers)
        empty = np.isnan(numbers)
        return np.where(empty, fill, numbers) if empty.any() else np.asarray(numbers)

    def _days(self, date: str) -> float:
        return float((np.datetime64(date, "us") - np.datetime64(str(self.first), "us")) / _DAY)

    def look(self, numbers: np.ndarray, empty: np.ndarray, rows: np.ndarray) -> "Found":
        """What there is to be said of cells that were encoded.

        Args:
            numbers: as ``numbers`` gave them.
            empty: which of them were empty, bool [M].
            rows: their rows in the table, int [M].
        """
        num_filled = int(empty.sum()) if self.fill is not None else 0
        unseen = rows[numbers < 0] if self.kind == "category" else rows[:0]
        return Found(num_filled, len(unseen), tuple(unseen[:_MOST_LOOKED_AT].tolist()))

    def notes(self, table: Table, found: "Found") -> list[str]:
        """What has to be said of cells that were encoded.

        Args:
            table: which they come from.
            found: in all of them.
        """
        notes = []
        if found.num_filled:
            what = "most frequent value" if self.kind in ("boolean", "category") else "median"
            notes.append(
                f"{table.source}: {counted(found.num_filled, 'empty cell')} of {self.name} filled in with "
                f"{self._fill_text()}, the training rows' {what}"
            )
        if found.num_unseen:
            column = table.columns[self.name]
            examples = list(dict.fromkeys(column.cell(row) for row in found.unseen))
            shown = ", ".join(map(repr, examples[:_MOST_SHOWN])) + (", …" if len(examples) > _MOST_SHOWN else "")
            notes.append(
                f"{table.source}: {counted(found.num_unseen, 'cell')} of {self.name} with a category that no training "
                f"row has ({shown}): encoded as none of them, all zeros"
            )
        return notes

    def _fill_text(self) -> str:
        if self.kind == "boolean":
            return "true" if self.fill else "false"
        return f"{self.fill:.6g}" if isinstance(self.fill, float) else repr(self.fill)

    def to_json(self) -> dict[str, Any]:
        """The column as plain values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "fill": self.fill,
            "categories": list(self.categories),
            "first": self.first,
        }

    @classmethod
    def from_json(cls, values: Any, is_filled: bool) -> Self:
        """The column that ``to_json`` wrote down.

        Args:
            values: what ``json.loads`` gives.
            is_filled: whether the encoding fills empty cells in.

        Raises:
            ValueError: if the values are not those of a column.
        """
        if not isinstance(values, Mapping) or set(values) != {"name", "kind", "fill", "categories", "first"}:
            raise ValueError("table.columns: expected the keys name, kind, fill, categories and first")
        name, kind, fill = values["name"], values["kind"], values["fill"]
        categories, first = values["categories"], values["first"]
        if not isinstance(name, str) or kind not in get_args(Kind):
            raise ValueError(f"table.columns: expected a name and a kind, found {name!r} and {kind!r}")
        key = f"table.columns: {name!r}"
        is_texts = isinstance(categories, list) and all(isinstance(text, str) for text in categories)
        if not is_texts or bool(categories) != (kind == "category") or len(set(categories)) != len(categories):
            raise ValueError(f"{key}: expected different categories for a category and for nothing else")
        if (first is not None) != (kind == "date") or not (first is None or _is_date(first)):
            raise ValueError(f"{key}: expected a first date for dates and for nothing else, found {first!r}")
        _check_fill(key, kind, fill, categories, is_filled)
        plain = float(fill) if isinstance(fill, int | float) else fill
        return cls(name, kind, plain, tuple(categories), first)


def learn_column(
    table: Table, column: Column, kind: Kind, rows: np.ndarray, is_filled: bool, is_declared: bool, max_categories: int
) -> ColumnEncoding:
    """What one column's training rows teach.

    Args:
        table: for messages.
        column: of the kind.
        kind: the column's.
        rows: the training rows, int [M].
        is_filled: whether empty cells are to be filled in.
        is_declared: whether the user has named the kind.
        max_categories: most different values of a category.

    Returns:
        The column's encoding.

    Raises:
        ValueError: if no training row has a value, or a category has too many.
    """
    needs_cells = is_filled or kind in ("date", "category")
    cells = column.values[rows] if needs_cells else column.values[:0]
    if needs_cells:
        there = (
            cells[cells >= 0]
            if kind == "category"
            else cells[~np.isnan(cells)]
            if kind != "date"
            else cells[~np.isnat(cells)]
        )
        if not len(there):
            raise ValueError(
                f"{table.source}: column {column.name} has no value in the training rows: data.exclude=[{column.name}]"
            )
    if kind == "category":
        return _learn_category(table, column, there, is_filled, is_declared, max_categories)
    if kind == "date":
        fill = str(np.datetime64(int(np.median(there.astype(np.int64))), "us")) if is_filled else None
        return ColumnEncoding(column.name, kind, fill, first=str(there.min()))
    if not is_filled:
        return ColumnEncoding(column.name, kind)
    if kind == "boolean":
        return ColumnEncoding(column.name, kind, float(there.mean() > 0.5))
    return ColumnEncoding(column.name, kind, float(np.median(there)))


def _learn_category(
    table: Table, column: Column, codes: np.ndarray, is_filled: bool, is_declared: bool, max_categories: int
) -> ColumnEncoding:
    counts = np.bincount(codes, minlength=len(column.texts))
    count_of = {text: int(count) for text, count in zip(column.texts, counts, strict=True) if count}
    name, found = column.name, len(count_of)
    if not is_declared and len(codes) >= _IDENTIFIER_ROWS and found >= _IDENTIFIER_SHARE * len(codes):
        raise ValueError(
            f"{table.source}: column {name} has {found:,} different texts in {counted(len(codes), 'training row')}, "
            f"such as {next(iter(count_of))!r}: it names the rows and teaches nothing; leave it out with "
            f"data.exclude=[{name}], or insist with 'data.types={{{name}: category}}'"
        )
    if found > max_categories:
        raise ValueError(
            f"{table.source}: column {name} has {found:,} categories in the training rows, more than "
            f"data.max_categories={max_categories}: leave it out with data.exclude=[{name}], or set "
            f"data.max_categories={found}, which makes as many inputs"
        )
    categories = tuple(sorted(count_of))
    fill = max(categories, key=lambda text: count_of[text]) if is_filled else None
    return ColumnEncoding(name, "category", fill, categories)


def _is_date(text: Any) -> bool:
    # NumPy takes words such as "now" as well.
    if not isinstance(text, str) or len(text) > 40 or not text.lstrip("-")[:1].isdigit():
        return False
    try:
        return not np.isnat(np.datetime64(text, "us"))
    except ValueError:
        return False


def _check_fill(key: str, kind: Kind, fill: Any, categories: list[str], is_filled: bool) -> None:
    if kind == "category":
        fits = fill in categories
    elif kind == "date":
        fits = _is_date(fill)
    else:
        is_number = (
            isinstance(fill, int | float)
            and not isinstance(fill, bool)
            and abs(fill) <= float(np.finfo(np.float32).max)
        )
        fits = is_number and (kind == "number" or fill in (0, 1))
    if not (fits if is_filled else fill is None):
        expected = f"what an empty cell of a {kind} becomes" if is_filled else "no fill where nothing is filled in"
        raise ValueError(f"{key}: expected {expected}, found {fill!r}")
