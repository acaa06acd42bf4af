"""Layers of K runs in one: each with a leading run axis on its parameters, beside the layers that they stand for."""

from collections.abc import Mapping, Sequence
from typing import cast, final

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.model.dropout import Dropout
from nnlab.model.slope import slope_of


@final
class StackedLinear(nn.Module):
    """``nn.Linear`` of K runs.

    It computes units by rows, ``W x'``, whose long side, the rows of a batch, lies together in memory: with few units
    that takes a half to a tenth of the time of rows by units. What comes out is a view with the axes exchanged, and
    everything that works element by element keeps that order in memory.

    Args:
        weight: shape [K, out, in].
        bias: shape [K, out], or None.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        # Past the module's own way, which takes half a microsecond at each of dozens of looks in every step.
        self.__dict__ |= {"weight": weight, "bias": bias}

    def forward(self, x: Tensor) -> Tensor:
        """From [K, B, in] to [K, B, out]."""
        # Not matmul, which rearranges products that have a run axis: then a run's bits would depend on their number.
        if self.bias is None:
            return torch.bmm(self.weight, units_by_rows(x)).mT
        return torch.baddbmm(self.bias.unsqueeze(2), self.weight, units_by_rows(x)).mT


def units_by_rows(x: Tensor) -> Tensor:
    """A tensor with its last axes exchanged, for products.

    Args:
        x: shape [K, B, C].

    Returns:
        Shape [K, C, B]. The stride of an axis of one is anything, but tells MKL which kernel to take, and kernels round
        differently: here it follows from the shape alone.
    """
    exchanged = x.mT
    if 1 not in exchanged.shape[1:]:
        return exchanged
    num_runs, num_units, num_rows = exchanged.shape
    return exchanged.contiguous().as_strided((num_runs, num_units, num_rows), (num_units * num_rows, num_rows, 1))


@final
class StackedBatchNorm(nn.Module):
    """``nn.BatchNorm1d`` of K runs, each over its own rows.

    Args:
        layer: that of one run; all are equal in ``eps`` and ``momentum``.
        weight: shape [K, 1, C], or None.
        bias: likewise.
        running_mean: shape [K, C].
        running_var: likewise.
        num_batches_tracked: shape [K].
    """

    def __init__(
        self,
        layer: nn.BatchNorm1d,
        weight: nn.Parameter | None,
        bias: nn.Parameter | None,
        running_mean: Tensor,
        running_var: Tensor,
        num_batches_tracked: Tensor,
    ) -> None:
        super().__init__()
        self.eps, self.momentum = layer.eps, layer.momentum
        self.affine = weight is not None
        self.weight = weight
        self.bias = bias
        self.running_mean = running_mean.unsqueeze(1)
        self.running_var = running_var.unsqueeze(1)
        self.num_batches_tracked = num_batches_tracked

    def forward(self, x: Tensor) -> Tensor:
        """From [K, B, C] to the same shape, by the running mean and variance."""
        assert not self.training, "while training, the rule in nnlab.gradient.chain also moves the running values"
        normal = (x - self.running_mean) * (self.running_var + self.eps).rsqrt()
        return normal if self.weight is None or self.bias is None else normal * self.weight + self.bias


@final
class StackedLayerNorm(nn.Module):
    """``nn.LayerNorm`` over the last axis, of K runs.

    Args:
        layer: that of one run; all are equal in ``eps``.
        weight: shape [K, 1, C], or None.
        bias: likewise.
    """

    def __init__(self, layer: nn.LayerNorm, weight: nn.Parameter | None, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.normalized_shape, self.eps = layer.normalized_shape, layer.eps
        self.weight = weight
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """From [K, B, C] to the same shape."""
        normal = nn.functional.layer_norm(x, self.normalized_shape, eps=self.eps)
        scaled = normal if self.weight is None else normal * self.weight
        return scaled if self.bias is None else scaled + self.bias


@final
class StackedPReLU(nn.Module):
    """``nn.PReLU`` of K runs.

    Args:
        weight: the slopes below zero, shape [K, 1, 1], or [K, 1, C] for one a unit.
    """

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """From [K, B, C] to the same shape."""
        return torch.where(x > 0, x, self.weight * x)


@final
class StackedDropout(nn.Module):
    """``nnlab.model.Dropout`` of K runs, each with its own probability and its own random stream.

    Args:
        layers: those of the runs, in the order of the rows; rows behind them are left as they are.
    """

    def __init__(self, layers: Sequence[Dropout]) -> None:
        super().__init__()
        self.layers = tuple(layers)  # no modules of this one: their streams are read anew at each mask

    def forward(self, x: Tensor) -> Tensor:
        """The input, masked and scaled in training mode, as it is in evaluation mode."""
        return x * self.mask(x) if self.training else x

    def mask(self, x: Tensor) -> Tensor:
        """Draw what a tensor is multiplied by, for each run as ``Dropout.mask`` draws it.

        Args:
            x: shape [K, B, C].

        Returns:
            Shape of x.
        """
        with torch.no_grad():
            mask = torch.ones_like(x, memory_format=torch.contiguous_format)
            keeps = [1 - layer.p for layer in self.layers]
            for layer, keep, row in zip(self.layers, keeps, mask.unbind(), strict=False):
                row.bernoulli_(keep, generator=layer.generator)
            if len(set(keeps)) == 1:
                return mask.div_(keeps[0])
            keeps += [1.0] * (len(mask) - len(keeps))
            return mask.div_(torch.tensor(keeps, dtype=x.dtype, device=x.device).view(-1, 1, 1))


def same_layers(model: nn.Module) -> str:
    """What must be equal for models to be stacked: classes, shapes and settings, in words.

    Args:
        model: any module.
    """
    rates = [(str(layer), f"Dropout({layer.p > 0})") for layer in model.modules() if type(layer) is Dropout]
    text = repr(model)
    for own, shared in rates:  # each run may have its own probability
        text = text.replace(own, shared)
    shapes = [(tuple(parameter.shape), parameter.requires_grad) for parameter in model.parameters()]
    classes = [f"{type(layer).__module__}.{type(layer).__qualname__}" for layer in model.modules()]
    settings = [settings_of(layer) for layer in model.modules() if type(layer) is not Dropout]
    return f"{classes} {text} {shapes} {settings}"


def settings_of(thing: object) -> dict[str, str]:
    """What an object keeps, in words; of a module without its parameters, buffers and layers.

    Args:
        thing: a layer, a loss, a metric.
    """
    of_every_module = vars(nn.Module())
    return {name: _in_words(value) for name, value in sorted(vars(thing).items()) if name not in of_every_module}


def _in_words(value: object) -> str:
    """A value whole: tensors print few of their digits, and arrays few of their numbers."""
    if isinstance(value, Tensor):
        return f"{value.dtype} {value.tolist()}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.tolist()}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} {[_in_words(item) for item in value]}"
    if isinstance(value, dict):
        return str({str(key): _in_words(item) for key, item in value.items()})
    return repr(value)


def stacked_layers(
    models: Sequence[nn.Module], weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
) -> tuple[nn.Sequential, dict[str, nn.Parameter]] | None:
    """Layers in sequence, of K models, as one module that maps [K, B, F] to [K, B, O].

    Args:
        models: equal in their layers.
        weights: the parameters by name, of the models' shapes with a leading axis K, or more rows than models.
        buffers: likewise.

    Returns:
        The module and its parameters by the models' names, in the memory of ``weights``; None if a layer has no
        stacked form.
    """
    layers: list[nn.Module] = []
    parameters: dict[str, nn.Parameter] = {}
    for name, owners in _in_sequence(models):
        prefix = f"{name}." if name else ""
        own = {
            key: _parameter(owners[0], weights[f"{prefix}{key}"], parameter)
            for key, parameter in owners[0].named_parameters()
        }
        layer = _stacked(owners, own, [buffers[f"{prefix}{key}"] for key, _ in owners[0].named_buffers()])
        if layer is None:
            return None
        layers.append(layer)
        parameters |= {f"{prefix}{key}": parameter for key, parameter in own.items()}
    return nn.Sequential(*layers), parameters


def _in_sequence(models: Sequence[nn.Module], name: str = "") -> list[tuple[str, Sequence[nn.Module]]]:
    """The name and the owners of each layer, whatever sequences are inside sequences."""
    first = models[0]
    if not (isinstance(first, nn.Sequential) and type(first).forward is nn.Sequential.forward):
        return [(name, models)]
    # Not named_children, which leaves out a layer that has several places, as a shared activation has.
    return [
        layer
        for child in first._modules
        for layer in _in_sequence([model.get_submodule(child) for model in models], f"{name}.{child}".lstrip("."))
    ]


def _parameter(owner: nn.Module, weight: Tensor, of_run: nn.Parameter) -> nn.Parameter:
    # Numbers for each unit get an axis for the rows in between, [K, 1, C].
    per_unit = isinstance(owner, nn.BatchNorm1d | nn.LayerNorm | nn.PReLU)
    return nn.Parameter(weight.unsqueeze(1) if per_unit else weight, requires_grad=of_run.requires_grad)


def _stacked(
    layers: Sequence[nn.Module], own: Mapping[str, nn.Parameter], buffers: Sequence[Tensor]
) -> nn.Module | None:
    first = layers[0]
    kind = type(first)  # by exact class: what derives from a layer may compute something else
    weight, bias = own.get("weight"), own.get("bias")
    if kind is nn.Linear and weight is not None:
        return StackedLinear(weight, bias)
    if kind is nn.PReLU and weight is not None:
        return StackedPReLU(weight)
    if kind is Dropout:
        return StackedDropout(cast(Sequence[Dropout], layers))
    if kind is nn.LayerNorm:
        norm = cast(nn.LayerNorm, first)
        return StackedLayerNorm(norm, weight, bias) if len(norm.normalized_shape) == 1 else None
    if kind is nn.BatchNorm1d:
        known = len(buffers) == 3 and cast(nn.BatchNorm1d, first).momentum is not None
        return StackedBatchNorm(cast(nn.BatchNorm1d, first), weight, bias, *buffers) if known else None
    # Activations work element by element, so that those without parameters are their own stacked form.
    return None if own or buffers or slope_of(first) is None else first
