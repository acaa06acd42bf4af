"""A CSV file by Python's own reader: slower than by pyarrow, with the same result."""

import itertools
from array import array
from collections.abc import Sequence

import numpy as np

from nnlab.data.table.cells import numbers
from nnlab.data.table.csv_layout import Layout
from nnlab.data.table.csv_lines import Lines
from nnlab.data.table.csv_parts import Cells, Parts, WrongGuess
from nnlab.data.table.csv_rows import table_rows

_ROWS_AT_ONCE = 20_000


def read_plain(layout: Layout, is_number: Sequence[bool]) -> Parts:
    """Read a file.

    Args:
        layout: of the file.
        is_number: for each column, whether its cells are taken for numbers.

    Returns:
        The columns, and the lines of their rows.

    Raises:
        WrongGuess: for a column that holds something else than numbers.
        ValueError: for a row that is none of the table.
    """
    columns: list[_Numbers | _Texts] = [
        _Numbers(place) if is_one else _Texts() for place, is_one in enumerate(is_number)
    ]
    ends, empty = array("q"), list[int]()
    with layout.open() as file:
        rows = table_rows(layout.path, file, layout.delimiter, len(layout.names), empty)
        while block := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            ends.extend(line for line, _ in block)
            for column, cells in zip(columns, zip(*(cells for _, cells in block), strict=True), strict=True):
                column.add(cells)
    return Parts([column.finished() for column in columns], Lines(np.array(ends, np.int64), tuple(empty)))


class _Numbers:
    """A column of numbers."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.blocks = [np.empty(0)]

    def add(self, cells: Sequence[str]) -> None:
        try:
            self.blocks.append(numbers(cells))
        except ValueError:
            raise WrongGuess(self.place) from None

    def finished(self) -> Cells:
        return Cells(np.concatenate(self.blocks), None, "number")


class _Texts:
    """A column whose texts are kept once each."""

    def __init__(self) -> None:
        self.code_of: dict[str, int] = {}
        self.codes = array("i")

    def add(self, cells: Sequence[str]) -> None:
        code_of = self.code_of
        self.codes.extend([code_of.setdefault(cell, len(code_of)) for cell in cells])

    def finished(self) -> Cells:
        return Cells(np.array(self.codes, np.int32), tuple(self.code_of), "text")
