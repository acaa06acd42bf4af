"""The activations by name, each with torch's defaults."""

import difflib
import functools
from collections.abc import Callable

from torch import nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "relu6": nn.ReLU6,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "gelu": nn.GELU,
    "gelu_tanh": functools.partial(nn.GELU, approximate="tanh"),
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "sigmoid": nn.Sigmoid,
    "logsigmoid": nn.LogSigmoid,
    "tanh": nn.Tanh,
    "tanhshrink": nn.Tanhshrink,
    "hardtanh": nn.Hardtanh,
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
    "softshrink": nn.Softshrink,
    "hardshrink": nn.Hardshrink,
}


def activation(name: str) -> nn.Module:
    """A new activation module.

    Args:
        name: one of ``ACTIVATIONS``.

    Returns:
        The module, which works elementwise on tensors of any shape.

    Raises:
        ValueError: if there is no activation of that name.

    Example:
        >>> activation("tanh")
        Tanh()
    """
    if name not in ACTIVATIONS:
        near = difflib.get_close_matches(str(name), ACTIVATIONS)
        raise ValueError(f"unknown activation {name!r}; expected {' or '.join(near) or ', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()
