"""Fillings that draw from a few given numbers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def bernoulli(weight: Tensor, p: float, scale: float) -> None:
    """Fill with ``scale`` with probability p, else with 0 (``torch.bernoulli``).

    The mean is ``scale p``, the variance ``scale² p (1 - p)``.

    Args:
        weight: shape [out, in].
        p: the probability of a number that is not 0, in [0, 1].
        scale: that number.

    Raises:
        ValueError: if p is no probability.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"init.p: expected a probability in [0, 1], found {p}")
    with torch.no_grad():
        weight.copy_(torch.bernoulli(torch.full_like(weight, p)).mul_(scale))


def multinomial(
    weight: Tensor, values: Sequence[float] | None, weights: Sequence[float] | None, replacement: bool
) -> None:
    """Fill each row with draws from a list of numbers, by their weights (``torch.multinomial``).

    With replacement each draw is ``values[k]`` with probability ``weights[k] / sum(weights)``. Without, the draws of
    a row follow one another: what was drawn is taken out, and the weights of the rest decide.

    Args:
        weight: shape [out, in].
        values: the numbers to draw from.
        weights: of each number, >= 0, not all 0; they need not sum to 1.
        replacement: whether a row may draw an entry of ``values`` more than once. Without, it needs at least as many
            entries of positive weight as the layer has inputs; a bias that is filled likewise needs one.

    Raises:
        ValueError: for lists that are missing, of unequal lengths or cannot be drawn from, and for too few entries.
    """
    if values is None or weights is None:
        raise ValueError("\n".join(_missing(values, weights)))
    _check_lists(values, weights)
    num_rows, num_inputs = weight.shape
    num_possible = sum(share > 0 for share in weights)
    if not replacement and num_possible < num_inputs:
        raise ValueError(
            f"init.values: expected at least {num_inputs} of positive weight, since without replacement each row of a "
            f"layer with {num_inputs} inputs draws as many different ones, found {num_possible}; give more values, or "
            "init.replacement=true"
        )
    shares = torch.tensor(weights, dtype=torch.float64)
    # Divided by the largest, their sum cannot overflow.
    rows = (shares / shares.max()).expand(num_rows, -1)
    drawn = torch.multinomial(rows, num_inputs, replacement)
    with torch.no_grad():
        weight.copy_(torch.tensor(values, dtype=weight.dtype)[drawn])


def _missing(values: Sequence[float] | None, weights: Sequence[float] | None) -> list[str]:
    absent = {"init.values": (values, "[-1,0,1]"), "init.weights": (weights, "[1,2,1]")}
    return [
        f"{key}: expected a list of numbers, such as {example}, found null"
        for key, (given, example) in absent.items()
        if given is None
    ]


def _check_lists(values: Sequence[float], weights: Sequence[float]) -> None:
    if len(values) != len(weights):
        raise ValueError(
            f"init.weights: expected {len(values)} numbers, one for each of the {len(values)} init.values, "
            f"found {len(weights)}"
        )
    for index, (value, share) in enumerate(zip(values, weights, strict=True)):
        if not math.isfinite(value):
            raise ValueError(f"init.values[{index}]: expected a finite number, found {value}")
        if not 0 <= share < math.inf:
            raise ValueError(f"init.weights[{index}]: expected a finite number >= 0, found {share}")
    if not any(weights):
        raise ValueError(f"init.weights: expected at least one number > 0, found {list(weights)}")
