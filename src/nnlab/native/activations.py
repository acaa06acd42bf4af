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
    "tanhshrink",
]  # fmt: skip
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946

#: a layer's class -> its kind and numbers; None for arguments that the C form is not made for
_FORMS: dict[type[nn.Module], Callable[[Any], tuple[str | float, ...] | None]] = {
    nn.Identity: lambda layer: ("identity",),
    nn.ReLU: lambda layer: ("relu",),
    nn.LeakyReLU: lambda layer: ("leaky_relu", layer.negative_slope),
    nn.ReLU6: lambda layer: ("hardtanh", layer.min_val, layer.max_val),
    nn.Hardtanh: lambda layer: ("hardtanh", layer.min_val, layer.max_val),
    nn.Hardsigmoid: lambda layer: ("hardsigmoid",),
    nn.Hardswish: lambda layer: ("hardswish",),
    nn.Softshrink: lambda layer: ("softshrink", layer.lambd) if layer.lambd >= 0 else None,
    nn.Hardshrink: lambda layer: ("hardshrink", layer.lambd),
    nn.Threshold: lambda layer: ("threshold", layer.threshold, layer.value),
    nn.ELU: lambda layer: ("elu", 1.0, layer.alpha),
    nn.SELU: lambda layer: ("elu", _SELU_SCALE, _SELU_SCALE * _SELU_ALPHA),
    nn.CELU: lambda layer: ("celu", layer.alpha, 1 / layer.alpha) if layer.alpha > 0 else None,
    nn.GELU: lambda layer: ("gelu_tanh" if layer.approximate == "tanh" else "gelu",),
    nn.SiLU: lambda layer: ("silu",),
    nn.Mish: lambda layer: ("mish",),
    nn.Softplus: lambda layer: ("softplus", layer.beta, layer.threshold) if layer.beta > 0 else None,
    nn.Softsign: lambda layer: ("softsign",),
    nn.Sigmoid: lambda layer: ("sigmoid",),
    nn.LogSigmoid: lambda layer: ("logsigmoid",),
    nn.Tanh: lambda layer: ("tanh",),
    nn.Tanhshrink: lambda layer: ("tanhshrink",),
}


def code_of(layer: nn.Module) -> Activation | None:
    """What C is told of an activation.

    A layer is known by its exact class, as one derived from it may compute something else. ``nn.PReLU`` has a weight,
    which the C form has no place for.

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
    found = form(layer) if form is not None else None
    if found is None:
        return None
    name, *numbers = found
    return Activation(_KINDS.index(str(name)), *numbers)
