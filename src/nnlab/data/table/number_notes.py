"""What has to be said of a table's numbers, and of texts that were meant to be numbers."""

from collections.abc import Iterator, Sequence

import numpy as np

from nnlab.data.table.cells import is_number
from nnlab.data.table.column import Column, Table

#: whole numbers up to here are exact in float64
_MOST_EXACT = 2.0**53
#: different texts that are looked at to see whether numbers were meant
_MOST_TRIED = 1000
#: of which so many have to be numbers
_NUMBER_SHARE = 0.5
#: names that a sentence holds
_MOST_NAMED = 8


def number_notes(table: Table) -> Iterator[str]:
    """One sentence for each thing about a table's numbers that is easily overlooked.

    Args:
        table: as it was read.
    """
    rounded = [name for name, column in table.columns.items() if _is_rounded(column)]
    if rounded:
        yield (
            f"{table.source}: whole numbers beyond 2^53 in {some(rounded)} are rounded; identifiers tell nothing: "
            f"data.exclude=[{rounded[0]}]"
        )
    for name, column in table.columns.items():
        if column.stored == "text" and (place := _odd_text(column.texts)) is not None:
            row = int(np.argmax(column.values == place))
            yield (
                f"{table.where(row)}, column {name}: {column.texts[place]!r} is no number, so that the whole column is "
                "taken for texts; what is missing is an empty cell"
            )


def some(names: Sequence[str]) -> str:
    """Names for a sentence, those of many columns shortened."""
    return ", ".join(names[:_MOST_NAMED]) + (f", … ({len(names)} in all)" if len(names) > _MOST_NAMED else "")


def _is_rounded(column: Column) -> bool:
    """Whether a column holds whole numbers that float64 rounds, as identifiers of 18 digits are."""
    if column.stored != "number" or not len(column.values):
        return False
    # Most columns without missing cells are done with here, and without a copy.
    if max(column.values.max(), -column.values.min()) <= _MOST_EXACT:
        return False
    values = column.values[np.isfinite(column.values)]
    if not len(values) or np.abs(values).max() <= _MOST_EXACT:
        return False
    return bool((values == np.trunc(values)).all())


def _odd_text(texts: Sequence[str]) -> int | None:
    """The place of the first text that is no number, if most of a column's texts are numbers."""
    tried = texts[:_MOST_TRIED]
    odd = [place for place, text in enumerate(tried) if not is_number(text)]
    return odd[0] if odd and len(tried) - len(odd) >= _NUMBER_SHARE * len(tried) else None
