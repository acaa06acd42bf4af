"""A table as it was read: raw columns, before anything is learnt from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

#: how a column's cells were read
Stored = Literal["number", "boolean", "date", "text"]


@dataclass(frozen=True, eq=False)
class Column:
    """One column of N cells.

    Args:
        name: as in the file.
        stored: ``number``: float64, NaN where a cell is missing; ``boolean``: float64 of 0 and 1, likewise; ``date``:
            datetime64[us], NaT where missing; ``text``: int32 numbers of ``texts``, -1 where missing.
        values: shape [N].
        texts: the different texts of a text column, in the order in which they first occur; else empty.
    """

    name: str
    stored: Stored
    values: np.ndarray
    texts: Sequence[str] = ()

    def missing(self) -> np.ndarray:
        """Which cells have nothing in them, bool [N]."""
        return self._is_missing(self.values)

    def missing_in(self, rows: np.ndarray) -> np.ndarray:
        """Which cells of some rows have nothing in them, bool [M].

        Args:
            rows: from 0, int [M].
        """
        return self._is_missing(self.values[rows])

    def _is_missing(self, values: np.ndarray) -> np.ndarray:
        if self.stored == "text":
            return np.asarray(values < 0)
        return np.asarray(np.isnat(values) if self.stored == "date" else np.isnan(values))

    def cell(self, row: int) -> str:
        """What stands in a row, as text for messages; empty where it is missing."""
        if self.missing_in(np.array([row]))[0]:
            return ""
        return self.texts[self.values[row]] if self.stored == "text" else str(self.values[row])


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length.

    Args:
        source: the file or files, for messages.
        columns: by name, in the file's order.
        num_rows: N.
        lines: the line of the file on which each row ends, whole numbers [N]; None where a file has no lines.
        notes: one sentence for each thing that was guessed or passed over while reading.
    """

    source: str
    columns: Mapping[str, Column]
    num_rows: int
    lines: np.ndarray | range | None = None
    notes: tuple[str, ...] = field(default=())

    def where(self, row: int) -> str:
        """A row for messages, such as ``house.csv: row 17 (line 18)``.

        Args:
            row: from 0.
        """
        line = "" if self.lines is None else f" (line {self.lines[row]:,})"
        return f"{self.source}: row {row + 1:,}{line}"
