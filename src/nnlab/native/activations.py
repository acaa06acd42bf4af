"""Activations in C: which layer is which function of activation.h."""

import ctypes
from collections.abc import Callable
from typing import Any, final

from torch import nn


@final
class Activation(ctypes.Structure):
    """As ``Activation`` in activation.h; without arguments the identity."""

    _fields_ = [("kind", ctypes.c_int64), ("first", ctypes.c_double), ("second", ctypes.c_double)]


#: in the order of activation.h
_KINDS = [
    "identity", "relu", "leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "softshrink", "hardshrink", "threshold",
    "elu", "celu", "gelu", "gelu_tanh", "silu", "mish", "softplus", "softsign", "sigmoid", "logsigmoid", "tanh",
    "tanhshrink", "prelu",
]  # fmt: skip
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _code(kind: str, first: float = 0.0, second: float = 0.0) -> Activation:
    return Activation(_KINDS.index(kind), first, second)


#: a layer's class -> its code; None for arguments that the C form is not made for
_FORMS: dict[type[nn.Module], Callable[[Any], Activation | None]] = {
    nn.Identity: lambda layer: _code("identity"),
    nn.ReLU: lambda layer: _code("relu"),
    nn.LeakyReLU: lambda layer: _code("leaky_relu", layer.negative_slope),
    nn.ReLU6: lambda layer: _code("hardtanh", layer.min_val, layer.max_val),
    nn.Hardtanh: lambda layer: _code("hardtanh", layer.min_val, layer.max_val),
    nn.Hardsigmoid: lambda layer: _code("hardsigmoid"),
    nn.Hardswish: lambda layer: _code("hardswish"),
    nn.Softshrink: lambda layer: _code("softshrink", layer.lambd) if layer.lambd >= 0 else None,
    nn.Hardshrink: lambda layer: _code("hardshrink", layer.lambd),
    nn.Threshold: lambda layer: _code("threshold", layer.threshold, layer.value),
    nn.ELU: lambda layer: _code("elu", 1.0, layer.alpha),
    nn.SELU: lambda layer: _code("elu", _SELU_SCALE, _SELU_SCALE * _SELU_ALPHA),
    nn.CELU: lambda layer: _code("celu", layer.alpha, 1 / layer.alpha) if layer.alpha > 0 else None,
    nn.GELU: lambda layer: _code("gelu_tanh" if layer.approximate == "tanh" else "gelu"),
    nn.SiLU: lambda layer: _code("silu"),
    nn.Mish: lambda layer: _code("mish"),
    nn.Softplus: lambda layer: _code("softplus", layer.beta, layer.threshold) if layer.beta > 0 else None,
    nn.Softsign: lambda layer: _code("softsign"),
    nn.Sigmoid: lambda layer: _code("sigmoid"),
    nn.LogSigmoid: lambda layer: _code("logsigmoid"),
    nn.Tanh: lambda layer: _code("tanh"),
    nn.Tanhshrink: lambda layer: _code("tanhshrink"),
    nn.PReLU: lambda layer: _code("prelu"),  # its slope is a parameter of the stage
}


def code_of(layer: nn.Module) -> Activation | None:
    """What C is told of an activation.

    A layer is known by its exact class, as one derived from it may compute something else.

    Args:
        layer: any module.

    Returns:
        Its code; None if it has no C form.

    Example:
        >>> from torch import nn
        >>> code = code_of(nn.LeakyReLU(0.2))
        >>> code.kind, code.first
        (2, 0.2)
    """
    form = _FORMS.get(type(layer))
    return None if form is None else form(layer)
