"""Fillings that do not look at the layer's size."""

from torch import Tensor, nn


def default(weight: Tensor) -> None:
    """Leave what torch drew when it made the layer: uniform within ``±1 / sqrt(in)``.

    ``torch.nn.Linear.reset_parameters``. Nothing is drawn, so the start equals a plain script's.

    Args:
        weight: shape [out, in].
    """


def uniform(weight: Tensor, a: float, b: float) -> None:
    """Fill with numbers drawn evenly between a and b (``torch.nn.init.uniform_``).

    Args:
        weight: shape [out, in].
        a: the smallest.
        b: the largest, not below a.

    Raises:
        ValueError: if b is below a.
    """
    if not b >= a:
        raise ValueError(f"init.b: expected a number >= init.a = {a}, found {b}")
    nn.init.uniform_(weight, a, b)


def normal(weight: Tensor, mean: float, std: float) -> None:
    """Fill with normally distributed numbers (``torch.nn.init.normal_``).

    Args:
        weight: shape [out, in].
        mean: their mean.
        std: their standard deviation, not negative.

    Raises:
        ValueError: if the standard deviation is negative.
    """
    if not std >= 0:
        raise ValueError(f"init.std: expected a number >= 0, found {std}")
    nn.init.normal_(weight, mean, std)


def zeros(weight: Tensor) -> None:
    """Fill with zeros: every unit of a layer then stays equal to its neighbours.

    Args:
        weight: shape [out, in].
    """
    nn.init.zeros_(weight)


def constant(weight: Tensor, val: float) -> None:
    """Fill with one number: every unit of a layer then stays equal to its neighbours.

    Args:
        weight: shape [out, in].
        val: the number.
    """
    nn.init.constant_(weight, val)
