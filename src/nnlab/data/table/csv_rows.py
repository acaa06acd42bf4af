"""The rows of a CSV file, one by one, with the lines that they end on."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

#: stands behind the last line; where it does not come back as a row of its own, a quote is open
_END = "\x00end of the file"


def numbered_rows(path: Path, file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file with the lines on which they end, the header first; an empty line is a row without cells.

    Args:
        path: for messages.
        file: opened with ``newline=""``.
        delimiter: one character.

    Raises:
        ValueError: for a quote that is never closed, and a cell without end.
    """
    reader = csv.reader(itertools.chain(file, [_END]), delimiter=delimiter)
    last_line = 0
    try:
        for cells in reader:
            if cells == [_END]:
                return
            if cells and cells[-1].endswith(_END):
                raise ValueError(f"{path}: line {last_line + 1:,}: a quote is opened and never closed")
            yield reader.line_num, cells
            last_line = reader.line_num
    except csv.Error as error:
        raise ValueError(f"{path}: line {last_line + 1:,}: {error}; is a quote opened and never closed?") from None


def table_rows(
    path: Path, file: TextIO, delimiter: str, num_columns: int, empty: list[int]
) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header with the lines on which they end.

    Args:
        path: for messages.
        file: opened with ``newline=""``.
        delimiter: one character.
        num_columns: cells of each row.
        empty: gets the empty lines between rows that are passed over. In a single column they are missing cells, and
            empty lines at the end are nothing at all.

    Raises:
        ValueError: for a row with more or fewer cells, and what ``numbered_rows`` refuses.
    """
    rows = numbered_rows(path, file, delimiter)
    next((cells for _, cells in rows if cells), None)
    waiting: list[int] = []
    row = 0
    for line, cells in rows:
        if not cells:
            waiting.append(line)
            continue
        if waiting and num_columns == 1:
            yield from ((at, [""]) for at in waiting)
            row += len(waiting)
        else:
            empty.extend(waiting)
        waiting.clear()
        row += 1
        if len(cells) != num_columns:
            raise ValueError(
                f"{path}: row {row:,} (line {line:,}): expected {num_columns} cells as in the header, "
                f"found {len(cells)}"
            )
        yield line, cells
