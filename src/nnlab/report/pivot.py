"""What (mean − truth) / standard error follows: by theory, or by resampling the sample itself."""

import math
from abc import ABC, abstractmethod
from typing import final

import numpy as np
from numpy.typing import NDArray

from nnlab.report.t_distribution import two_sided_p, upper_quantile


class Pivot(ABC):
    """A distribution of t = (mean − truth) / standard error."""

    @abstractmethod
    def quantiles(self, alpha: float) -> tuple[float, float]:
        """The values of t below and above which half of ``alpha`` lies each; infinite where too little lies inside.

        Args:
            alpha: the probability outside, in (0, 1).
        """

    @abstractmethod
    def p_value(self, t: float) -> float:
        """The probability of a t at least as extreme: twice the smaller tail, at most 1.

        Args:
            t: the observed mean / standard error. A truth of 0 lies outside the interval of size ``alpha`` where the
                p value is below ``alpha``.
        """


@final
class StudentT(Pivot):
    """Student's t distribution: exact for normal values.

    Args:
        degrees: degrees of freedom, above 0.
    """

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def quantiles(self, alpha: float) -> tuple[float, float]:  # noqa: D102
        limit = upper_quantile(alpha / 2, self.degrees)
        return -limit, limit

    def p_value(self, t: float) -> float:  # noqa: D102
        return two_sided_p(t, self.degrees)


@final
class Resampled(Pivot):
    """The weighted values of t over resamples.

    The quantiles are those of the mirrored distribution mirrored. Of R drawn resamples they are the
    (R + 1) alpha / 2-th from either end, and the sample counts as one more in a p value, which is thus never 0
    (A. C. Davison & D. V. Hinkley, Bootstrap Methods and their Application, 1997, chapters 4 and 5).

    Args:
        t: (R,), the statistic of each resample; may be infinite.
        weights: (R,), how often each resample occurs among all of them.
        is_drawn: whether these are resamples drawn at random rather than all there are.
    """

    def __init__(self, t: NDArray[np.float64], weights: NDArray[np.int64], is_drawn: bool) -> None:
        order = np.argsort(t)
        self.t = t[order]
        self._upwards = np.cumsum(weights[order])
        self._downwards = np.cumsum(weights[order][::-1])
        self._num_unseen = 1 if is_drawn else 0

    def quantiles(self, alpha: float) -> tuple[float, float]:  # noqa: D102
        # Weights are whole numbers: a tail that is one too must not be rounded up for its last digit.
        tail = math.ceil(round(alpha / 2 * float(self._upwards[-1]), 6))
        low = np.searchsorted(self._upwards, tail)
        high = np.searchsorted(self._downwards, tail)
        return float(self.t[low]), float(self.t[::-1][high])

    def p_value(self, t: float) -> float:  # noqa: D102
        total = int(self._upwards[-1])
        num_below = int(np.searchsorted(self.t, t, side="right"))
        num_above = len(self.t) - int(np.searchsorted(self.t, t, side="left"))
        tails = [
            int(cumulated[number - 1]) if number else 0
            for cumulated, number in ((self._upwards, num_below), (self._downwards, num_above))
        ]
        return min(1.0, 2 * (min(tails) + self._num_unseen) / (total + self._num_unseen))
