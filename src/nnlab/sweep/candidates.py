"""Points of a space: all of them, or some at random."""

import itertools
import math

import numpy as np

from nnlab.seeding import derive
from nnlab.sweep.space import Choice, Dimension, Space, Whole, values_of

#: cells of a space up to which they are numbered, so that none is drawn twice
MOST_CELLS = 1_000_000


def candidates(space: Space, number: int | None, seed: int) -> list[dict[str, str]]:
    """Points of a space, as they are typed.

    Args:
        space: what is chosen from.
        number: how many; None for all of a space that has finitely many.
        seed: of the draw.

    Returns:
        The points, by key; never one twice where there are few enough to be counted.
    """
    cells = space.num_cells
    if cells is not None and cells <= MOST_CELLS:
        columns = [[one.text(value) for value in values_of(one)] for one in space.dimensions.values()]
        points = [dict(zip(space.dimensions, texts, strict=True)) for texts in itertools.product(*columns)]
        if number is None or number >= cells:
            return points
        order = np.random.default_rng(derive(seed, "candidates")).permutation(cells)[:number]
        return [points[place] for place in order]
    assert number is not None
    # A stream for each point and key: more points are the same points, and others behind them.
    return [{key: _drawn(one, seed, place, key) for key, one in space.dimensions.items()} for place in range(number)]


def _drawn(dimension: Dimension, seed: int, place: int, key: str) -> str:
    share = float(np.random.default_rng(derive(seed, "candidates", place, key)).random())
    if isinstance(dimension, Choice) or dimension.step not in (None, 1):
        values = values_of(dimension)
        return dimension.text(values[int(share * len(values))])
    # Each whole number is as wide as any other.
    low, high = (
        (dimension.low - 0.5, dimension.high + 0.5) if isinstance(dimension, Whole) else (dimension.low, dimension.high)
    )
    value = (
        math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        if dimension.is_log
        else (low + share * (high - low))
    )
    if isinstance(dimension, Whole):
        return dimension.text(min(dimension.high, max(dimension.low, round(value))))
    return dimension.text(min(dimension.high, max(dimension.low, value)))
