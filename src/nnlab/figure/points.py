"""Rows of a data set as points: never so many that they hide what they lie on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from nnlab.figure.palette import BLACK, SPLITS

MAX_POINTS = 2000

#: for each split by name: where its rows lie and what they are
Splits = Mapping[str, tuple[np.ndarray, np.ndarray]]


def thinned(num_rows: int) -> np.ndarray:
    """Evenly spaced row numbers: all rows, or 2,000 of them, first and last included.

    Args:
        num_rows: N.

    Returns:
        Ascending int64, shape [min(N, 2000)].
    """
    return np.linspace(0, num_rows - 1, min(num_rows, MAX_POINTS)).round().astype(np.int64)


def split_label(name: str, num_rows: int) -> str:
    """What a legend says of a split: its name and how many of its rows are drawn."""
    if num_rows > MAX_POINTS:
        return f"{name} ({MAX_POINTS:,} of {num_rows:,} shown)"
    return f"{name} ({num_rows:,})"


def marker_size(num_points: int) -> float:
    """Diameter in points: smaller where many lie."""
    return 4.5 if num_points <= 300 else 3.6 if num_points <= 1000 else 2.8


def marker_style(split: str, size: float = 4.5, color: str | None = None) -> dict[str, Any]:
    """How a split's points look, as keywords of ``Axes.plot``.

    Args:
        split: ``train`` is filled, any other hollow.
        size: diameter in points.
        color: instead of the split's own.

    Returns:
        The keywords.
    """
    own, marker, filled = SPLITS.get(split, (BLACK, "D", False))
    shade = color or own
    return {
        "linestyle": "none",
        "marker": marker,
        "markersize": size,
        "markerfacecolor": shade if filled else "white",
        "markeredgecolor": "white" if filled else shade,
        "markeredgewidth": 0.3 if filled else 0.9,
    }


def marker_key(split: str, color: str | None = None) -> Line2D:
    """The legend's picture of a split."""
    return Line2D([], [], **marker_style(split, color=color))
