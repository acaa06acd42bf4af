"""Derivatives of the activations made of straight lines.

Each function takes the layer, z and a = f(z), and returns da/dz in the shape of z. A slope that is chosen by a
comparison is computed as a sign: ``torch.where`` branches on every number, which costs ten times as much where the
outcome changes from one to the next.
"""

from typing import Any

import torch
from torch import Tensor


def identity(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z``: da/dz = 1."""
    return torch.ones_like(z)


def relu(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = max(z, 0)``: da/dz = 1 where z > 0, which is where a > 0, else 0; at 0 it is 0.

    Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, 2010.
    """
    return a.sign()


def leaky_relu(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z`` where z > 0, else ``s z``: da/dz = 1 or s; at 0 it is s.

    Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, 2013.
    """
    s: float = layer.negative_slope
    if 0 <= s <= 1:
        return z.sign().clamp(min=s)
    return positive(z) * (1 - s) + s


def prelu(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z`` where z > 0, else ``w z`` with a learned w: da/dz = 1 or w; at 0 it is w.

    There is one w for all units, or one for each along the last axis. He et al., Delving Deep into Rectifiers, 2015.
    """
    w: Tensor = layer.weight
    return positive(z) * (1 - w) + w


def prelu_weight(layer: Any, z: Tensor, grad: Tensor) -> Tensor:
    """da/dw = z where z < 0, else 0, so that dL/dw = sum of min(z, 0) dL/da over all rows that w is used for."""
    terms = z.clamp(max=0) * grad
    if layer.weight.dim() > 1:  # of K runs, shape [K, 1, 1 or C]
        return terms.sum((-2, -1) if layer.weight.shape[-1] == 1 else -2, keepdim=True)
    if len(layer.weight) == 1:
        return terms.sum().reshape(1)
    return terms.flatten(0, -2).sum(dim=0)


def hardtanh(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = min(max(z, low), high)``: da/dz = 1 strictly between the two, else 0.

    a leaves low and high only where z is between them, so that both differences are zero or positive. ``relu6`` is this
    with 0 and 6. Collobert, Large Scale Machine Learning, 2004.
    """
    low: float = layer.min_val
    high: float = layer.max_val
    return (a - low).sign() * (high - a).sign()


def hardsigmoid(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = min(max(z + 3, 0), 6) / 6``: da/dz = 1/6 where abs(z) < 3, else 0.

    torch's autograd rounds its 1/6 to float32 in float64 too, 3e-8 above; so does this, or the two would not train
    alike. Courbariaux, Bengio and David, BinaryConnect, 2015, with torch's constants.
    """
    return positive(3 - z.abs()) * _TORCHS_SIXTH


_TORCHS_SIXTH = 0.1666666716337204


def softshrink(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z - l`` where z > l, ``z + l`` where z < -l, else 0: da/dz = 1 where abs(z) > l, that is a is not 0."""
    return a.sign().abs()


def hardshrink(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z`` where abs(z) > l, else 0: da/dz = 1 where abs(z) > l, that is a is not 0."""
    return torch.ones_like(z) if layer.lambd < 0 else a.sign().abs()


def shrink_kinks(layer: Any) -> tuple[float, ...]:
    """Where a shrinking activation jumps or bends: at -l and l.

    With l = 0 both are the identity; they are said to have a kink at 0 nevertheless, as torch gives them the slope 0
    there. With a negative l, hardshrink is the identity everywhere.
    """
    if layer.lambd > 0:
        return (-layer.lambd, layer.lambd)
    return (0.0,) if layer.lambd == 0 else ()


def threshold(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z`` where z > t, else a constant: da/dz = 1 where z > t, else 0."""
    return positive(z - layer.threshold)


def positive(x: Tensor) -> Tensor:
    """1 where x > 0, else 0, in the dtype of x."""
    return x.sign().clamp(min=0)
