"""Sentences on what was made of a table."""

from collections.abc import Mapping, Sequence

import numpy as np

from nnlab.data.table.column import Table
from nnlab.data.table.encoding import Encoding
from nnlab.data.table.repeats import repeated, repeats_note, row_hashes
from nnlab.words import counted

#: steps of float32 that a column's values should span, so that they can be told apart
_LEAST_STEPS = 1000
#: columns that a sentence names at most
_MOST_SHOWN = 5


def left_out_note(table: Table, num_left_out: int, num_kept: int) -> list[str]:
    """What ``data.missing=drop`` has done.

    Args:
        table: as it was read.
        num_left_out: rows with an empty cell.
        num_kept: the others.
    """
    if not num_left_out:
        return []
    return [
        f"{table.source}: {counted(num_left_out, 'row')} with empty cells left out (data.missing=drop), "
        f"{num_kept:,} kept"
    ]


def input_notes(encoding: Encoding, low: np.ndarray, high: np.ndarray) -> list[str]:
    """Inputs that teach nothing, or that float32 cannot tell apart.

    Args:
        encoding: of the inputs.
        low: the least value of each input in the training rows, float32 [F].
        high: the largest.
    """
    is_constant = dict(zip(encoding.input_names, (low == high).tolist(), strict=True))
    constant = [column.name for column in encoding.columns if all(is_constant[name] for name in column.input_names)]
    notes = []
    if constant:
        notes.append(
            f"the same in every training row, so that nothing is learnt from it, and kept: {_some(constant)}; "
            f"data.exclude=[{','.join(constant[:_MOST_SHOWN])}] leaves it out"
        )
    largest = np.maximum(np.abs(low), np.abs(high))
    is_coarse = (low < high) & (high - low < _LEAST_STEPS * np.spacing(largest)) & (largest > 1)
    coarse = [name for name, coarse in zip(encoding.input_names, is_coarse.tolist(), strict=True) if coarse]
    if coarse:
        notes.append(
            f"far from zero for its spread, so that float32 holds few of its digits: {_some(coarse)}; take a constant "
            "away in the file"
        )
    return notes


def repeated_notes(tables: Mapping[str, Table], names: Sequence[str], parts: np.ndarray) -> list[str]:
    """Rows that stand in two splits.

    Args:
        tables: ``train``, of which the rows are dealt, and the tables of splits that have one of their own.
        names: the columns that count.
        parts: the split of each row of ``train``, int8.
    """
    table = tables["train"]
    notes = []
    if (parts > 0).any() and (note := repeats_note(table, parts, names)):
        notes.append(note)
    others = {name: other for name, other in tables.items() if name != "train"}
    if others:
        known = row_hashes(table, names)
        for name, other in others.items():
            hashes = np.concatenate([known, row_hashes(other, names)])
            where = np.concatenate([parts, np.full(other.num_rows, 3, np.int8)])
            if count := repeated(hashes, where, 3, (0,)):
                verb = "is" if count == 1 else "are"
                notes.append(f"{counted(count, 'row')} of {name} {verb} also in train: the figures there flatter")
    return notes


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_SHOWN])
    return shown + (f", … ({len(names)} in all)" if len(names) > _MOST_SHOWN else "")
