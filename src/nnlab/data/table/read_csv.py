"""CSV files as tables."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnlab.data.stream.keeper import InMemory, Keeper
from nnlab.data.table.cells import STORED, Written
from nnlab.data.table.column import Column, Table
from nnlab.data.table.csv_arrow import read_by_arrow
from nnlab.data.table.csv_layout import Layout, look
from nnlab.data.table.csv_parts import Cells, Parts, WrongGuess
from nnlab.data.table.csv_plain import read_plain
from nnlab.data.table.number_notes import number_notes, some
from nnlab.data.table.text_column import column_of_texts
from nnlab.data.table.wrong_encoding import wrong_encoding
from nnlab.words import counted

#: bytes of a file that take Python's own reader about ten seconds
_SLOW = 50_000_000


@dataclass(frozen=True)
class CsvOptions:
    """What a user says of a CSV file.

    Args:
        delimiter: between cells, one character; None to guess it among a comma, a semicolon, a tab and a bar.
        encoding: of the text, as Python names it.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"


def read_csv(path: Path, options: CsvOptions, keeper: Keeper | None = None) -> Table:
    """Read a CSV file with a header.

    Spaces around a cell are no part of it. A cell is missing if it is empty or NA, N/A, #N/A, NaN, null or None in any
    case. A column is one of numbers, of true and false, or of ISO dates if all its cells are; else it is one of texts.

    Args:
        path: of the file.
        options: what the user says of it.
        keeper: where the cells go; None for memory. Python's own reader has them all in memory.

    Returns:
        The table; it may have no rows.

    Raises:
        ValueError: for a file that cannot be read or is no CSV, with the line.
    """
    if path.is_dir():
        raise ValueError(f"{path}: expected a CSV file, found a folder")
    try:
        layout = look(path, options.delimiter, options.encoding)
        parts, notes = _read(layout, keeper or InMemory())
    except UnicodeDecodeError:
        raise wrong_encoding(path, options.encoding) from None
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    columns, written = {}, {}
    for name, cells in zip(layout.names, parts.columns, strict=True):
        columns[name], written[name] = _column(name, cells, layout.is_comma_allowed)
    table = Table(str(path), columns, len(parts.lines.ends), parts.lines.ends)
    return replace(table, notes=(*layout.notes, *notes, *_notes(table, written, parts.lines.empty)))


def _read(layout: Layout, keeper: Keeper) -> tuple[Parts, list[str]]:
    """All cells, by pyarrow where it can."""
    written = list(layout.written)
    notes = []
    has_arrow = importlib.util.find_spec("pyarrow") is not None
    if not has_arrow and (size := layout.path.stat().st_size) > _SLOW:
        notes.append(f"{layout.path}: {size / 1e6:,.0f} MB read without pyarrow, slowly: pip install 'nnlab[table]'")
    while True:
        try:
            parts = read_by_arrow(layout, written, keeper) if has_arrow and layout.is_for_arrow else None
            return parts or read_plain(layout, [how == "number" for how in written]), notes
        except WrongGuess as wrong:
            written[wrong.place] = "text"


def _column(name: str, cells: Cells, is_comma_allowed: bool) -> tuple[Column, Written]:
    if cells.texts is not None:
        return column_of_texts(name, cells.values, cells.texts, is_comma_allowed)
    return Column(name, STORED[cells.written], cells.values), cells.written


def _notes(table: Table, written: Mapping[str, Written], empty: Sequence[int]) -> Iterator[str]:
    """What has to be said of the cells."""
    comma = [name for name, how in written.items() if how == "comma"]
    if comma:
        yield f"{table.source}: decimals behind a comma in {some(comma)}: 1,234 is 1.234 there"
    zoned = [name for name, how in written.items() if how == "zoned"]
    if zoned:
        yield f"{table.source}: times of day with a zone in {some(zoned)}: taken in UTC"
    yield from number_notes(table)
    if empty:
        lines = f"{counted(len(empty), 'empty line')}, the first of them line {empty[0]:,}"
        yield f"{table.source}: {lines}: passed over"
