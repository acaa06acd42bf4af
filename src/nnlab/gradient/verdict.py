"""Whether ways to compute the gradient agree on one parameter."""

import math
from dataclasses import dataclass

from torch import Tensor

from nnlab.gradient.agreement import Differences, relative_error

#: relative error that rounding in float64 may leave
ROUNDING = 1e-10
#: relative error of central differences that needs no further proof
SMALL = 1e-6
#: by how much their error falls when delta is halved, if it is of the order of delta squared: 4, give or take
RATIO = (3.5, 4.5)


@dataclass(frozen=True)
class Row:
    """One parameter tensor as all ways see it.

    Args:
        name: of the parameter.
        exact: by autograd.
        backprop: by hand, or None where that is refused.
        whole: central differences with delta, or None where they are refused.
        half: with half of it.
        noise: the size of a difference that rounding alone explains, for central differences.
        scale: the largest gradient of the whole model; far below it there is nothing but rounding.
    """

    name: str
    exact: Tensor
    backprop: Tensor | None
    whole: Differences | None
    half: Differences | None
    noise: float
    scale: float

    @property
    def backprop_error(self) -> float | None:
        """Relative."""
        return None if self.backprop is None else relative_error(self.backprop, self.exact)

    @property
    def compared(self) -> Tensor:
        """Where central differences with either delta crossed no kink."""
        assert self.whole is not None
        assert self.half is not None
        return self.whole.is_smooth & self.half.is_smooth

    def difference_error(self, found: Differences) -> float:
        """Relative, over what is compared, to the largest gradient of the whole tensor."""
        error = (found.slopes - self.exact)[self.compared].abs()
        size = float(self.exact.abs().max())
        largest = float(error.max()) if error.numel() else 0.0
        return 0.0 if largest == 0 else largest / size if size else math.inf

    @property
    def backprop_agrees(self) -> bool:
        """Whether nothing but rounding lies between autograd and the chain rule by hand."""
        if self.backprop is None:
            return True
        error = self.backprop_error
        assert error is not None
        return error <= ROUNDING or float((self.backprop - self.exact).abs().max()) <= ROUNDING * 1e-4 * self.scale

    @property
    def difference_agrees(self) -> bool:
        """Whether the error of central differences is of the order of delta squared, or as small as rounding."""
        if self.whole is None or self.half is None:
            return True
        whole, half = self.difference_error(self.whole), self.difference_error(self.half)
        size = float(self.exact.abs().max())
        is_noise = whole * size <= self.noise if size else bool((self.whole.slopes.abs() <= self.noise).all())
        return is_noise or whole <= SMALL or (half > 0 and RATIO[0] <= whole / half <= RATIO[1])
