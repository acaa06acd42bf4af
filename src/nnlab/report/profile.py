"""How soon each method reaches a target, over many problems: performance profiles and their scores."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: ratios from here on count nothing, as in AlgoPerf
LARGEST_RATIO = 4.0


def time_to_target(times: Sequence[float], values: Sequence[float], target: float, grows: bool) -> float | None:
    """When a curve first reaches a target.

    Args:
        times: (n,), rising: the step or the second of each evaluation.
        values: (n,), the metric there; NaN reaches nothing.
        target: in the metric's unit.
        grows: whether more of the metric is better.

    Returns:
        The time of the first evaluation at the target or past it; None if there is none.

    Example:
        >>> time_to_target([10, 20, 30], [0.9, 0.4, 0.5], target=0.5, grows=False)
        20
    """
    for time, value in zip(times, values, strict=True):
        if (value >= target) if grows else (value <= target):
            return time
    return None


def ratios(times: Sequence[Sequence[float | None]]) -> NDArray[np.float64]:
    """Each time over the best time of any method on the same problem.

    Args:
        times: a row for each of M methods, a column for each of P problems (a workload with a seed); steps or seconds,
            above 0; None where the target was missed.

    Returns:
        (M, P), at least 1; infinite where the target was missed. A problem that no method solves stays, a miss of all:
        scores of fewer problems would not be comparable.

    Raises:
        ValueError: if a time is not above 0, or the rows differ in length.

    Source: E. D. Dolan & J. J. Moré, Benchmarking optimization software with performance profiles, Mathematical
    Programming 91 (2002); unsolved problems as in AlgoPerf (G. E. Dahl et al., Benchmarking Neural Network Training
    Algorithms, 2023).

    Example:
        >>> ratios([[100, 50], [300, None]])
        array([[ 1.,  1.],
               [ 3., inf]])
    """
    if len({len(row) for row in times}) != 1:
        raise ValueError(f"expected a time of every method for every problem, found rows of {[len(r) for r in times]}")
    known: NDArray[np.float64] = np.array(
        [[np.inf if time is None else time for time in row] for row in times], dtype=np.float64
    )
    if not (known > 0).all():
        raise ValueError("times to a target are above 0, or None where it was missed")
    best = known.min(axis=0, keepdims=True, initial=np.inf)
    np.divide(known, best, out=known, where=np.isfinite(known))
    return known


def profile(ratio: ArrayLike, tau: ArrayLike) -> NDArray[np.float64]:
    """ρ(τ): the share of problems that a method solves within τ times the best time.

    Args:
        ratio: (P,), of one method; infinite where it missed the target.
        tau: (T,), at least 1.

    Returns:
        (T,), from 0 to 1, rising with τ, continuous from the right.

    Source: Dolan & Moré 2002, as ``ratios``.
    """
    found = np.asarray(ratio, dtype=np.float64)
    return np.asarray((found <= np.asarray(tau, dtype=np.float64)[..., None]).mean(axis=-1))


def score(ratio: ArrayLike, largest: float = LARGEST_RATIO) -> float:
    """The integral of ρ from 1 to the largest ratio, divided by that range: the mean of max(0, (4 − r) / 3).

    Both are the same number: a problem with ratio r adds 1/P to ρ from r on, hence (4 − r) / P to the integral.

    Args:
        ratio: (P,), of one method; infinite where it missed the target.
        largest: the upper limit of the integral, above 1.

    Returns:
        From 0 to 1: 1 if the method is the fastest on every problem.

    Source: AlgoPerf's benchmark score, Dahl et al. 2023, as ``ratios``.

    Example:
        >>> score([1.0, 2.5, 5.0, float("inf")])
        0.375
    """
    found = np.asarray(ratio, dtype=np.float64)
    return float(np.maximum(0.0, (largest - found) / (largest - 1)).mean())
