"""The derivative of each activation, beside its name: what hand-written backpropagation multiplies by."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from nnlab.model import slope_curved as curved
from nnlab.model import slope_linear as linear


class Slope(NamedTuple):
    """The derivative of an elementwise activation ``a = f(z)``.

    All three are given the layer, as what they compute depends on its arguments. They are plain tensor code, to be
    called without autograd (``torch.no_grad``); z and a may have leading axes.

    Args:
        of: from the layer, z and a, both of shape [..., H], to da/dz, a tensor of that shape and dtype. Where f has a
            kink it is the value that torch's autograd uses.
        kinks: from the layer to the values of z where f, its slope or its curvature jumps; none for a smooth f.
        weight: from the layer, z and the gradient with respect to a, both of shape [..., H], to the gradient of
            ``layer.weight``, of the weight's shape; None for an activation without parameters.
    """

    of: Callable[[Any, Tensor, Tensor], Tensor]
    kinks: Callable[[Any], tuple[float, ...]]
    weight: Callable[[Any, Tensor, Tensor], Tensor] | None = None


def slope_of(layer: nn.Module) -> Slope | None:
    """The derivative of an activation.

    torch's activations are known by their exact class: a class derived from one may compute something else. An
    activation of your own tells its derivative by a method ``slope(self, z, a)`` that returns da/dz in the shape of z,
    and, where it is not smooth, by ``kinks``: a tuple of the values of z where it, its slope or its curvature jumps,
    or a method without arguments that returns one. It must not have parameters.

    Args:
        layer: the module.

    Returns:
        Its derivative; None if it is not known.

    Example:
        >>> import torch
        >>> layer, z = nn.Tanh(), torch.tensor([0.0, 1.0])
        >>> slope_of(layer).of(layer, z, layer(z))
        tensor([1.0000, 0.4200])
    """
    known = _SLOPES.get(type(layer))
    if known is not None:
        return known
    # A number is a likely meaning of the name ``slope``, too.
    if callable(getattr(layer, "slope", None)) and next(layer.parameters(), None) is None:
        return Slope(lambda own, z, a: own.slope(z, a), _own_kinks)
    return None


def _own_kinks(layer: Any) -> tuple[float, ...]:
    kinks = getattr(layer, "kinks", ())
    return tuple(kinks() if callable(kinks) else kinks)


def _smooth(layer: Any) -> tuple[float, ...]:
    return ()


def _at_zero(layer: Any) -> tuple[float, ...]:
    return (0.0,)


def _at_three(layer: Any) -> tuple[float, ...]:
    return (-3.0, 3.0)


_SLOPES: dict[type[nn.Module], Slope] = {
    nn.Identity: Slope(linear.identity, _smooth),
    nn.ReLU: Slope(linear.relu, _at_zero),
    nn.LeakyReLU: Slope(linear.leaky_relu, lambda layer: () if layer.negative_slope == 1 else (0.0,)),
    nn.PReLU: Slope(linear.prelu, _at_zero, linear.prelu_weight),
    nn.ReLU6: Slope(linear.hardtanh, lambda layer: (layer.min_val, layer.max_val)),
    nn.Hardtanh: Slope(linear.hardtanh, lambda layer: (layer.min_val, layer.max_val)),
    nn.Hardsigmoid: Slope(linear.hardsigmoid, _at_three),
    nn.Softshrink: Slope(linear.softshrink, linear.shrink_kinks),
    nn.Hardshrink: Slope(linear.hardshrink, linear.shrink_kinks),
    nn.Threshold: Slope(linear.threshold, lambda layer: (layer.threshold,)),
    nn.ELU: Slope(curved.elu, _at_zero),
    nn.SELU: Slope(curved.selu, _at_zero),
    nn.CELU: Slope(curved.celu, _at_zero),
    nn.GELU: Slope(curved.gelu, _smooth),
    nn.SiLU: Slope(curved.silu, _smooth),
    nn.Mish: Slope(curved.mish, _smooth),
    nn.Hardswish: Slope(curved.hardswish, _at_three),
    nn.Softplus: Slope(curved.softplus, lambda layer: (layer.threshold / layer.beta,)),
    nn.Softsign: Slope(curved.softsign, _at_zero),
    nn.Sigmoid: Slope(curved.sigmoid, _smooth),
    nn.LogSigmoid: Slope(curved.log_sigmoid, _smooth),
    nn.Tanh: Slope(curved.tanh, _smooth),
    nn.Tanhshrink: Slope(curved.tanhshrink, _smooth),
}
