"""From the different texts of a column to what they mean."""

from collections.abc import Callable, Sequence

import numpy as np

from nnlab.data.table.cells import STORED, Written, is_missing, meaning
from nnlab.data.table.column import Column


def column_of_texts(
    name: str, codes: np.ndarray, texts: Sequence[str], is_comma_allowed: bool
) -> tuple[Column, Written]:
    """A column of what its texts mean; spaces around them are no part of them.

    Args:
        name: the column's.
        codes: the number of each row's text, integers [N], -1 where a cell is missing.
        texts: in the order in which they first occur, as they stand in the file.
        is_comma_allowed: whether decimals may stand behind a comma.

    Returns:
        The column, and how its cells are written.
    """
    codes, texts = _cleaned(codes, texts, is_missing)
    written, values = meaning(texts, is_comma_allowed)
    if written == "text":
        return Column(name, "text", codes, texts), written
    if written == "nothing":
        return Column(name, "number", np.full(len(codes), np.nan)), written
    assert values is not None
    # A missing cell is number -1, the last.
    nothing = np.array(["NaT"], "datetime64[us]") if STORED[written] == "date" else np.array([np.nan])
    return Column(name, STORED[written], np.concatenate([values, nothing])[codes]), written


def text_column(name: str, codes: np.ndarray, texts: Sequence[str]) -> Column:
    """A column of texts that were stored as such; an empty one is a missing cell.

    Args:
        name: the column's.
        codes: as for ``column_of_texts``.
        texts: likewise.
    """
    return Column(name, "text", *_cleaned(codes, texts, lambda text: not text))


def _cleaned(
    codes: np.ndarray, texts: Sequence[str], is_missing: Callable[[str], bool]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Texts without spaces around them, each of them once, missing ones as code -1."""
    stripped = [text.strip() for text in texts]
    place_of: dict[str, int] = {}
    new = [-1 if is_missing(text) else place_of.setdefault(text, len(place_of)) for text in stripped]
    if len(place_of) == len(texts):
        return np.asarray(codes, np.int32), tuple(stripped)
    return np.array([*new, -1], np.int32)[codes], tuple(place_of)
