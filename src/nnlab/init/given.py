"""Weights that are written down."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nnlab.words import counted

Matrix = Sequence[Sequence[float]]


def values(weight: Tensor, layer: int, num_layers: int, weights: Sequence[Matrix] | None = None) -> None:
    """Fill with the numbers that are given for this layer.

    Args:
        weight: shape [out, in].
        layer: the layer's index, from 0.
        num_layers: how many linear layers the model has.
        weights: one matrix for each layer, in order, each a list of ``out`` rows of ``in`` numbers. (torch multiplies
            the inputs by its transpose. That of a square matrix has the same shape, so here nobody can notice it.)

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
        tensor: filled in place: a weight [out, in] or a bias [out].
        numbers: nested lists of numbers.
        key: the config key that they come from, with the layer's index.

    Raises:
        ValueError: if they are not numbers or have another shape.
    """
    try:
        found = torch.tensor(numbers, dtype=tensor.dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key}: {_expected(tensor)}, found {numbers!r}") from error
    if found.shape != tensor.shape:
        raise ValueError(f"{key}: {_expected(tensor)}, found {_size(found)}{_remedy(found, tensor)}")
    with torch.no_grad():
        tensor.copy_(found)


def _expected(tensor: Tensor) -> str:
    if tensor.dim() == 1:
        return f"expected a list of {_size(tensor)} (out)"
    num_out, num_in = tensor.shape
    product = f"inputs [B, {num_in}] are multiplied by its transpose [{num_in}, {num_out}]"
    return f"expected {_size(tensor)} numbers (out x in: {product})"


def _size(tensor: Tensor) -> str:
    if tensor.dim() == 1:
        return counted(len(tensor), "number")
    return " x ".join(str(size) for size in tensor.shape) or "one number"


def _remedy(found: Tensor, wanted: Tensor) -> str:
    """How to mend a shape that is nearly right."""
    rows = f"{counted(wanted.shape[0], 'row')} of {counted(wanted.shape[-1], 'number')}"
    if wanted.dim() == 2 and found.shape == wanted.T.shape:
        return f"; transpose it: give {rows}"
    if wanted.dim() == 2 and found.dim() == 1 and found.numel() == wanted.numel():
        return f"; give {rows}, a list of lists"
    return ""
