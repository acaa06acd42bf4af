"""Weights that are written down."""

from collections.abc import Sequence

import torch
from torch import Tensor

Matrix = Sequence[Sequence[float]]


def values(weight: Tensor, layer: int, num_layers: int, weights: Sequence[Matrix] | None = None) -> None:
    """Fill with the numbers that are given for this layer.

    Args:
        weight: shape [out, in].
        layer: the layer's index, from 0.
        num_layers: how many linear layers the model has.
        weights: one matrix for each layer, in order, each a list of ``out`` rows of ``in`` numbers.

    Raises:
        ValueError: if there are not as many matrices as layers, or this layer's has another shape.
    """
    if weights is None or len(weights) != num_layers:
        found = "null" if weights is None else str(len(weights))
        raise ValueError(f"init.weights: expected {num_layers} matrices, one for each linear layer, found {found}")
    fill_with(weight, weights[layer], key=f"init.weights[{layer}]")


def fill_with(tensor: Tensor, numbers: object, key: str) -> None:
    """Copy nested lists into a tensor of the very same shape.

    Args:
        tensor: filled in place, any shape.
        numbers: nested lists of numbers.
        key: the config key that they come from, with the layer's index.

    Raises:
        ValueError: if they are not numbers or have another shape.
    """
    expected = " x ".join(str(size) for size in tensor.shape)
    what = f"expected a list of {expected} numbers (out{' x in' if tensor.dim() == 2 else ''})"
    try:
        found = torch.tensor(numbers, dtype=tensor.dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key}: {what}, found {numbers!r}") from error
    if found.shape != tensor.shape:
        raise ValueError(f"{key}: {what}, found {' x '.join(str(size) for size in found.shape) or 'one number'}")
    with torch.no_grad():
        tensor.copy_(found)
