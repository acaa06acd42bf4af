"""NumPy arrays in one file as a table."""

import lzma
import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from nnlab.data.table.column import Column, Table
from nnlab.data.table.number_notes import number_notes
from nnlab.data.table.text_column import text_column

#: arrays that are put last, where the target is if nobody names it
_TARGETS = ("y", "target", "targets", "label", "labels")
_ENDING = ".npy"
#: what unpacking raises where a file is damaged, or packed in a way that Python does not know
_DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, NotImplementedError)


class _Header(NamedTuple):
    """What an array is, before it is loaded."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


def read_npz(path: Path) -> Table:
    """Read arrays of N rows: one axis is a column, two are several, called X_1, X_2 and so on.

    Args:
        path: of an .npz file.

    Returns:
        The columns in the order of the arrays, those of one called y, target or label last.

    Raises:
        ValueError: for a file that is none, and arrays that are no columns of one table, or do not fit into memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            headers = list(_headers(path, archive))
        _check(path, headers)
        with np.load(path, allow_pickle=False) as arrays:
            columns = {}
            for header in sorted(headers, key=lambda header: header.name.lower() in _TARGETS):
                for column in _columns(header.name, _loaded(path, arrays, header.name)):
                    if column.name in columns:
                        raise ValueError(f"{path}: two columns would be called {column.name}; rename an array")
                    columns[column.name] = column
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except _DAMAGES as error:
        raise ValueError(f"{path}: expected an unharmed .npz file, as numpy.savez writes it: {error}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    table = Table(str(path), columns, headers[0].shape[0])
    return Table(table.source, columns, table.num_rows, None, tuple(number_notes(table)))


def _headers(path: Path, archive: zipfile.ZipFile) -> Iterator[_Header]:
    """What each array is, from the first bytes of it."""
    for info in archive.infolist():
        if not info.filename.endswith(_ENDING):
            raise ValueError(f"{path}: expected nothing but arrays, found {info.filename}")
        name = info.filename.removesuffix(_ENDING)
        try:
            with archive.open(info) as file:
                read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
                shape, _, dtype = read(file)
        except (*_DAMAGES, ValueError, KeyError) as error:
            raise ValueError(f"{path}: {name} is no array: {' '.join(str(error).split())}") from None
        if dtype.hasobject:
            raise ValueError(
                f"{path}: {name} holds Python objects, which may run any code when they are loaded; save it as numbers "
                "or as texts"
            )
        if info.file_size < math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{path}: {name} is damaged: of {shape} cells only a part is there")
        yield _Header(name, shape, dtype)


def _check(path: Path, headers: list[_Header]) -> None:
    """Refuse arrays that are no columns of one table, before any is loaded."""
    if not headers:
        raise ValueError(f"{path}: expected arrays, found none")
    first = headers[0]
    for header in headers:
        if len(header.shape) not in (1, 2):
            raise ValueError(f"{path}: {header.name}: expected rows, or rows and columns, found shape {header.shape}")
        if header.dtype.kind not in "biufMUS":
            raise ValueError(
                f"{path}: {header.name}: expected numbers, booleans, dates or texts, found {header.dtype.name}"
            )
        if header.shape[0] != first.shape[0]:
            raise ValueError(
                f"{path}: expected arrays of as many rows each, found {first.shape[0]:,} in {first.name} and "
                f"{header.shape[0]:,} in {header.name}; save each split in a file of its own: data.test_path"
            )
    # The largest array as it is stored, and all of them as columns of 8 bytes a cell.
    sizes = [math.prod(header.shape) for header in headers]
    most = max(size * header.dtype.itemsize for size, header in zip(sizes, headers, strict=True))
    needed, there = most + 8 * sum(sizes), _memory()
    if needed > there:
        raise ValueError(f"{path}: needs {needed / 1e9:,.1f} GB of memory; this machine has {there / 1e9:,.1f} GB")


def _loaded(path: Path, arrays: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(arrays[name])
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path}: {name} is no array: {' '.join(str(error).split())}") from None


def _memory() -> int:
    """Bytes of this machine's memory."""
    if not hasattr(os, "sysconf"):
        return 1 << 40
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _columns(name: str, values: np.ndarray) -> Iterator[Column]:
    if values.ndim == 1 or values.shape[1] == 1:
        yield _column(name, values.reshape(len(values)))
        return
    for place, column in enumerate(values.T, 1):
        yield _column(f"{name}_{place}", column)


def _column(name: str, values: np.ndarray) -> Column:
    kind = values.dtype.kind
    if kind in "US":
        texts, firsts, codes = np.unique(values, return_index=True, return_inverse=True)
        order = np.argsort(firsts)
        place = np.argsort(order)
        written = [text.decode("latin-1") if isinstance(text, bytes) else str(text) for text in texts[order].tolist()]
        return text_column(name, place[codes], written)
    if kind == "M":
        return Column(name, "date", values.astype("datetime64[us]"))
    return Column(name, "boolean" if kind == "b" else "number", np.ascontiguousarray(values, np.float64))
