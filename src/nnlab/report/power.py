"""How many runs would tell a difference apart."""

import math
from collections.abc import Callable

from nnlab.report.t_distribution import power

#: how often the difference should be found if it is what it seems
POWER = 0.8
#: where the search ends
MOST_RUNS = 1_000


def num_pairs_needed(difference: float, deviation: float, alpha: float) -> int | None:
    """The fewest pairs that tell a difference apart by the paired t test, four times in five.

    Args:
        difference: the mean difference within a pair, in the metric's unit.
        deviation: the standard deviation of those differences.
        alpha: the size of the test, in (0, 1).

    Returns:
        The number, at least 2; None if it is above 1,000.

    Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd edition 1988, chapter 2, with the
    noncentral t distribution itself in place of tables.
    """

    def is_enough(num: int) -> bool:
        return power(abs(difference) / deviation * math.sqrt(num), num - 1, alpha) >= POWER

    return _smallest(is_enough) if difference else None


def num_each_needed(difference: float, deviations: tuple[float, float], alpha: float) -> int | None:
    """The fewest runs in each of two groups of equal size that Welch's t test tells apart, four times in five.

    Args:
        difference: of the means, in the metric's unit.
        deviations: the standard deviation of each group; not both 0.
        alpha: the size of the test, in (0, 1).

    Returns:
        The number, at least 2; None if it is above 1,000.

    Source: as ``num_pairs_needed``, with the degrees of freedom of B. L. Welch, Biometrika 34 (1947).
    """
    first, second = (deviation**2 for deviation in deviations)
    degrees_each = (first + second) ** 2 / (first**2 + second**2)

    def is_enough(num: int) -> bool:
        return power(abs(difference) * math.sqrt(num / (first + second)), (num - 1) * degrees_each, alpha) >= POWER

    return _smallest(is_enough) if difference else None


def _smallest(is_enough: Callable[[int], bool]) -> int | None:
    """Bisection: more runs never have less power."""
    low, high = 2, MOST_RUNS
    if not is_enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return low
