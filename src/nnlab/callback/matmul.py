"""A layer's forward pass row by row and as one matrix product, timed side by side."""

import statistics
import time
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from nnlab.callback.base import Callback, FitView
from nnlab.callback.first_layer import first_layer
from nnlab.seeding import generator

#: the product takes well under a millisecond: the median of several is what it takes, one alone may be a hiccup
NUM_PRODUCTS = 21
#: rows that the loop goes through beforehand: the first pay for what torch loads at its first use
NUM_WARM_UP_ROWS = 20
#: how far the two may lie apart, in units of rounding of the largest number
MOST_ROUNDINGS = 100


@final
class Matmul(Callback):
    """Before training, times the model's first linear layer for random rows in two ways.

    One is a Python loop over the rows, ``row @ weight.T + bias`` written into a tensor made beforehand; the other is
    the same in one matrix product of all rows. Both times are said and drawn in ``figures/matmul.png``. The training
    itself is not touched: the rows have a random stream of their own.

    Args:
        num_rows: rows, at least 1.
        seed: of the rows, which are uniform in [0, 1).

    Raises:
        ValueError: if ``num_rows`` is below 1.
    """

    def __init__(self, num_rows: int, seed: int) -> None:
        if num_rows < 1:
            raise ValueError(f"callback.matmul.num_rows: expected at least 1, found {num_rows}")
        self.num_rows = num_rows
        self.seed = seed

    def on_fit_start(self, view: FitView) -> None:
        """Time both, say what they took, draw it.

        Raises:
            ValueError: if the model has no linear layer.
        """
        name, layer = first_layer(view.model, "callback.matmul")
        weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        rows = torch.rand(self.num_rows, layer.in_features, generator=generator(self.seed, "matmul"))
        rows = rows.to(weight.device, weight.dtype)
        row_by_row(rows[:NUM_WARM_UP_ROWS], weight, bias)
        at_once(rows, weight, bias)
        loop, loop_s = _timed(lambda: row_by_row(rows, weight, bias), weight.device)
        products = [_timed(lambda: at_once(rows, weight, bias), weight.device) for _ in range(NUM_PRODUCTS)]
        product_s = statistics.median(seconds for _, seconds in products)
        what = f"{self.num_rows:,} rows through layer {name} ({layer.in_features} to {layer.out_features})"
        view.out.say(f"{what}: {describe(loop_s, product_s)}; {compare(loop, products[0][0])}")
        self._draw(view, what, loop_s, product_s)

    def _draw(self, view: FitView, what: str, loop_s: float, product_s: float) -> None:
        # matplotlib takes half a second, which only those who draw shall pay
        from nnlab.figure.durations import durations

        taken = {"Python loop over the rows": loop_s, "one matrix product": product_s}
        view.out.figure(view.resumed_at or 0, "matmul", durations(taken, what))


def row_by_row(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer applied to one row after the other.

    Args:
        rows: shape [N, F].
        weight: shape [O, F].
        bias: shape [O], or None.

    Returns:
        Shape [N, O].
    """
    output = torch.empty(len(rows), len(weight), dtype=rows.dtype, device=rows.device)
    turned = weight.T
    for index in range(len(rows)):
        output[index] = rows[index] @ turned if bias is None else rows[index] @ turned + bias
    return output


def at_once(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer applied to all rows in one matrix product; arguments and result as in ``row_by_row``."""
    return rows @ weight.T if bias is None else rows @ weight.T + bias


def describe(loop_s: float, product_s: float) -> str:
    """Both times in milliseconds, and how they compare.

    Example:
        >>> describe(0.171, 0.000584)
        '171 ms in a Python loop, 0.584 ms as one matrix product, 293 times as fast'
    """
    ratio = loop_s / product_s
    shown = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2g}"
    times = f"{loop_s * 1e3:.3g} ms in a Python loop, {product_s * 1e3:.3g} ms as one matrix product"
    return f"{times}, {shown} times as fast"


def compare(loop: Tensor, product: Tensor) -> str:
    """Whether two results are the same but for rounding, in words.

    Args:
        loop: any shape.
        product: the same shape and dtype.
    """
    difference = (loop - product).abs().max().item()
    rounding = torch.finfo(product.dtype).eps * product.abs().max().item()
    if difference <= MOST_ROUNDINGS * rounding:
        return f"both give the same numbers (largest difference {difference:.1g})"
    return f"their numbers differ by up to {difference:.3g}"


def _timed(work: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, float]:
    """What some work gave, and the seconds until the device was done with it."""
    if device.type == "cuda":  # what it was given before is not counted
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return result, time.perf_counter() - start
