"""Columns of pyarrow as plain NumPy arrays."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow
from pyarrow import types

from nnlab.data.table.column import Stored


def stored_as(kind: Any) -> Stored | Literal["nothing"] | None:
    """As what a column of a pyarrow type is kept.

    Args:
        kind: the type.

    Returns:
        ``nothing`` for a column without cells; None where a table has no such columns, as for lists and bytes.
    """
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_null(kind):
        return "nothing"
    if types.is_boolean(kind):
        return "boolean"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_date(kind) or types.is_timestamp(kind):
        return "date"
    return "text" if _is_text(kind) else None


def plain_cells(column: Any) -> tuple[np.ndarray, Sequence[str] | None]:
    """The cells of a column.

    Args:
        column: a chunked array of a type that is kept; a dictionary is one of texts in the order of the rows.

    Returns:
        Numbers (float64; false and true are 0 and 1), moments in UTC (datetime64[us]), or the numbers of texts, int32
        with -1 where missing; and those texts, in the order in which they first occur, else None.

    Raises:
        ArrowInvalid: for a moment that no datetime64[us] holds.
    """
    kind = column.type
    if types.is_dictionary(kind) or _is_text(kind):
        return _texts(column)
    if types.is_null(kind):
        return np.full(len(column), np.nan), None
    if types.is_date(kind) or types.is_timestamp(kind):
        is_time = types.is_timestamp(kind)
        # Nanoseconds are cut off; moments with a zone are kept in UTC.
        is_safe = not (is_time and kind.unit == "ns")
        moments = column.cast(pyarrow.timestamp("us", kind.tz if is_time else None), safe=is_safe).to_numpy()
        return np.asarray(moments, "datetime64[us]"), None
    if types.is_boolean(kind):
        column = column.cast(pyarrow.uint8())
    if kind != pyarrow.float64():
        column = column.cast(pyarrow.float64(), safe=False)
    return np.asarray(column.to_numpy(), np.float64), None


def _is_text(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _texts(column: Any) -> tuple[np.ndarray, Sequence[str]]:
    if not types.is_dictionary(column.type):
        if types.is_string_view(column.type):
            column = column.cast(pyarrow.large_string())
        column = column.dictionary_encode()
    chunks = column.unify_dictionaries().chunks
    if not chunks:
        return np.empty(0, np.int32), ()
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in chunks]
    return np.concatenate(codes).astype(np.int32, copy=False), tuple(chunks[-1].dictionary.to_pylist())
