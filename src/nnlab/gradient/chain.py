"""The chain rule by hand: what each kind of layer does forward, and what it hands back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Protocol, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab.model.slope import Slope, slope_of
from nnlab.model.stacked import StackedBatchNorm, StackedLayerNorm, StackedLinear, StackedPReLU, units_by_rows


class Masking(Protocol):
    """A layer that multiplies by a random mask while training: dropout with a stream of its own."""

    training: bool
    mask: Callable[[Tensor], Tensor]


class Rule(ABC):
    """One layer ``a = f(x)``: forward it keeps what its derivative needs, backward it applies the chain rule.

    All tensors may carry a leading run axis K, the layer's parameters too (``nnlab.model.stacked`` has such
    layers): each run's part is then computed from that run's part alone.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The layer's output.

        Args:
            x: shape [B, in], or [K, B, in].

        Returns:
            Shape [B, out], or [K, B, out].
        """

    @abstractmethod
    def backward(self, grad: Tensor, wants_input: bool) -> Tensor | None:
        """Add the derivatives of the objective with respect to the layer's parameters to their ``grad``.

        Args:
            grad: the derivative with respect to the layer's output, of its shape; it may be overwritten.
            wants_input: whether the derivative with respect to the input is needed.

        Returns:
            That derivative, of the input's shape; None if nobody wants it.
        """


@final
class LinearRule(Rule):
    """``z = x W' + b``, with W of shape [out, in].

    Sample n and unit j have ``z_nj = sum_i x_ni W_ji + b_j``. With ``g_nj`` for the derivative of the objective with
    respect to ``z_nj``, the chain rule adds up every way in which a number has a part in the objective:

    * ``W_ji`` meets every sample once:     ``dW_ji = sum_n g_nj x_ni``,  the product ``g' x``;
    * ``b_j`` is added to every sample:     ``db_j  = sum_n g_nj``,       the sum over the rows of g;
    * ``x_ni`` feeds every unit:            ``dx_ni = sum_j g_nj W_ji``,  the product ``g W``.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer
        self._x = layer.weight

    def forward(self, x: Tensor) -> Tensor:
        """See ``Rule``."""
        self._x = x
        return F.linear(x, self.layer.weight, self.layer.bias)

    def backward(self, grad: Tensor, wants_input: bool) -> Tensor | None:
        """See ``Rule``."""
        layer = self.layer
        if layer.weight.requires_grad:
            add_gradient(layer.weight, torch.mm(grad.mT, self._x))
        if layer.bias is not None and layer.bias.requires_grad:
            add_gradient(layer.bias, grad.sum(-2))
        return torch.mm(grad, layer.weight) if wants_input else None


@final
class StackedLinearRule(Rule):
    """``LinearRule`` of K runs, with all products units by rows, as ``StackedLinear`` has them.

    What it takes of the layer it takes once: a step has dozens of such looks, of a microsecond each.
    """

    def __init__(self, layer: StackedLinear) -> None:
        self.layer = layer
        self._weight = layer.weight.detach()
        self._exchanged = self._weight.mT
        self._bias = None if layer.bias is None else layer.bias.detach().unsqueeze(2)
        self._x = self._weight

    def forward(self, x: Tensor) -> Tensor:
        """See ``Rule``."""
        self._x = units_by_rows(x)
        # Not matmul, which rearranges products that have a run axis: then a run's bits would depend on their number.
        if self._bias is None:
            return torch.bmm(self._weight, self._x).mT
        return torch.baddbmm(self._bias, self._weight, self._x).mT

    def backward(self, grad: Tensor, wants_input: bool) -> Tensor | None:
        """See ``Rule``."""
        layer, of_units = self.layer, units_by_rows(grad)
        if layer.weight.requires_grad:
            add_gradient(layer.weight, torch.bmm(of_units, self._x.mT))
        if layer.bias is not None and layer.bias.requires_grad:
            add_gradient(layer.bias, of_units.sum(-1))
        if not wants_input:
            return None
        # Behind a single unit it is no more than one multiplication for each number.
        is_single = of_units.shape[1] == 1
        return (self._exchanged * of_units if is_single else torch.bmm(self._exchanged, of_units)).mT


@final
class ActivationRule(Rule):
    """``a_nj = f(z_nj)``, element by element: ``dz_nj = g_nj f'(z_nj)``, with f' from ``nnlab.model.slope_of``."""

    def __init__(self, layer: nn.Module, slope: Slope) -> None:
        self.layer = layer
        self.slope = slope
        self._z = self._a = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """See ``Rule``."""
        self._z = x
        # An in-place activation would overwrite what its own derivative is computed from.
        self._a = self.layer(x.clone() if getattr(self.layer, "inplace", False) else x)
        return self._a

    def backward(self, grad: Tensor, wants_input: bool) -> Tensor | None:
        """See ``Rule``."""
        weight = getattr(self.layer, "weight", None)
        if self.slope.weight is not None and weight is not None and weight.requires_grad:
            add_gradient(weight, self.slope.weight(self.layer, self._z, grad))
        return grad.mul_(self.slope.of(self.layer, self._z, self._a)) if wants_input else None


@final
class DropoutRule(Rule):
    """``a_nj = z_nj m_nj`` with the mask m, 0 or 1 / (1 - p): ``dz_nj = g_nj m_nj``, with the very same mask."""

    def __init__(self, layer: Masking) -> None:
        self.layer = layer
        self._mask: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """See ``Rule``."""
        self._mask = self.layer.mask(x) if self.layer.training else None
        return x if self._mask is None else x * self._mask

    def backward(self, grad: Tensor, wants_input: bool) -> Tensor | None:
        """See ``Rule``."""
        return grad if self._mask is None else grad.mul_(self._mask)


@final
class BatchNormRule(Rule):
    """``a = gamma h + beta`` with ``h = (z - mean) / s`` and ``s = sqrt(var + eps)``, over the batch, unit by unit.

    ``dgamma_j = sum_n g_nj h_nj`` and ``dbeta_j = sum_n g_nj``. Mean and variance depend on every sample, so each z_nj
    acts in three ways: by itself, through the mean, and through the variance. With ``u = g gamma``,

        ds/dz_nj = h_nj / B   and   dh_mj/dz_nj = (1[m = n] - 1 / B - h_mj h_nj / B) / s_j,

    whose sum over m with weights u_mj is ``dz_nj = (u_nj - mean_m u_mj - h_nj mean_m(u_mj h_mj)) / s_j``.
    Ioffe and Szegedy, Batch Normalization, 2015. In evaluation mode the running mean and variance are constants, and
    ``dz = u / s``. While training, these move towards the batch's own mean and unbiased variance, as torch does it.
    """

    def __init__(self, layer: nn.BatchNorm1d | StackedBatchNorm) -> None:
        self.layer = layer
        self._h = self._inverse = torch.empty(0)
        self._by_batch = True

    def forward(self, x: Tensor) -> Tensor:
        """See ``Rule``."""
        layer = self.layer
        self._by_batch = layer.training or layer.running_mean is None
        if self._by_batch:
            axes = x.dim() == 3  # kept as [K, 1, C] where there is a run axis
            mean, variance = x.mean(-2, keepdim=axes), x.var(-2, correction=0, keepdim=axes)
            if layer.training and layer.running_mean is not None:
                self._move_running_values(mean, variance, x.shape[-2])
        else:
            assert layer.running_mean is not None
            assert layer.running_var is not None
            mean, variance = layer.running_mean, layer.running_var
        self._inverse = (variance + layer.eps).rsqrt()
        self._h = (x - mean) * self._inverse
        weight, bias = layer.weight, layer.bias
        return self._h if weight is None or bias is None else torch.addcmul(bias, self._h, weight)

    def backward(self, grad: Tensor, wants_input: bool) -> Tensor | None:
        """See ``Rule``."""
        axes = grad.dim() == 3
        weight, bias = self.layer.weight, self.layer.bias
        if weight is not None and bias is not None:
            add_gradient(weight, (grad * self._h).sum(-2, keepdim=axes))
            add_gradient(bias, grad.sum(-2, keepdim=axes))
        if not wants_input:
            return None
        u = grad if weight is None else grad * weight
        if not self._by_batch:
            return u * self._inverse
        of_h = (u * self._h).mean(-2, keepdim=axes)
        return (u - u.mean(-2, keepdim=axes) - self._h * of_h) * self._inverse

    def _move_running_values(self, mean: Tensor, variance: Tensor, num_rows: int) -> None:
        layer = self.layer
        assert layer.running_mean is not None
        assert layer.running_var is not None
        assert layer.num_batches_tracked is not None
        layer.num_batches_tracked += 1
        share = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
        layer.running_mean.lerp_(mean, share)
        layer.running_var.lerp_(variance * (num_rows / (num_rows - 1)), share)


@final
class LayerNormRule(Rule):
    """``a = gamma h + beta`` with ``h = (z - mean) / s`` and ``s = sqrt(var + eps)``, over the units of one sample.

    The derivation is batch norm's with the two directions exchanged: ``dgamma_j = sum_n g_nj h_nj``,
    ``dbeta_j = sum_n g_nj``, and with ``u = g gamma``: ``dz_nj = (u_nj - mean_k u_nk - h_nj mean_k(u_nk h_nk)) / s_n``.
    Ba, Kiros and Hinton, Layer Normalization, 2016.
    """

    def __init__(self, layer: nn.LayerNorm | StackedLayerNorm) -> None:
        self.layer = layer
        self._h = self._inverse = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """See ``Rule``."""
        layer = self.layer
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
        self._inverse = (variance + layer.eps).rsqrt()
        self._h = (x - mean) * self._inverse
        scaled = self._h if layer.weight is None else self._h * layer.weight
        return scaled if layer.bias is None else scaled + layer.bias

    def backward(self, grad: Tensor, wants_input: bool) -> Tensor | None:
        """See ``Rule``."""
        layer = self.layer
        axes = grad.dim() == 3
        if layer.weight is not None:
            add_gradient(layer.weight, (grad * self._h).sum(-2, keepdim=axes))
        if layer.bias is not None:
            add_gradient(layer.bias, grad.sum(-2, keepdim=axes))
        if not wants_input:
            return None
        u = grad if layer.weight is None else grad * layer.weight
        return (u - u.mean(-1, keepdim=True) - self._h * (u * self._h).mean(-1, keepdim=True)) * self._inverse


def add_gradient(parameter: Tensor, grad: Tensor) -> None:
    """Add to what the parameter's ``grad`` holds already; one that is not trained keeps none.

    Args:
        parameter: any tensor with a ``grad``.
        grad: of its shape.
    """
    if parameter.requires_grad:
        parameter.grad = grad if parameter.grad is None else parameter.grad + grad


def rules_for(model: nn.Module) -> tuple[list[Rule], list[str]]:
    """The layers of a model, one after another, as rules.

    Args:
        model: a linear layer, or layers in sequence (``nnlab.model.MLP`` is such a one).

    Returns:
        The rules in the order of the forward pass, and what in the model has none, in words.
    """
    rules: list[Rule] = []
    without = []
    for name, layer in layers_of(model):
        rule = _rule_for(layer)
        if rule is None:
            without.append(f"{type(layer).__name__}{f' ({name})' if name else ''}")
        else:
            rules.append(rule)
    return rules, without


def layers_of(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers in sequence; a module that is no sequence is one layer, whatever is in it."""
    is_sequence = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    if not is_sequence:
        yield name, module
        return
    # Not named_children, which leaves out a layer that has several places, as a shared activation has.
    for child_name, child in module._modules.items():
        assert child is not None
        yield from layers_of(child, f"{name}.{child_name}".lstrip("."))


def _rule_for(layer: nn.Module) -> Rule | None:
    # By exact class: what derives from a layer may compute something else.
    kind = type(layer)
    if isinstance(layer, StackedLinear):
        return StackedLinearRule(layer)
    if kind is nn.Linear:
        return LinearRule(cast(nn.Linear, layer))
    if isinstance(layer, StackedBatchNorm) or kind is nn.BatchNorm1d:
        return BatchNormRule(cast(nn.BatchNorm1d, layer))
    if isinstance(layer, StackedLayerNorm):
        return LayerNormRule(layer)
    if kind is nn.LayerNorm:
        norm = cast(nn.LayerNorm, layer)
        return LayerNormRule(norm) if len(norm.normalized_shape) == 1 else None
    if hasattr(layer, "mask"):
        return DropoutRule(cast(Masking, layer))
    if isinstance(layer, StackedPReLU):
        return ActivationRule(layer, cast(Slope, slope_of(nn.PReLU())))
    slope = slope_of(layer)
    return ActivationRule(layer, slope) if slope is not None else None


__all__ = ["Rule", "add_gradient", "rules_for"]
