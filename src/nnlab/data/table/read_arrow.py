"""Parquet and Arrow files as tables; one, or several of the same columns."""

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np

from nnlab.data.stream.keeper import InMemory, Keeper
from nnlab.data.table.column import Column, Stored, Table
from nnlab.data.table.number_notes import number_notes, some
from nnlab.data.table.table_files import find_files
from nnlab.data.table.text_column import text_column

PARQUET_ENDINGS = (".parquet", ".pq")
ARROW_ENDINGS = (".arrow", ".feather", ".ipc", ".arrows")
#: rows of a Parquet file that are in memory at a time where a table stays on disk
_ROWS_AT_ONCE = 1 << 17
#: what pandas calls an index that has no name
_PANDAS_INDEX = "__index_level_"


def read_parquet(path: str, keeper: Keeper | None = None) -> Table:
    """Read Parquet files.

    Args:
        path: a file, a folder or a pattern, as for ``find_files``.
        keeper: where the cells go; None for memory.

    Returns:
        The rows of all files, one after the other. Columns of other cells than numbers, booleans, dates and texts are
        left out, and so is an index of pandas without a name.

    Raises:
        ValueError: for files that cannot be read, or that have different columns; also without pyarrow.
    """
    _need_pyarrow(path, "Parquet")
    files = find_files(path, PARQUET_ENDINGS, "a Parquet file")
    return _read(path, files, "Parquet", _open_parquet, keeper or InMemory())


def read_arrow(path: str, keeper: Keeper | None = None) -> Table:
    """Read Arrow's own files, which Feather files are too: those with a footer, and streams.

    Args:
        path: as for ``read_parquet``.
        keeper: likewise.

    Returns:
        As ``read_parquet``.

    Raises:
        ValueError: likewise.
    """
    _need_pyarrow(path, "Arrow")
    return _read(path, find_files(path, ARROW_ENDINGS, "an Arrow file"), "Arrow", _open_arrow, keeper or InMemory())


#: reads columns by their names: all rows as one table, or as several, one after the other
_Reads = Callable[[list[str], bool], Iterator[Any]]
#: opens a file, and gives its schema and what reads its columns
_Open = Callable[[Any], tuple[Any, _Reads]]


def _need_pyarrow(path: str, what: str) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise ValueError(f"{path}: {what} needs pyarrow, which is not installed: pip install 'nnlab[table]'")


def _open_parquet(file: Any) -> tuple[Any, _Reads]:
    import pyarrow
    from pyarrow import parquet

    opened = parquet.ParquetFile(file)

    def read(names: list[str], in_blocks: bool) -> Iterator[Any]:
        if not in_blocks:
            yield opened.read(columns=names)
            return
        # Group by group: asked for all of them, the reader keeps what it has read until the end.
        for group in range(opened.num_row_groups):
            for batch in opened.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=names):
                yield pyarrow.Table.from_batches([batch])
        pyarrow.default_memory_pool().release_unused()

    return opened.schema_arrow, read


def _open_arrow(file: Any) -> tuple[Any, _Reads]:
    import pyarrow
    from pyarrow import ipc

    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    reader = ipc.open_file(file) if is_file else ipc.open_stream(file)

    def batches() -> Iterator[Any]:
        yield from map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader

    def read(names: list[str], in_blocks: bool) -> Iterator[Any]:
        whole = ([batch] for batch in batches()) if in_blocks else [list(batches())]
        for part in whole:
            table = pyarrow.Table.from_batches(part, reader.schema).select(names)
            table.validate(full=True)  # Arrow believes what a file says of its own texts
            yield table

    return reader.schema, read


def _read(path: str, files: Sequence[Path], what: str, open_one: _Open, keeper: Keeper) -> Table:
    schemas = {}
    for file in files:
        with _opened(file, what, open_one) as (schema, _):
            schemas[file] = schema
    stored, notes = _agreed(path, schemas)
    num_rows, growing = 0, {name: _Growing(kind, keeper) for name, kind in stored.items()}
    for file in files:
        with _opened(file, what, open_one) as (_, read):
            for part in read(list(stored), keeper.is_on_disk):
                num_rows += part.num_rows
                _add(part, growing)
    columns = {name: column.finished(name) for name, column in growing.items()}
    table = Table(path, columns, num_rows)
    return Table(path, columns, num_rows, None, (*notes, *number_notes(table)))


@contextmanager
def _opened(file: Path, what: str, open_one: _Open) -> Iterator[tuple[Any, _Reads]]:
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


@final
class _Growing:
    """A column whose cells come piece by piece."""

    def __init__(self, stored: Stored, keeper: Keeper) -> None:
        self.stored = stored
        self._pieces = keeper.pieces({"date": "datetime64[us]", "text": "int32"}.get(stored, "float64"))
        self._code_of: dict[str, int] = {}

    def add(self, cells: np.ndarray, texts: Sequence[str] | None) -> None:
        """Take cells as ``plain_cells`` gives them."""
        if self.stored == "text":
            # A part without any cells is not one of texts.
            codes = [-1] if texts is None else [*(self._code_of.setdefault(t, len(self._code_of)) for t in texts), -1]
            cells = np.array(codes, np.int32)[np.zeros(len(cells), np.int32) if texts is None else cells]
        elif self.stored == "date" and cells.dtype.kind != "M":
            cells = np.full(len(cells), np.datetime64("NaT"), "datetime64[us]")
        self._pieces.add(cells)

    def finished(self, name: str) -> Column:
        """The column."""
        cells = self._pieces.joined()
        if self.stored == "text":
            return text_column(name, cells, tuple(self._code_of))
        return Column(name, self.stored, cells)


def _add(table: Any, growing: Mapping[str, _Growing]) -> None:
    """Give each column the cells of some rows."""
    import pyarrow
    from pyarrow import types

    from nnlab.data.table.arrow_cells import plain_cells

    for name, own in growing.items():
        column = table.column(name)
        table = table.drop_columns([name])  # each column is given back once it is copied
        if types.is_dictionary(column.type):
            # In the order of the rows; the dictionary may have another one, and texts that no row has.
            column = column.cast(pyarrow.large_string() if own.stored == "text" else column.type.value_type)
        own.add(*plain_cells(column))
