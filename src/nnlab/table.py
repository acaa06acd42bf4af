"""Tables that come in and go out: CSV, and Parquet where pyarrow is installed. Columns are matched by name."""

import csv
import importlib.util
import io
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.config import ConfigError, nearest
from nnlab.durable import write_atomic
from nnlab.run_record import printable, shown
from nnlab.words import counted

if TYPE_CHECKING:
    from nnlab.data.table.column import Table

#: a table's columns by name: numbers, or texts
Columns = Mapping[str, np.ndarray | Sequence[str]]

CSV, PARQUET = ".csv", ".parquet"
STANDARD_OUTPUT = "-"
#: what stands for a missing number, in lower case
_MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none"}
#: what a spreadsheet takes for the start of a formula
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: names that a message shows at most
_MOST_NAMES = 12


def check_ending(flag: str, path: str) -> None:
    """Refuse a file of a kind that cannot be read or written, before any work is done.

    Args:
        flag: for the message.
        path: as typed.

    Raises:
        ConfigError: for another ending than .csv and .parquet, or Parquet without pyarrow.
    """
    ending = Path(path).suffix.lower()
    if ending not in (CSV, PARQUET):
        raise ConfigError(f"{flag}: expected a file that ends in {CSV} or {PARQUET}, found {path}")
    if ending == PARQUET and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(f"{flag}: {path}: Parquet needs pyarrow, which is not installed: pip install 'nnlab[table]'")


def read_table(path: Path, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Read the columns that a model needs, in its order.

    Args:
        path: a CSV file with a header, or a Parquet file.
        names: the columns' names.

    Returns:
        Float32 [N, F], and one sentence for each thing that was passed over.

    Raises:
        ConfigError: for a file that cannot be read, a missing column, a cell that is empty or no number, or no rows.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    try:
        values, extra = (_read_parquet if path.suffix.lower() == PARQUET else _read_csv)(path, names)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    if not len(values):
        raise ConfigError(f"{path}: expected rows below the header, found none")
    _refuse_missing(path, values, names)
    with np.errstate(over="ignore"):
        rows = values.astype(np.float32)
    _refuse_infinite(path, values, rows, names)
    return rows, [f"{path}: {some_names(extra)}: not needed, passed over"] if extra else []


def read_raw_table(path: Path, delimiter: str | None, encoding: str, names: Sequence[str]) -> "Table":
    """Read columns of any kind, for a run that has learnt what they mean.

    Args:
        path: a CSV file with a header, or a Parquet file.
        delimiter: of CSV; None to guess it.
        encoding: of CSV.
        names: the columns that are needed.

    Returns:
        The table.

    Raises:
        ConfigError: for a file that cannot be read, or without a row.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    try:
        if path.suffix.lower() == PARQUET:
            from nnlab.data.table.read_arrow import read_parquet

            table = read_parquet(str(path))
        else:
            from nnlab.data.table.read_csv import CsvOptions, read_csv

            table = read_csv(path, CsvOptions(delimiter=delimiter, encoding=encoding))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise ConfigError(_missing_columns(path, list(table.columns), names, missing))
    if not table.num_rows:
        raise ConfigError(f"{path}: expected rows below the header, found none")
    return table


def write_table(path: str, columns: Columns) -> list[str]:
    """Write a table in one step: whoever reads the file sees the old one or the new one, whole.

    Args:
        path: where to; ``-`` is standard output, as CSV.
        columns: of equal lengths, in order.

    Returns:
        One sentence for each thing that was changed on the way.

    Raises:
        ConfigError: for a place where no file can be.
        OSError: if it cannot be written.
    """
    if path != STANDARD_OUTPUT and Path(path).suffix.lower() == PARQUET:
        write_atomic(_place(path), _parquet(columns))
        return []
    text, num_guarded = _csv(columns)
    if path == STANDARD_OUTPUT:
        sys.stdout.write(text)
    else:
        write_atomic(_place(path), text.encode())
    if not num_guarded:
        return []
    cells = "1 name begins" if num_guarded == 1 else f"{num_guarded} names begin"
    return [f"{cells} as a formula does (= + - @ or a tab) and stands behind an apostrophe, so that it stays text"]


def check_place(path: str, given: Path) -> None:
    """Refuse an output that is no file, has no folder, or is the input itself.

    Args:
        path: as typed; not ``-``.
        given: the input.

    Raises:
        ConfigError: with the reason.
    """
    place = _place(path)
    if place == given.resolve():
        raise ConfigError(f"--output: {path} is the input; choose another file")


def _place(path: str) -> Path:
    """The file that a path means: behind a link, the linked one is replaced, not the link."""
    place = Path(path).resolve()
    if place.exists() and not place.is_file():
        raise ConfigError(f"--output: {path} is no file; - is standard output")
    if not place.parent.is_dir():
        raise ConfigError(f"--output: there is no folder {Path(path).parent}")
    return place


def _read_csv(path: Path, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Float64 [N, F] with NaN for missing cells, and the names of the columns that are not needed."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            rows = _numbered_rows(file)
            _, header = next(rows, (0, []))
            if not header:
                raise ConfigError(f"{path}: expected a header with the columns' names, found an empty file")
            header = [name.strip() for name in header]
            _match(path, header, names)
            places = [header.index(name) for name in names]
            values = [
                _row_numbers(f"{path}: row {row:,} (line {line:,})", cells, header, places)
                for row, (line, cells) in enumerate(rows, 1)
            ]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: expected a CSV file in UTF-8: {error}") from None
    extra = [name for name in header if name not in names]
    return np.array(values, dtype=np.float64).reshape(-1, len(names)), extra


def _numbered_rows(file: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows with the lines that they end on; empty lines at the end are left out."""
    reader = csv.reader(file, strict=True)
    empty: list[int] = []
    for cells in reader:
        if not cells:
            empty.append(reader.line_num)
            continue
        yield from ((line, [""]) for line in empty)
        empty.clear()
        yield reader.line_num, cells


def _row_numbers(where: str, cells: Sequence[str], header: Sequence[str], places: Sequence[int]) -> list[float]:
    if len(cells) != len(header):
        raise ConfigError(f"{where}: expected {len(header)} cells as in the header, found {len(cells)}")
    return [_number(where, header[place], cells[place]) for place in places]


def _number(where: str, name: str, cell: str) -> float:
    text = cell.strip()
    if text.lower() in _MISSING:
        return math.nan
    try:
        if "_" in text:  # a number in Python, but in no table
            raise ValueError
        return float(text)
    except ValueError:
        hint = "; decimals stand behind a point" if text.count(",") == 1 else ""
        raise ConfigError(f"{where}, column {printable(name)}: expected a number, found {shown(text)}{hint}") from None


def _read_parquet(path: Path, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """As for CSV."""
    import pyarrow
    from pyarrow import parquet, types

    try:
        with open(path, "rb") as file, parquet.ParquetFile(file) as opened:
            header = list(opened.schema_arrow.names)
            _match(path, header, names)
            table = opened.read(columns=list(dict.fromkeys(names)))
    except pyarrow.ArrowException as error:
        raise ConfigError(f"{path}: expected a Parquet file: {' '.join(str(error).split())}") from None
    columns = []
    for name in names:
        column = table.column(name)
        kind = column.type.value_type if types.is_dictionary(column.type) else column.type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)):
            raise ConfigError(f"{path}: column {printable(name)}: expected numbers, found {kind}")
        numbers = column.cast(kind).cast(pyarrow.float64(), safe=False)
        columns.append(numbers.to_numpy(zero_copy_only=False))
    extra = [name for name in header if name not in names]
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1), extra


def _match(path: Path, header: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a header that lacks a column, or has one of them twice."""
    missing = [name for name in names if name not in header]
    if missing:
        raise ConfigError(_missing_columns(path, header, names, missing))
    double = next((name for name in names if header.count(name) > 1), None)
    if double is not None:
        raise ConfigError(f"{path}: column {printable(double)} is there {header.count(double)} times; which one is it?")


def _missing_columns(path: Path, header: Sequence[str], names: Sequence[str], missing: Sequence[str]) -> str:
    if len(header) == 1 and header[0].count(";") and len(names) > 1:
        return f"{path}: the header has semicolons; columns are separated by commas"
    if len(missing) == len(names) == len(header):
        what = (
            "the first line holds numbers" if all(map(_is_number, header)) else f"its columns are {some_names(header)}"
        )
        return (
            f"{path}: as many columns as the model needs, but none of their names ({what}); columns are matched by "
            f"name, so the first line has to name them: {some_names(names, most=len(names))}"
        )
    lacking = [f"{printable(name)}{nearest(name, [name for name in header if name not in names])}" for name in missing]
    listed = ", ".join(lacking[:_MOST_NAMES]) + (f", … ({len(lacking)} in all)" if len(lacking) > _MOST_NAMES else "")
    return f"{path}: missing column{'s' * (len(missing) != 1)}: {listed}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_missing(path: Path, values: np.ndarray, names: Sequence[str]) -> None:
    missing = np.argwhere(np.isnan(values))
    if len(missing):
        row, column = missing[0]
        raise ConfigError(
            f"{path}: {counted(len(missing), 'cell')} without a number, the first in row {row + 1:,}, "
            f"column {printable(names[column])}; fill them in, or leave those rows out"
        )


def _refuse_infinite(path: Path, values: np.ndarray, rows: np.ndarray, names: Sequence[str]) -> None:
    infinite = np.argwhere(~np.isfinite(rows))
    if len(infinite):
        row, column = infinite[0]
        raise ConfigError(
            f"{path}: row {row + 1:,}, column {printable(names[column])}: expected a number within the range of "
            f"float32, found {values[row, column]}"
        )


def some_names(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    """Names for a message, those of many columns shortened."""
    listed = ", ".join(map(printable, names[:most]))
    return listed + (f", … ({len(names)} in all)" if len(names) > most else "")


def _csv(columns: Columns) -> tuple[str, int]:
    """The table as text, and how many different names had to be guarded."""
    guarded: set[str] = set()

    def safe(text: str) -> str:
        if not text.startswith(_FORMULA):
            return text
        guarded.add(text)
        return f"'{text}"

    cells = [
        [str(value) for value in values] if isinstance(values, np.ndarray) else [safe(value) for value in values]
        for values in columns.values()
    ]
    lines = [[safe(name) for name in columns], *zip(*cells, strict=True)]
    return "".join(f"{','.join(map(_quoted, line))}\n" for line in lines), len(guarded)


def _quoted(cell: str) -> str:
    """A cell as RFC 4180 wants it; Python's own writer leaves a lone carriage return bare, where it ends the row."""
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in ',"\r\n') else cell


def _parquet(columns: Columns) -> bytes:
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.table({name: pyarrow.array(values) for name, values in columns.items()}), file)
    return file.getvalue()
