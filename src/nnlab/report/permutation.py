"""How much runs prove that differ by exactly as much every time: what is left where t would be infinite."""

import math

from nnlab.report.power import MOST_RUNS


def p_without_spread(num_runs: tuple[int, int], is_paired: bool, is_constant: bool) -> float:
    """The p value of a difference without any spread, by exchanging what chance might have exchanged.

    Two runs whose accuracies are the same row of 500 apart are no proof, however narrow their interval is. With pairs
    every difference might have had the other sign: 2 of the 2ⁿ ways to choose the signs are as extreme as what was
    found. Where moreover each group has but one value, the runs themselves might have been exchanged: 2 of the
    (n + m)! / (n! m!) ways to part them are as extreme.

    Args:
        num_runs: n of the first group and m of the second; equal for pairs.
        is_paired: whether the difference is the same in all pairs.
        is_constant: whether all values of each group are equal.

    Returns:
        At most 1.

    Source: E. J. G. Pitman, Significance tests which may be applied to samples from any populations, Journal of the
    Royal Statistical Society, Supplement 4 (1937).

    Example:
        >>> [p_without_spread((num, num), is_paired=True, is_constant=False) for num in (2, 5, 6)]
        [0.5, 0.0625, 0.03125]
        >>> p_without_spread((5, 5), is_paired=False, is_constant=True)
        0.007936...
    """
    of_pairs = 2 / 2 ** num_runs[0] if is_paired else 1.0
    of_groups = 2 / math.comb(sum(num_runs), num_runs[0]) if is_constant else 1.0
    return min(1.0, of_pairs, of_groups)


def num_needed_without_spread(is_paired: bool, is_constant: bool, alpha: float) -> int | None:
    """The fewest runs of each group that tell such a difference apart.

    Args:
        is_paired: as for ``p_without_spread``.
        is_constant: likewise.
        alpha: the size of the test, in (0, 1).

    Returns:
        The number; None if it is above 1,000.
    """
    numbers = range(2, MOST_RUNS + 1)
    return next((num for num in numbers if p_without_spread((num, num), is_paired, is_constant) <= alpha), None)
