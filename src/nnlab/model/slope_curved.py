"""Derivatives of the activations that curve.

Each function takes the layer, z and a = f(z), and returns da/dz in the shape of z. s(z) is the logistic function
``1 / (1 + exp(-z))``, whose derivative is s(z) (1 - s(z)). What is already in a is not computed again, and no
exponential of a large number is taken. Long formulas are worked out in place (never in z or a): on a large batch every
further tensor costs more than the arithmetic that fills it.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nnlab.model.slope_linear import positive


def elu(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z`` where z > 0, else ``alpha (exp(z) - 1)``: da/dz = 1 or alpha exp(z) = a + alpha; at 0 it is alpha.

    With the usual alpha = 1 that is min(a, 0) + 1 on both sides. Clevert, Unterthiner and Hochreiter, Fast and Accurate
    Deep Network Learning by Exponential Linear Units, 2015.
    """
    if layer.alpha == 1:
        return a.clamp(max=0) + 1
    return torch.add(z.clamp(max=0).exp() * layer.alpha, positive(z), alpha=1 - layer.alpha)


def selu(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = k z`` where z > 0, else ``k alpha (exp(z) - 1)``: da/dz = k or k alpha exp(z) = a + k alpha.

    Klambauer et al., Self-Normalizing Neural Networks, 2017, with its two constants.
    """
    return torch.add(a.clamp(max=0) + _SELU_SCALE * _SELU_ALPHA, positive(z), alpha=_SELU_SCALE * (1 - _SELU_ALPHA))


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def celu(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z`` where z > 0, else ``alpha (exp(z / alpha) - 1)``: da/dz = 1 or exp(z / alpha) = a / alpha + 1.

    Barron, Continuously Differentiable Exponential Linear Units, 2017.
    """
    alpha: float = layer.alpha
    return a.clamp(max=0) / alpha + 1


def gelu(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z P(z)`` with the normal distribution's P and its density p: da/dz = P(z) + z p(z).

    The approximation by tanh, ``P(z) = (1 + tanh u) / 2`` with ``u = sqrt(2 / pi) (z + 0.044715 z^3)``, is s(2 u): then
    da/dz = s + z s (1 - s) 2 u' = s + a (1 - s) 2 u'. Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
    """
    square = z.square()
    if layer.approximate == "tanh":
        scale = 2 * math.sqrt(2 / math.pi)
        s = (square * (scale * 0.044715)).add_(scale).mul_(z).sigmoid_()
        slope_of_2u = square.mul_(scale * 0.044715 * 3).add_(scale)
        return torch.addcmul(s, a * (1 - s), slope_of_2u)
    density = square.mul_(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))
    return (z * math.sqrt(0.5)).erf_().add_(1).mul_(0.5).addcmul_(z, density)


def silu(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z s(z)``: da/dz = s + z s (1 - s) = s + a (1 - s).

    Elfwing, Uchibe and Doya, Sigmoid-Weighted Linear Units for Neural Network Function Approximation, 2017.
    """
    s = torch.sigmoid(z)
    return s + a * (1 - s)


def mish(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z t`` with ``t = tanh(log(1 + exp(z)))``: da/dz = t + z dt/dz.

    With r = 1 - s(z) = 1 / (1 + exp(z)), t = (1 - r^2) / (1 + r^2) and dr/dz = -s r, so that dt/dz is
    4 s r^2 / (1 + r^2)^2; and as 1 - r^2 = s (1 + r), da/dz = s / (1 + r^2) (1 + r + 4 z r^2 / (1 + r^2)).
    Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019.
    """
    s = torch.sigmoid(z)
    r = 1 - s
    square = r.square()
    below = square + 1
    last = square.mul_(z).mul_(4).div_(below)
    return last.add_(r).add_(1).mul_(s).div_(below)


def hardswish(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z h(z)`` with h the hard sigmoid: da/dz = h + z h', h' = 1/6 where abs(z) < 3, else 0.

    Howard et al., Searching for MobileNetV3, 2019.
    """
    return torch.addcmul(F.hardsigmoid(z), z, positive(3 - z.abs()), value=1 / 6)


def softplus(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = log(1 + exp(b z)) / b``: da/dz = s(b z); 1 where b z is above the threshold, as torch has a = z there.

    Dugas et al., Incorporating Second-Order Functional Knowledge for Better Option Pricing, 2000.
    """
    scaled = z if layer.beta == 1 else z * layer.beta
    return torch.sigmoid(scaled).masked_fill_(scaled > layer.threshold, 1.0)


def softsign(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z / (1 + abs(z))``: da/dz = 1 / (1 + abs(z))^2.

    Turian, Bergstra and Bengio, Quadratic Features and Deep Architectures for Chunking, 2009.
    """
    return (z.abs() + 1).reciprocal().square()


def sigmoid(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = 1 / (1 + exp(-z))``: da/dz = exp(-z) / (1 + exp(-z))^2 = a (1 - a)."""
    return a * (1 - a)


def log_sigmoid(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = log s(z)``: da/dz = s (1 - s) / s = 1 - s(z) = s(-z)."""
    return torch.sigmoid(-z)


def tanh(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = sinh(z) / cosh(z)``: da/dz = 1 - sinh(z)^2 / cosh(z)^2 = 1 - a^2."""
    return 1 - a * a


def tanhshrink(layer: Any, z: Tensor, a: Tensor) -> Tensor:
    """``a = z - tanh(z)``: da/dz = 1 - (1 - tanh(z)^2) = tanh(z)^2.

    ``tanh(z) = 2 s(2 z) - 1`` costs a fraction of torch.tanh; z - a would be rounded away for large z.
    """
    return (torch.sigmoid(z * 2) * 2 - 1).square()
