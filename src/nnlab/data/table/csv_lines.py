"""On which line of a CSV file each row ends."""

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnlab.data.table.csv_layout import Layout
from nnlab.data.table.csv_rows import table_rows

_BLOCK = 1 << 20
_NEWLINE, _QUOTE = ord("\n"), ord('"')


@dataclass(frozen=True)
class Lines:
    """Where rows stand.

    Args:
        ends: the line on which each row ends, whole numbers [N].
        empty: empty lines between rows, from 1; those behind the last row are none.
    """

    ends: np.ndarray | range
    empty: tuple[int, ...] = ()


@dataclass(frozen=True)
class Count:
    """What was counted in the bytes of a file.

    Args:
        num_lines: without empty ones at the end.
        num_quotes: quotation marks.
    """

    num_lines: int
    num_quotes: int


def count_lines(path: Path) -> Count:
    """Count lines and quotation marks.

    Args:
        path: of a file whose encoding writes them as ASCII does.
    """
    num_newlines = num_quotes = 0
    block = bytearray(_BLOCK)
    last = np.empty(0, np.uint8)
    with open(path, "rb", buffering=0) as file:
        while length := file.readinto(block):
            there = np.frombuffer(block, np.uint8, length)
            num_newlines += int(np.count_nonzero(there == _NEWLINE))
            num_quotes += int(np.count_nonzero(there == _QUOTE))
            last = there[-_BLOCK // 16 :].copy()
    # The line that the last other byte stands on has an end of its own, or none.
    end = last.tobytes()
    num_empty = end[len(end.rstrip(b"\r\n")) :].count(b"\n")
    return Count(num_newlines - num_empty + 1, num_quotes)


def lines_of(layout: Layout, count: Count, num_rows: int) -> Lines | None:
    """The lines of rows that have been read.

    Args:
        layout: of the file.
        count: of its lines.
        num_rows: N, without the header.

    Returns:
        Their ends, and the empty lines that were passed over; None if Python's reader finds other rows.

    Raises:
        ValueError: for a quote that is never closed.
    """
    is_plain = num_rows > 0 and layout.header_line + num_rows == count.num_lines
    if is_plain and count.num_quotes % 2 == 0:
        return Lines(range(layout.header_line + 1, layout.header_line + 1 + num_rows))
    ends, empty = array("q"), list[int]()
    with layout.open() as file:
        ends.extend(line for line, _ in table_rows(layout.path, file, layout.delimiter, len(layout.names), empty))
    return Lines(np.array(ends, np.int64), tuple(empty)) if len(ends) == num_rows else None
