"""Runs a filling over the linear layers of a model."""

import functools
import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nnlab.init.given import fill_with, values
from nnlab.init.qr import orthogonal

Bias = str | float | Sequence[Sequence[float]]

# An orthogonal vector has no meaning, and numbers given for a matrix do not fit a vector.
NOT_FOR_BIASES = (orthogonal, values)


def apply(layers: Sequence[nn.Linear], fill: Callable[..., object] | None, bias: Bias) -> None:
    """Fill the layers in order, in each the weight first, then the bias.

    Args:
        layers: the linear layers in the order of the forward pass; those without a bias are left without.
        fill: takes a weight [out, in] and fills it in place, with all its keys bound already, as in
            ``functools.partial(uniform, a=0.0, b=1.0)``; None leaves torch's own weights.
        bias: ``default`` (torch's own: even within ``±1 / sqrt(in)``), ``zeros``, ``same`` (filled like the weights,
            seen as the weight [out, 1] of one more input that is always 1; with ``default`` weights that is torch's
            own), one number for all, or one list of ``out`` numbers for each layer.

    Raises:
        ValueError: if the bias is none of these, if the filling has no meaning for biases, or as the filling itself.
    """
    _check_bias(bias, fill, len(layers))
    with torch.no_grad():
        for index, layer in enumerate(layers):
            fill_layer = _told_where(fill, index, len(layers))
            fill_layer(layer.weight)
            if layer.bias is not None:
                _fill_bias(layer.bias, bias, fill_layer, index)


def _check_bias(bias: Bias, fill: Callable[..., object] | None, num_layers: int) -> None:
    if isinstance(bias, str):
        if bias not in ("default", "zeros", "same"):
            raise ValueError(f"init.bias: expected default, zeros, same, a number or a list a layer, found {bias!r}")
        function = fill.func if isinstance(fill, functools.partial) else fill
        if bias == "same" and function in NOT_FOR_BIASES:
            name = getattr(function, "__name__", function)
            raise ValueError(f"init.bias: expected default, zeros, a number or lists with init={name}, found 'same'")
    elif isinstance(bias, Sequence) and len(bias) != num_layers:
        raise ValueError(f"init.bias: expected {num_layers} lists, one for each linear layer, found {len(bias)}")


def _told_where(fill: Callable[..., object] | None, layer: int, num_layers: int) -> Callable[[Tensor], object]:
    """The filling with the layer's index and number bound, if it asks for them."""
    if fill is None:
        return lambda weight: None
    asked = inspect.signature(fill).parameters
    told = {"layer": layer, "num_layers": num_layers}
    return functools.partial(fill, **{name: value for name, value in told.items() if name in asked})


def _fill_bias(bias: Tensor, how: Bias, fill: Callable[[Tensor], object], index: int) -> None:
    if how == "default":
        return
    if how == "zeros":
        bias.zero_()
    elif how == "same":
        fill(bias.unsqueeze(-1))
    elif isinstance(how, Sequence):
        fill_with(bias, how[index], key=f"init.bias[{index}]")
    else:
        bias.fill_(how)
