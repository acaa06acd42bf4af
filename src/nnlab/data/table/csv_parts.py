"""What a reader of CSV files hands on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nnlab.data.table.cells import Written
from nnlab.data.table.csv_lines import Lines


class Cells(NamedTuple):
    """A column whose cells have been read.

    Args:
        values: numbers (float64), moments (datetime64[us]), or numbers of texts, -1 where missing; shape [N].
        texts: of a column of texts, in the order in which they first occur; else None.
        written: how its cells are written, ``text`` for texts whose meaning is open.
    """

    values: np.ndarray
    texts: Sequence[str] | None
    written: Written


class Parts(NamedTuple):
    """All of a file.

    Args:
        columns: in the file's order.
        lines: of the rows.
    """

    columns: list[Cells]
    lines: Lines


class WrongGuess(Exception):  # noqa: N818 - not an error: the column is read as texts then
    """A column holds something else than its first rows do.

    Args:
        place: the column's, from 0.
    """

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place
