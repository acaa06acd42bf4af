"""Running means of squares and their roots, which most adaptive optimizers divide by."""

from typing import final

import torch
from torch import Tensor


@final
class MeanOfSquares:
    """The step v = b v + (1 - b) g², in the order of operations of ``torch.optim``.

    Args:
        kept: b of each row, shape [R, 1].
        added: 1 - b, rounded once, shape [R, 1].
        scratch: room for intermediate results, shape [R, P].
    """

    def __init__(self, kept: Tensor, added: Tensor, scratch: Tensor) -> None:
        self._kept = kept
        self._added = added
        self._scratch = scratch

    def update(self, mean: Tensor, values: Tensor) -> None:
        """Take in new values.

        Args:
            mean: of squares, shape [R, P]; changed.
            values: not squared, shape [R, P].
        """
        torch.mul(values, self._added, out=self._scratch)
        mean.mul_(self._kept).addcmul_(values, self._scratch)


def root(square: Tensor, out: Tensor) -> Tensor:
    """The square root.

    On the CPU torch takes it from MKL, which needs four times as long for a zero, such as the gradients of dead units
    leave, and thirty times for a subnormal number. Twice the inverse is as fast for all, within two units in the last
    place, and 0 for 0.

    Args:
        square: any shape.
        out: of that shape; may be ``square``.

    Returns:
        ``out``.
    """
    return torch.sqrt(square, out=out) if square.is_cuda else torch.rsqrt(square, out=out).reciprocal_()
