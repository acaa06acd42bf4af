"""Which of a table's columns are inputs, and which the target."""

from collections.abc import Sequence
from difflib import get_close_matches

from nnlab.data.table.column import Table

#: names that a message shows at most
_MOST_NAMES = 12


def choose_target(table: Table, target: str | Sequence[str] | None) -> tuple[str, ...]:
    """The target's columns.

    Args:
        table: as it was read.
        target: a name, several names, or None for the last column.

    Returns:
        At least one name.

    Raises:
        ValueError: with the key ``data.target``.
    """
    if target is None:
        return (list(table.columns)[-1],)
    names = [target] if isinstance(target, str) else target
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"data.target: expected a column's name or a list of names, found {target!r}")
    refuse_unknown("data.target", names, table)
    return tuple(names)


def choose_features(
    table: Table, target: Sequence[str], features: Sequence[str], exclude: Sequence[str], aside: Sequence[str]
) -> tuple[str, ...]:
    """The columns that the model learns from.

    Args:
        table: as it was read.
        target: the target's columns.
        features: names; empty for every column that is left.
        exclude: names to leave out.
        aside: columns that have another use, such as weights; they are inputs only where ``features`` names them.

    Returns:
        At least one name: in the order of ``features``, else in that of the file.

    Raises:
        ValueError: with the key of what is wrong.
    """
    for key, names in (("data.features", features), ("data.exclude", exclude)):
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{key}: expected a list of columns' names, found {names!r}")
        refuse_unknown(key, names, table)
    for name in features:
        if name in target:
            raise ValueError(f"data.features: {name} is the target; an input that tells the answer teaches nothing")
        if name in exclude:
            raise ValueError(f"data.exclude: {name} is among data.features too; take it out of one of them")
    left = [name for name in table.columns if name not in {*target, *exclude, *aside}]
    chosen = tuple(features) or tuple(left)
    if not chosen:
        raise ValueError(
            f"{table.source}: no column is left to learn from: it has {_some(list(table.columns))}; "
            f"the target is {', '.join(target)}"
        )
    return chosen


def refuse_unknown(key: str, names: Sequence[str], table: Table) -> None:
    """Refuse names that no column has, or that stand there twice.

    Args:
        key: where they stand, such as ``data.exclude``.
        names: as typed.
        table: whose columns they should be.

    Raises:
        ValueError: with the nearest names.
    """
    for place, name in enumerate(names):
        if name not in table.columns:
            raise ValueError(f"{key}: {table.source} has no column {name!r}{nearest_column(name, table)}")
        if name in names[:place]:
            raise ValueError(f"{key}: {name} stands there twice")


def nearest_column(name: str, table: Table) -> str:
    """A hint such as ``; did you mean price?``, or what columns there are.

    Args:
        name: that no column has.
        table: whose columns are compared.
    """
    by_lower = {column.lower(): column for column in table.columns}
    near = [by_lower[found] for found in get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.6)]
    return f"; did you mean {' or '.join(near)}?" if near else f"; it has {_some(list(table.columns))}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (f", … ({len(names)} in all)" if len(names) > _MOST_NAMES else "")
