"""How a CSV file is laid out: its delimiter, its columns' names, how their cells are written."""

import codecs
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from nnlab.data.table.cells import Written, is_missing, is_number, meaning
from nnlab.data.table.csv_rows import numbered_rows

#: those that are guessed, in the order that decides a tie
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
#: rows that are looked at, fewer of a wide table
_MOST_ROWS, _FEWEST_ROWS, _MOST_CELLS = 1000, 20, 200_000
#: rows by which the delimiter is guessed
_ROWS_TO_GUESS = 50
#: a first line of 0, 1, 2, … names columns; of two numbers it might be data
_FEWEST_COUNTED = 3
#: how files begin that are no CSV
_OTHERS = {
    b"\x1f\x8b": "it is compressed; unpack it first: gunzip",
    b"BZh": "it is compressed; unpack it first: bunzip2",
    b"\xfd7zXZ": "it is compressed; unpack it first: unxz",
    b"\x28\xb5\x2f\xfd": "it is compressed; unpack it first: unzstd",
    b"PK\x03\x04": "it is a ZIP archive or a workbook; unpack it, or save the sheet as CSV",
    b"PAR1": "it is a Parquet file: data=parquet",
    b"ARROW1": "it is an Arrow file: data=arrow",
    b"\x93NUMPY": "it is a NumPy array: data=npz reads those of .npz files",
}
_WIDE_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Layout:
    """What the first rows of a file tell.

    Args:
        path: of the file.
        delimiter: one character.
        encoding: as Python knows it; a byte-order mark is no text.
        names: the columns'.
        header_line: the line on which the header ends.
        written: how the cells of each column are written, as far as was looked.
        notes: one sentence for each thing that was guessed.
    """

    path: Path
    delimiter: str
    encoding: str
    names: tuple[str, ...]
    header_line: int
    written: tuple[Written, ...]
    notes: tuple[str, ...]

    @property
    def is_comma_allowed(self) -> bool:
        """Whether decimals may stand behind a comma."""
        return self.delimiter != ","

    @property
    def is_for_arrow(self) -> bool:
        """Whether pyarrow reads such files as Python does; of a single column it would pass over missing cells."""
        is_plain = '\n",'.encode(self.encoding.removesuffix("-sig")) == b'\n",'
        return is_plain and self.delimiter.isascii() and len(self.names) > 1

    def open(self) -> TextIO:
        """The file, with its lines' ends as they are."""
        return open(self.path, newline="", encoding=self.encoding)


def look(path: Path, delimiter: str | None, encoding: str) -> Layout:
    """Look at the first rows of a file.

    Args:
        path: of a CSV file with a header.
        delimiter: one character; None to guess it.
        encoding: of the text.

    Returns:
        How the file is laid out.

    Raises:
        ValueError: for a file without a header, or that is no CSV.
        OSError: if it cannot be opened.
        UnicodeDecodeError: if the text has another encoding.
    """
    encoding = _known(encoding)
    _refuse_others(path, encoding)
    notes = []
    if delimiter is None:
        delimiter = _guessed(path, encoding)
        if delimiter != ",":
            notes.append(f"{path}: {DELIMITERS[delimiter]} between cells, guessed; data.delimiter says otherwise")
    else:
        delimiter = _given(delimiter)
    with open(path, newline="", encoding=encoding) as file:
        rows = numbered_rows(path, file, delimiter)
        header_line, header = next(((line, cells) for line, cells in rows if cells), (0, []))
        if not header:
            raise ValueError(f"{path}: expected a header with the columns' names, found an empty file")
        _refuse_other_delimiter(path, header, delimiter)
        names, said = _names(path, header)
        most = min(_MOST_ROWS, max(_FEWEST_ROWS, _MOST_CELLS // len(names)))
        sample = [cells for _, cells in itertools.islice(rows, most) if len(cells) == len(names)]
    written = tuple(_written([row[place] for row in sample], delimiter != ",") for place in range(len(names)))
    return Layout(path, delimiter, encoding, names, header_line, written, (*notes, *said))


def _known(encoding: str) -> str:
    try:
        known = codecs.lookup(encoding).name
        "".encode(known)  # raises for what is no encoding of text, such as base64
    except (LookupError, TypeError):
        raise ValueError(
            f"data.encoding: expected the name of an encoding, such as utf-8, latin-1 or cp1252, found {encoding!r}"
        ) from None
    return "utf-8-sig" if known == "utf-8" else known


def _given(delimiter: str) -> str:
    plain = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter) if isinstance(delimiter, str) else ""
    if len(plain) != 1 or plain in '"\r\n\x00' or plain.isalnum():
        raise ValueError(f"data.delimiter: expected one character such as , ; | or a tab, found {delimiter!r}")
    return plain


def _refuse_others(path: Path, encoding: str) -> None:
    with open(path, "rb") as file:
        start = file.read(8)
    for mark, advice in _OTHERS.items():
        if start.startswith(mark):
            raise ValueError(f"{path}: expected a CSV file; {advice}")
    for mark, name in _WIDE_MARKS.items():
        if start.startswith(mark) and encoding in ("utf-8-sig", "ascii"):
            raise ValueError(f"{path}: expected text in UTF-8, found a mark of UTF-16: data.encoding={name}")


def _guessed(path: Path, encoding: str) -> str:
    """The delimiter that splits the first rows into the most cells, as many in each."""

    def merit(delimiter: str) -> tuple[bool, int]:
        widths = []
        with open(path, newline="", encoding=encoding) as file:
            try:
                for _, cells in itertools.islice(numbered_rows(path, file, delimiter), _ROWS_TO_GUESS):
                    widths += [len(cells)] if cells else []
            except ValueError as error:
                if isinstance(error, UnicodeDecodeError):
                    raise
        return len(set(widths)) == 1 and widths[0] > 1, widths[0] if widths else 1

    return max(DELIMITERS, key=merit)


def _refuse_other_delimiter(path: Path, header: Sequence[str], delimiter: str) -> None:
    if len(header) > 1:
        return
    for other, words in DELIMITERS.items():
        if other in header[0] and other != delimiter:
            raise ValueError(
                f"{path}: with {delimiter!r} between cells, the header is a single column, {header[0][:60]!r}, which "
                f"has {words} in it; is that the delimiter? data.delimiter=null guesses it"
            )


def _names(path: Path, header: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    stripped = [name.strip() for name in header]
    _refuse_numbers(path, stripped)
    names = [name or f"column {place}" for place, name in enumerate(stripped, 1)]
    double = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if double is not None:
        places = [str(place) for place, name in enumerate(names, 1) if name == double]
        raise ValueError(
            f"{path}: column {double} is there {len(places)} times in the header, as columns "
            f"{', '.join(places[:5])}{', …' * (len(places) > 5)}; rename all but one"
        )
    unnamed = [name for name, found in zip(names, stripped, strict=True) if not found]
    if not unnamed:
        return tuple(names), []
    listed = ", ".join(unnamed[:5]) + ", …" * (len(unnamed) > 5)
    index = f"; row numbers written by pandas tell nothing: data.exclude=[{names[0]}]" if not stripped[0] else ""
    return tuple(names), [f"{path}: no name in the header for {listed}{index}"]


def _refuse_numbers(path: Path, names: Sequence[str]) -> None:
    there = [name for name in names if name]
    counted = [[str(number) for number in range(start, start + len(there))] for start in (0, 1)]
    if len(there) >= _FEWEST_COUNTED and there in counted:
        return
    if there and all(map(is_number, there)):
        raise ValueError(
            f"{path}: the first line holds numbers ({', '.join(there[:5])}{', …' * (len(there) > 5)}); expected a "
            "header with the columns' names"
        )


def _written(cells: Sequence[str], is_comma_allowed: bool) -> Written:
    stripped = dict.fromkeys(cell.strip() for cell in cells)
    return meaning([cell for cell in stripped if not is_missing(cell)], is_comma_allowed).written
