"""A mean over runs and the interval that it stands for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnlab.report.pivot import Pivot, StudentT
from nnlab.report.resampling import pivot_of_one
from nnlab.report.sample import Sample, sample

#: the ways to make an interval
METHODS = ("student", "bootstrap_t")


@dataclass(frozen=True)
class Interval:
    """A mean with the limits of its interval.

    Args:
        mean: the mean.
        low: the lower limit; ``-inf`` where the values give none, as a single one does.
        high: the upper limit; ``inf`` where the values give none.
    """

    mean: float
    low: float
    high: float


def student(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean ± t · s / √n: covers as often as it says for normal values, too seldom for skewed ones.

    Args:
        values: (n,), finite; runs that diverged are left out by the caller, who says so. One value has no limits;
            values that are all equal have their own value as limits.
        level: how often the interval should cover the mean, in (0, 1).

    Raises:
        ValueError: if there are no values, or some are not finite.

    Source: Student, The probable error of a mean, Biometrika 6 (1908).

    Example:
        >>> student([1.0, 2.0, 3.0])
        Interval(mean=2.0, low=-0.484137..., high=4.484137...)
    """
    return interval(values, "student", level)


def bootstrap_t(values: Sequence[float], level: float = 0.95) -> Interval:
    """The studentised bootstrap: follows the skew of the values, at the price of greater width.

    The quantiles of (mean* − mean) / se* over resamples stand in for those of Student's t. Up to eight values all
    resamples are enumerated, so nothing is random; from nine on 9,999 are drawn from a fixed seed. A resample whose
    values are all equal has se* = 0 and counts as infinitely far on its side. With two or three values more than the
    tails are such, and there are no limits; where most values are equal, one side may have none.

    Args:
        values: (n,), finite; runs that diverged are left out by the caller, who says so. One value has no limits;
            values that are all equal have their own value as limits.
        level: how often the interval should cover the mean, in (0, 1).

    Raises:
        ValueError: if there are no values, or some are not finite.

    Source: B. Efron & R. J. Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5; the enumeration: N. I.
    Fisher & P. Hall, Bootstrap algorithms for small samples, Journal of Statistical Planning and Inference 27 (1991).

    Example:
        >>> bootstrap_t([0.1, 0.2, 0.2, 0.3, 1.9])
        Interval(mean=0.54, low=-0.017..., high=6.686...)
    """
    return interval(values, "bootstrap_t", level)


def interval(values: Sequence[float], method: str, level: float = 0.95) -> Interval:
    """The interval by the name of its method.

    Args:
        values: (n,), finite.
        method: one of ``METHODS``.
        level: how often the interval should cover the mean, in (0, 1).

    Raises:
        ValueError: if there are no values, some are not finite, or the method or the level is none.
    """
    return estimate(sample(values), method, level)[0]


def estimate(values: Sample, method: str, level: float) -> tuple[Interval, float]:
    """The mean's interval, and the p value of a mean of 0.

    Args:
        values: the sample.
        method: one of ``METHODS``.
        level: of the interval, in (0, 1).

    Raises:
        ValueError: if the method or the level is none.
    """
    check(method, level)
    if values.num == 1:
        return unbounded(values.mean)
    if values.scale == 0:
        return certain(values.mean)
    pivot = StudentT(values.num - 1) if method == "student" else pivot_of_one(values.deviations)
    return limits(values.mean, values.error, pivot, level)


def limits(mean: float, error: float, pivot: Pivot, level: float) -> tuple[Interval, float]:
    """Turn a distribution of t into an interval, and into the p value of a truth of 0.

    Args:
        mean: the estimate.
        error: its standard error, above 0.
        pivot: what (mean − truth) / error follows.
        level: of the interval, in (0, 1).
    """
    low, high = pivot.quantiles(size(level))
    return Interval(mean, mean - high * error, mean - low * error), pivot.p_value(mean / error)


def unbounded(mean: float) -> tuple[Interval, float]:
    """What a single value says of its mean: nothing."""
    return Interval(mean, -np.inf, np.inf), 1.0


def certain(mean: float) -> tuple[Interval, float]:
    """What values without any spread say of their mean."""
    return Interval(mean, mean, mean), 1.0 if mean == 0 else 0.0


def size(level: float) -> float:
    """1 − level, without what the subtraction adds in the last digits.

    Example:
        >>> 1 - 0.9, size(0.9)
        (0.09999999999999998, 0.1)
    """
    return round(1 - level, 12)


def check(method: str, level: float) -> None:
    """Refuse what is no method or no level.

    Raises:
        ValueError: naming what may stand there.
    """
    if method not in METHODS:
        raise ValueError(f"--interval: expected one of {', '.join(METHODS)}, found {method!r}")
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval lies between 0 and 1, found {level}")
