"""Fillings that do not look at the layer's size."""

from collections.abc import Sequence

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


def normal(
    weight: Tensor, layer: int, num_layers: int, mean: float | Sequence[float], std: float | Sequence[float]
) -> None:
    """Fill with normally distributed numbers (``torch.nn.init.normal_``).

    Args:
        weight: shape [out, in].
        layer: the layer's index, from 0.
        num_layers: how many linear layers the model has.
        mean: their mean, or one for each linear layer.
        std: their standard deviation, not negative, or one for each linear layer.

    Raises:
        ValueError: if a list has not one number for each linear layer, or a standard deviation is negative.
    """
    deviation, key = _of_layer(std, layer, num_layers, "init.std")
    if not deviation >= 0:
        raise ValueError(f"{key}: expected a number >= 0, found {deviation}")
    nn.init.normal_(weight, _of_layer(mean, layer, num_layers, "init.mean")[0], deviation)


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


def _of_layer(value: float | Sequence[float], layer: int, num_layers: int, key: str) -> tuple[float, str]:
    """The number for one layer, and the key that it stands under."""
    if not isinstance(value, Sequence):
        return value, key
    if len(value) != num_layers:
        raise ValueError(f"{key}: expected {num_layers} numbers, one for each linear layer, found {len(value)}")
    return value[layer], f"{key}[{layer}]"
