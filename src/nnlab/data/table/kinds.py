"""What a column means: a number, yes or no, a date, or one of several categories."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal, get_args

import numpy as np

from nnlab.data.table.choose import refuse_unknown
from nnlab.data.table.column import Column, Stored, Table

Kind = Literal["number", "boolean", "date", "category"]

_KIND_OF: dict[Stored, Kind] = {"number": "number", "boolean": "boolean", "date": "date", "text": "category"}
_STORED: dict[Kind, Stored] = {kind: stored for stored, kind in _KIND_OF.items()}
_BOOLEANS = {"true": 1.0, "yes": 1.0, "1": 1.0, "false": 0.0, "no": 0.0, "0": 0.0}


def check_types(types: Mapping[str, str], table: Table) -> None:
    """Refuse declared kinds that there are not, or of columns that there are not.

    Args:
        types: kinds by column.
        table: whose columns they are.

    Raises:
        ValueError: with the key ``data.types``.
    """
    if not isinstance(types, Mapping):
        raise ValueError(f"data.types: expected kinds by column, such as {{zip: category}}, found {types!r}")
    refuse_unknown("data.types", list(types), table)
    for name, kind in types.items():
        if kind not in get_args(Kind):
            raise ValueError(f"data.types.{name}: expected one of {', '.join(get_args(Kind))}, found {kind!r}")


def kind_of(column: Column, types: Mapping[str, str]) -> Kind:
    """The kind of a column: the declared one, else that of its cells; text is a category.

    Args:
        column: as it was read.
        types: declared kinds by column, checked.

    Example:
        >>> zips = Column("zip", "number", np.array([1011.0, 3012.0]))
        >>> kind_of(zips, {}), kind_of(zips, {"zip": "category"})
        ('number', 'category')
    """
    declared = types.get(column.name)
    return _KIND_OF[column.stored] if declared is None else next(k for k in get_args(Kind) if k == declared)


def as_kind(table: Table, name: str, kind: Kind) -> Column:
    """A column with its cells as a kind wants them.

    Args:
        table: which has the column.
        name: the column's.
        kind: categories are texts; a whole number becomes its digits, a boolean ``false`` or ``true``.

    Returns:
        The column itself where it is of the kind already, else another one; missing cells stay missing.

    Raises:
        ValueError: for the first cell that is not of the kind, with its row.
    """
    column = table.columns[name]
    wanted = _STORED[kind]
    if column.stored == wanted:
        return column
    if wanted == "text":
        return _texts_of(column)
    if column.stored == "text":
        return _from_text(table, column, wanted)
    missing = column.missing()
    if missing.all():
        nothing = np.full(len(missing), np.datetime64("NaT"), "datetime64[us]") if wanted == "date" else np.nan
        return replace(column, stored=wanted, values=np.broadcast_to(nothing, len(missing)))
    if {column.stored, wanted} == {"number", "boolean"}:
        if wanted == "boolean":
            _refuse_first(table, column, ~missing & (column.values != 0) & (column.values != 1), kind)
        return replace(column, stored=wanted)
    _refuse_first(table, column, ~missing, kind)
    raise AssertionError("a cell that is there was refused")


def wrong_cell(table: Table, name: str, row: int, expected: str, advice: str = "") -> ValueError:
    """An error that names a cell.

    Args:
        table: which has the cell.
        name: its column.
        row: its row, from 0.
        expected: what should stand there.
        advice: how to mend it.
    """
    found = table.columns[name].cell(row)
    hint = f"; {advice}" if advice else ""
    return ValueError(f"{table.where(row)}, column {name}: expected {expected}, found {found!r}{hint}")


def _refuse_first(table: Table, column: Column, is_wrong: np.ndarray, kind: str) -> None:
    rows = np.flatnonzero(is_wrong)
    if len(rows):
        expected = {"boolean": "true or false", "date": "a date such as 2024-01-31"}.get(kind, f"a {kind}")
        raise wrong_cell(
            table,
            column.name,
            int(rows[0]),
            expected,
            f"mend the file, or declare data.types={{{column.name}: category}}",
        )


def _texts_of(column: Column) -> Column:
    missing = column.missing()
    different, codes = np.unique(column.values[~missing], return_inverse=True)
    values = np.full(len(missing), -1, np.int32)
    values[~missing] = codes
    write = {"number": _number_text, "boolean": lambda cell: "true" if cell else "false", "date": _date_text}
    return Column(column.name, "text", values, tuple(write[column.stored](cell) for cell in different))


def _number_text(cell: np.float64) -> str:
    return str(int(cell)) if cell.is_integer() else repr(float(cell))


def _date_text(cell: np.datetime64) -> str:
    return str(cell).removesuffix("T00:00:00.000000")


def _from_text(table: Table, column: Column, wanted: Stored) -> Column:
    parsers: dict[Stored, Callable[[str], object]] = {"number": float, "boolean": _boolean, "date": _date}
    parse = parsers[wanted]
    dtype = "datetime64[us]" if wanted == "date" else np.float64
    # One slot more than there are texts: a missing cell is number -1, the last.
    parsed = np.full(len(column.texts) + 1, np.datetime64("NaT") if wanted == "date" else np.nan, dtype)
    is_wrong = np.zeros(len(column.texts) + 1, bool)
    for number, text in enumerate(column.texts):
        try:
            parsed[number] = parse(text)
        except ValueError:
            is_wrong[number] = True
    kind = _KIND_OF[wanted]
    _refuse_first(table, column, is_wrong[column.values], kind)
    return Column(column.name, wanted, parsed[column.values])


def _boolean(text: str) -> float:
    if text.strip().lower() not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[text.strip().lower()]


def _date(text: str) -> np.datetime64:
    moment = datetime.fromisoformat(text.strip())
    if moment.tzinfo is not None:
        moment = moment.replace(tzinfo=None) - (moment.utcoffset() or moment - moment)
    return np.datetime64(moment, "us")
