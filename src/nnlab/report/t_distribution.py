"""Student's t distribution, central and not: the three numbers of it that comparisons need."""

import math

# scipy.stats would take four times as long to import.
from scipy.special import chdtr, nctdtr, stdtr, stdtrit  # type: ignore[import-untyped]


def upper_quantile(alpha: float, degrees: float) -> float:
    """The t that is exceeded with a probability.

    Args:
        alpha: the probability, in (0, 0.5].
        degrees: degrees of freedom, above 0.
    """
    return float(-stdtrit(degrees, alpha))


def two_sided_p(t: float, degrees: float) -> float:
    """The probability of a t at least as far from 0.

    Args:
        t: the statistic.
        degrees: degrees of freedom, above 0.
    """
    return float(2 * stdtr(degrees, -abs(t)))


def power(shift: float, degrees: float, alpha: float) -> float:
    """The probability that a two-sided t test rejects on the side of the truth.

    Args:
        shift: the noncentrality, true difference / its standard error; 0 or above.
        degrees: degrees of freedom, above 0.
        alpha: the size of the test, in (0, 1).

    Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd edition 1988, chapter 12; the tail of
    the noncentral t distribution beyond the central limit.
    """
    limit = upper_quantile(alpha / 2, degrees)
    # The series behind nctdtr fails in both far corners, where simpler expressions are good to four digits.
    if shift > limit * (1 + 6 / math.sqrt(2 * degrees)) + 9:
        return 1.0
    if limit > 5_000:
        return float(chdtr(degrees, degrees * (shift / limit) ** 2))
    return float(1 - nctdtr(degrees, shift, limit))
