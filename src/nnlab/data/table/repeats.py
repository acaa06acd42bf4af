"""Rows that stand in two splits: what is tested on has been trained on."""

from collections.abc import Sequence
from typing import final

import numpy as np

from nnlab.data.table.column import Column, Table
from nnlab.words import counted

# Odd constants of SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
#: rows that are hashed at a time
_BLOCK = 1 << 13


def repeats_note(table: Table, parts: np.ndarray, names: Sequence[str] | None = None) -> str:
    """A sentence on rows of valid and test that are equal to a row of an earlier split.

    Args:
        table: of N rows.
        parts: int8 [N]: 0 train, 1 valid, 2 test, -1 left out.
        names: the columns that count; None for all.

    Returns:
        The sentence, or nothing.

    Example:
        >>> table = Table("t.csv", {"x": Column("x", "number", np.array([1.0, 2.0, 1.0]))}, 3)
        >>> repeats_note(table, np.array([0, 0, 2]))
        '1 row of test is also in train, equal in all columns: the figures there flatter'
    """
    hashes = row_hashes(table, names)
    counts = {"valid": repeated(hashes, parts, 1, (0,)), "test": repeated(hashes, parts, 2, (0, 1))}
    found = [f"{counted(count, 'row')} of {name}" for name, count in counts.items() if count]
    if not found:
        return ""
    single = sum(counts.values()) == 1
    where = "train or valid" if counts["test"] and repeated(hashes, parts, 2, (1,)) else "train"
    return (
        f"{' and '.join(found)} {'is' if single else 'are'} also in {where}, equal in all columns: the figures there "
        "flatter"
    )


def repeated(hashes: np.ndarray, parts: np.ndarray, part: int, others: Sequence[int]) -> int:
    """How many rows of a split stand in other splits too.

    Args:
        hashes: uint64 [N].
        parts: int8 [N].
        part: the split whose rows are counted.
        others: the splits in which they are looked for.
    """
    mine = np.sort(hashes[parts == part])  # neighbours are looked for in neighbouring places: ten times as fast
    if not len(mine):
        return 0
    known = np.sort(hashes[np.isin(parts, others)])
    if not len(known):
        return 0
    places = np.minimum(np.searchsorted(known, mine), len(known) - 1)
    return int((known[places] == mine).sum())


def row_hashes(table: Table, names: Sequence[str] | None = None) -> np.ndarray:
    """A hash of each row's cells, equal for equal rows, also of different tables in one process.

    Two different rows of a million have the same one with a probability of 1 in 30 million.

    Args:
        table: of N rows.
        names: the columns that count; None for all.

    Returns:
        uint64 [N].
    """
    columns = [_Cells(table.columns[name]) for name in (table.columns if names is None else names)]
    hashes = np.zeros(table.num_rows, np.uint64)
    # In blocks that stay in the processor's cache: several times as fast as whole columns.
    for start in range(0, table.num_rows, _BLOCK):
        block = hashes[start : start + _BLOCK]
        for cells in columns:
            block ^= cells.bits(slice(start, start + _BLOCK))
            _mix(block)
    return hashes


@final
class _Cells:
    """A column's cells as 64 bits each; missing ones are equal to each other."""

    def __init__(self, column: Column) -> None:
        self._column = column
        # Texts are numbered differently in each table, so that their numbers say nothing.
        texts = [*map(hash, column.texts), 0] if column.stored == "text" else []
        self._texts: np.ndarray = np.array(texts, np.int64)

    def bits(self, rows: slice) -> np.ndarray:
        """uint64 of some rows."""
        values = self._column.values[rows]
        if self._column.stored == "text":
            values = self._texts[values]
        elif self._column.stored != "date":
            values = values + 0.0  # which turns -0 into 0, its equal
            values[np.isnan(values)] = np.nan  # of which there are many
        return np.asarray(values.view(np.uint64))


def _mix(bits: np.ndarray) -> None:
    """Spread the differences of 64 bits over all of them, in place."""
    bits += _STEP
    for shift, factor in ((_SHIFTS[0], _FIRST), (_SHIFTS[1], _SECOND)):
        bits ^= bits >> shift
        bits *= factor
    bits ^= bits >> _SHIFTS[2]
