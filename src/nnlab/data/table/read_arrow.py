"""Parquet and Arrow files as tables; one, or several of the same columns."""

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nnlab.data.table.column import Column, Stored, Table
from nnlab.data.table.number_notes import number_notes, some
from nnlab.data.table.table_files import find_files
from nnlab.data.table.text_column import text_column

PARQUET_ENDINGS = (".parquet", ".pq")
ARROW_ENDINGS = (".arrow", ".feather", ".ipc", ".arrows")
#: what pandas calls an index that has no name
_PANDAS_INDEX = "__index_level_"


def read_parquet(path: str) -> Table:
    """Read Parquet files.

    Args:
        path: a file, a folder or a pattern, as for ``find_files``.

    Returns:
        The rows of all files, one after the other. Columns of other cells than numbers, booleans, dates and texts are
        left out, and so is an index of pandas without a name.

    Raises:
        ValueError: for files that cannot be read, or that have different columns; also without pyarrow.
    """
    _need_pyarrow(path, "Parquet")
    return _read(path, find_files(path, PARQUET_ENDINGS, "a Parquet file"), "Parquet", _open_parquet)


def read_arrow(path: str) -> Table:
    """Read Arrow's own files, which Feather files are too: those with a footer, and streams.

    Args:
        path: as for ``read_parquet``.

    Returns:
        As ``read_parquet``.

    Raises:
        ValueError: likewise.
    """
    _need_pyarrow(path, "Arrow")
    return _read(path, find_files(path, ARROW_ENDINGS, "an Arrow file"), "Arrow", _open_arrow)


#: opens a file, and gives its schema and what reads columns by their names
_Open = Callable[[Any], tuple[Any, Callable[[list[str]], Any]]]


def _need_pyarrow(path: str, what: str) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise ValueError(f"{path}: {what} needs pyarrow, which is not installed: pip install 'nnlab[table]'")


def _open_parquet(file: Any) -> tuple[Any, Callable[[list[str]], Any]]:
    from pyarrow import parquet

    opened = parquet.ParquetFile(file)
    return opened.schema_arrow, lambda names: opened.read(columns=names)


def _open_arrow(file: Any) -> tuple[Any, Callable[[list[str]], Any]]:
    from pyarrow import ipc

    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    reader = ipc.open_file(file) if is_file else ipc.open_stream(file)

    def read(names: list[str]) -> Any:
        table = reader.read_all().select(names)
        table.validate(full=True)  # Arrow believes what a file says of its own texts
        return table

    return reader.schema, read


def _read(path: str, files: Sequence[Path], what: str, open_one: _Open) -> Table:
    schemas = {}
    for file in files:
        with _opened(file, what, open_one) as (schema, _):
            schemas[file] = schema
    stored, notes = _agreed(path, schemas)
    parts = []
    for file in files:
        with _opened(file, what, open_one) as (_, read):
            parts.append(_cells(read(list(stored)), stored))
    num_rows = sum(num for num, _ in parts)
    columns = {name: _joined(name, kind, [cells[name] for _, cells in parts]) for name, kind in stored.items()}
    table = Table(path, columns, num_rows)
    return Table(path, columns, num_rows, None, (*notes, *number_notes(table)))


@contextmanager
def _opened(file: Path, what: str, open_one: _Open) -> Iterator[tuple[Any, Callable[[list[str]], Any]]]:
    """An open file; what goes wrong with it is said in one line."""
    import pyarrow

    try:
        with pyarrow.OSFile(str(file)) as source:
            yield open_one(source)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise ValueError(f"{file} cannot be read: {' '.join(error.strerror.split())}") from None
        raise ValueError(f"{file}: expected an unharmed {what} file: {' '.join(str(error).split())}") from None


def _agreed(path: str, schemas: Mapping[Path, Any]) -> tuple[dict[str, Stored], list[str]]:
    """As what each column is kept, the same in all files, and what has to be said of them."""
    first = next(iter(schemas.values()))
    _check_names(path, schemas)
    kinds = {name: _kind(path, name, schemas) for name in first.names}
    left_out = [f"{name} ({first.field(name).type})" for name, kind in kinds.items() if kind is None]
    stored = {name: kind for name, kind in kinds.items() if kind is not None and not name.startswith(_PANDAS_INDEX)}
    return stored, _notes(path, first, left_out, list(schemas))


def _check_names(path: str, schemas: Mapping[Path, Any]) -> None:
    """Refuse files with other columns than the first one, or one of them twice."""
    first = next(iter(schemas))
    names = set(schemas[first].names)
    for file, schema in schemas.items():
        found = set(schema.names)
        if len(found) < len(schema.names):
            double = next(name for name in schema.names if schema.names.count(name) > 1)
            raise ValueError(f"{file}: column {double} is there {schema.names.count(double)} times; rename all but one")
        if found != names:
            name = min(found ^ names)
            has, lacks = (first, file) if name in names else (file, first)
            raise ValueError(f"{path}: files of one table have the same columns: {has} has {name}, {lacks} has not")


def _kind(path: str, name: str, schemas: Mapping[Path, Any]) -> Stored | None:
    """As what a column is kept: in a file where it has no cells, as in the others."""
    from nnlab.data.table.arrow_cells import stored_as

    types = {file: schema.field(name).type for file, schema in schemas.items()}
    told = [(file, kind) for file, type_ in types.items() if (kind := stored_as(type_)) != "nothing"]
    if not told:
        return "number"
    first, kind = told[0]
    for file, other in told:
        if other != kind:
            raise ValueError(
                f"{path}: a column is of one kind in all files: {name} is {types[first]} in {first}, {types[file]} in "
                f"{file}"
            )
    return kind


def _notes(path: str, schema: Any, left_out: Sequence[str], files: Sequence[Path]) -> list[str]:
    from pyarrow import types

    notes = [f"{path}: {len(files):,} files"] if len(files) > 1 else []
    if left_out:
        notes.append(f"{path}: neither numbers nor booleans, dates or texts, so left out: {some(left_out)}")
    index = [name for name in schema.names if name.startswith(_PANDAS_INDEX)]
    if index:
        notes.append(f"{path}: {some(index)}, an index of pandas, left out")
    zoned = [field.name for field in schema if types.is_timestamp(field.type) and field.type.tz not in (None, "UTC")]
    if zoned:
        notes.append(f"{path}: times of day with a zone in {some(zoned)}: taken in UTC")
    folders = {part for file in files for part in file.parts[:-1] if "=" in part}
    if folders:
        notes.append(f"{path}: names of folders, such as {min(folders)}, are no columns")
    return notes


def _cells(table: Any, stored: Mapping[str, Stored]) -> tuple[int, dict[str, tuple[np.ndarray, Sequence[str] | None]]]:
    """A file's number of rows, and its cells by column."""
    import pyarrow
    from pyarrow import types

    from nnlab.data.table.arrow_cells import plain_cells

    num_rows, cells = table.num_rows, {}
    for name in stored:
        column = table.column(name)
        table = table.drop_columns([name])  # each column is given back once it is copied
        if types.is_dictionary(column.type):
            kind = column.type.value_type
            # In the order of the rows; the dictionary may have another one, and texts that no row has.
            column = column.cast(pyarrow.large_string() if stored[name] == "text" else kind)
        cells[name] = plain_cells(column)
    return num_rows, cells


def _joined(name: str, stored: Stored, parts: Sequence[tuple[np.ndarray, Sequence[str] | None]]) -> Column:
    """A column of all files' cells."""
    if stored == "date":
        nothing = np.datetime64("NaT")
        moments = [cells if cells.dtype.kind == "M" else np.full(len(cells), nothing) for cells, _ in parts]
        return Column(name, stored, np.concatenate(moments).astype("datetime64[us]"))
    if stored != "text":
        return Column(name, stored, np.concatenate([cells for cells, _ in parts]))
    code_of: dict[str, int] = {}
    codes = []
    for cells, texts in parts:
        if texts is None:
            codes.append(np.full(len(cells), -1, np.int32))
        else:
            places = np.array([*(code_of.setdefault(text, len(code_of)) for text in texts), -1], np.int32)
            codes.append(places[cells])
    return text_column(name, np.concatenate(codes), tuple(code_of))
