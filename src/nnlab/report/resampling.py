"""Resamples of a sample, and the studentised mean of each."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnlab.report.pivot import Resampled

#: the largest sample whose resamples are all enumerated: 6,435 distinct ones
MOST_EXACT = 8
#: the same where two samples are resampled together: 462 × 462 pairs
MOST_EXACT_OF_TWO = 6
#: resamples that are drawn where there are too many to enumerate; odd, so that the sample itself can be among them
NUM_DRAWN = 9_999

#: a mean this close to the sample's, in units of the largest deviation, differs by rounding only
_ROUNDING = 1e-12
#: a sum of squares that is left with less than this share has lost six digits
_LOSS = 1e-6
#: numbers that are worked on at once
_BLOCK = 2**18


def smallest_p(num_runs: tuple[int, int], is_paired: bool) -> float:
    """A number below which no p value of a difference lies: one resample in either tail.

    Args:
        num_runs: of the first and of the second group; equal for pairs.
        is_paired: whether the differences within pairs are resampled, rather than each group.

    Example:
        >>> smallest_p((4, 4), is_paired=True), smallest_p((10, 10), is_paired=True)
        (0.0078125, 0.0002)
    """
    groups = num_runs[:1] if is_paired else num_runs
    if max(groups) <= (MOST_EXACT if is_paired else MOST_EXACT_OF_TWO):
        return 2 / float(math.prod(num**num for num in groups))
    return 2 / (NUM_DRAWN + 1)


@dataclass(frozen=True)
class Resamples:
    """How often each of n values occurs in each of R resamples.

    Args:
        counts: (R, n), each row adds up to n.
        weights: (R,), how many of the n**n ordered resamples a row stands for; 1 where they are drawn.
        is_drawn: whether the rows are a random choice rather than all there are.
    """

    counts: NDArray[np.int16]
    weights: NDArray[np.int64]
    is_drawn: bool


@lru_cache(maxsize=MOST_EXACT)
def enumerated(num_values: int) -> Resamples:
    """All distinct resamples of a few values, each with its multinomial weight.

    Args:
        num_values: n, at most ``MOST_EXACT``.
    """
    places = 2 * num_values - 1
    # Stars and bars: n counts that add up to n are the gaps between n - 1 bars.
    bars = np.array(list(combinations(range(places), num_values - 1)), dtype=np.int64)
    ends = np.full((len(bars), 1), places)
    counts = np.diff(np.hstack([np.full_like(ends, -1), bars, ends]), axis=1) - 1
    factorials = np.array([math.factorial(number) for number in range(num_values + 1)])
    weights = factorials[num_values] // factorials[counts].prod(axis=1)
    return Resamples(counts.astype(np.int16), weights, is_drawn=False)


@lru_cache(maxsize=MOST_EXACT)
def drawn(num_values: int, stream: int = 0) -> Resamples:
    """Resamples from a fixed seed: always the same for one n.

    The first is the sample itself, and the last half are the others with the order of the values reversed: values in
    rising order and their mirror image in rising order have the same resamples.

    Args:
        num_values: n.
        stream: another number gives independent resamples.
    """
    generator = np.random.default_rng([num_values, stream])
    half = generator.multinomial(num_values, np.full(num_values, 1 / num_values), size=NUM_DRAWN // 2).astype(np.int16)
    counts = np.vstack([np.ones((1, num_values), dtype=np.int16), half, half[:, ::-1]])
    return Resamples(counts, np.ones(NUM_DRAWN, dtype=np.int64), is_drawn=True)


@dataclass(frozen=True)
class Moments:
    """Mean and variance of each resample of a sample.

    Args:
        shift: (R,), the resample's mean − the sample's mean.
        variance: (R,), the square of the standard error of the resample's mean.
        is_constant: (R,), whether all values of the resample are equal.
    """

    shift: NDArray[np.float64]
    variance: NDArray[np.float64]
    is_constant: NDArray[np.bool_]


def moments(deviations: NDArray[np.float64], resamples: Resamples) -> Moments:
    """Mean and variance of each resample.

    Args:
        deviations: (n,), value − mean in rising order.
        resamples: of n values.
    """
    num_rows = max(1, _BLOCK // len(deviations))
    blocks = range(0, len(resamples.counts), num_rows)
    parts = [_moments(deviations, resamples.counts[start : start + num_rows]) for start in blocks]
    return Moments(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _moments(deviations: NDArray[np.float64], counts: NDArray[np.int16]) -> tuple[NDArray[Any], ...]:
    num, times = len(deviations), counts.astype(np.float64)
    shift, squares = times @ deviations / num, times @ deviations**2
    sums = squares - num * shift**2
    is_constant = np.zeros(len(counts), dtype=np.bool_)
    # Where the subtraction lost most digits, as in a resample that misses the one value far away, the long way.
    lossy = np.flatnonzero(sums <= _LOSS * squares)
    sums[lossy] = (counts[lossy] * (deviations - shift[lossy, None]) ** 2).sum(axis=1)
    is_there = counts[lossy] > 0
    largest, smallest = np.where(is_there, deviations, -np.inf), np.where(is_there, deviations, np.inf)
    is_constant[lossy] = largest.max(axis=1) == smallest.min(axis=1)
    return shift, sums / (num * (num - 1)), is_constant


def pivot_of_one(deviations: NDArray[np.float64]) -> Resampled:
    """The distribution of t over the resamples of one sample.

    Args:
        deviations: (n,), value − mean in rising order, scaled so that the largest is about 1; not all 0.
    """
    num = len(deviations)
    resamples = enumerated(num) if num <= MOST_EXACT else drawn(num)
    found = moments(deviations, resamples)
    t = _studentised(found.shift, found.variance, found.is_constant)
    return Resampled(t, resamples.weights, resamples.is_drawn)


def pivot_of_two(first: NDArray[np.float64], second: NDArray[np.float64]) -> Resampled:
    """The distribution of t for the difference of two means, each sample resampled by itself.

    Args:
        first: (n,), value − mean in rising order, scaled so that the largest of both samples is about 1.
        second: (m,), likewise, in the same unit; not all of both are 0.
    """
    if max(len(first), len(second)) <= MOST_EXACT_OF_TWO:
        one, two = enumerated(len(first)), enumerated(len(second))
        a, b = moments(first, one), moments(second, two)
        t = _studentised(
            np.subtract.outer(a.shift, b.shift).ravel(),
            np.add.outer(a.variance, b.variance).ravel(),
            np.logical_and.outer(a.is_constant, b.is_constant).ravel(),
        )
        return Resampled(t, np.multiply.outer(one.weights, two.weights).ravel(), is_drawn=False)
    one, two = drawn(len(first), stream=1), drawn(len(second), stream=2)
    a, b = moments(first, one), moments(second, two)
    t = _studentised(a.shift - b.shift, a.variance + b.variance, a.is_constant & b.is_constant)
    return Resampled(t, one.weights, is_drawn=True)


def _studentised(
    shift: NDArray[np.float64], variance: NDArray[np.float64], is_constant: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Shift / standard error; a resample without spread is infinitely far on its side, or at 0 if it is not off."""
    safe = np.where(is_constant, 1.0, variance)
    far = np.where(np.abs(shift) <= _ROUNDING, 0.0, np.copysign(np.inf, shift))
    t: NDArray[np.float64] = np.where(is_constant, far, shift / np.sqrt(safe))
    return t
