"""Values of one quantity over runs, made ready for arithmetic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sample:
    """Values in rising order, taken apart: mean + scale × deviations.

    Args:
        mean: the mean.
        scale: the largest distance from the mean; 0 where all values are equal.
        deviations: (n,), from -1 to 1; powers of them neither vanish nor overflow.
    """

    mean: float
    scale: float
    deviations: NDArray[np.float64]

    @property
    def num(self) -> int:
        """How many values there are."""
        return len(self.deviations)

    @property
    def deviation(self) -> float:
        """The standard deviation, by n − 1; needs two values."""
        return float(self.scale * np.sqrt((self.deviations**2).sum() / (self.num - 1)))

    @property
    def error(self) -> float:
        """The standard error of the mean; needs two values."""
        return self.deviation / math.sqrt(self.num)


def sample(values: Sequence[float]) -> Sample:
    """Take values apart.

    Args:
        values: (n,), finite, in any order.

    Raises:
        ValueError: if there are no values, or some are not finite.
    """
    # Sums depend on the order in the last bit; what is reported should not depend on the order of folders.
    data = np.sort(np.asarray(values, dtype=np.float64))
    if data.ndim != 1 or len(data) == 0:
        raise ValueError(f"an interval needs a list of at least one value, found the shape {data.shape}")
    if not np.isfinite(data).all():
        bad = ", ".join(str(value) for value in data[~np.isfinite(data)][:3])
        raise ValueError(f"an interval needs finite values, found {bad}; leave out the runs that diverged, and say so")
    if data[0] == data[-1]:
        return Sample(float(data[0]), 0.0, np.zeros_like(data))
    mean = data.mean()
    scale = np.abs(data - mean).max()
    return Sample(float(mean), float(scale), (data - mean) / scale)
