"""Which models have a C form: linear layers in sequence, each with norm, activation and dropout behind it or not."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

from torch import nn

from nnlab.gradient.chain import layers_of
from nnlab.model.dropout import Dropout
from nnlab.native.activations import Activation, code_of


@final
@dataclass
class Stage:
    """A linear layer and what follows it.

    Args:
        linear: the layer.
        norm: of its output, or None.
        activation: of what comes then; kind 0 for none.
        dropout: of the activation's output, or None.
        slope: PReLU's learned slope, one for all units or one for each; None for another activation.
    """

    linear: nn.Linear
    norm: nn.BatchNorm1d | nn.LayerNorm | None = None
    activation: Activation = field(default_factory=Activation)
    dropout: Dropout | None = None
    slope: nn.Parameter | None = None

    @property
    def of_units(self) -> tuple[nn.Parameter | None, ...]:
        """The parameters with a number for each unit, in the order of program.h; None where there is none."""
        of_norm = (None, None) if self.norm is None else (self.norm.weight, self.norm.bias)
        return self.linear.bias, *of_norm, self.slope


def stages_of(model: nn.Module) -> list[Stage] | str:
    """A model as stages.

    Args:
        model: any module.

    Returns:
        The stages, or what in the model has no C form, in words.
    """
    stages: list[Stage] = []
    for name, layer in layers_of(model):
        if type(layer) is nn.Linear:
            stages.append(Stage(layer))
        elif not (isinstance(layer, nn.Identity) or (stages and _has_place_for(stages[-1], layer))):
            return f"{type(layer).__name__}{f' ({name})' if name else ''} has no C form in its place"
    own = [part for stage in stages for part in (stage.linear.weight, stage.norm, *stage.of_units) if part is not None]
    if len({id(part) for part in own}) < len(own):
        return "a layer or a weight that has several places in the model has no C form"
    return stages or "a model without linear layers has no C form"


def _has_place_for(stage: Stage, layer: nn.Module) -> bool:
    """Whether a layer can follow what a stage has so far; it is then part of it."""
    if stage.dropout is not None:
        return False
    if type(layer) is Dropout:
        stage.dropout = layer
        return True
    if stage.activation.kind:
        return False
    if _is_norm(layer, stage.linear.out_features) and stage.norm is None:
        stage.norm = layer  # type: ignore[assignment]
        return True
    activation = code_of(layer)
    if activation is None:
        return False
    if type(layer) is nn.PReLU:
        if layer.num_parameters not in (1, stage.linear.out_features):
            return False
        stage.slope = layer.weight
    stage.activation = activation
    return True


def _is_norm(layer: nn.Module, num_units: int) -> bool:
    if type(layer) is nn.BatchNorm1d:
        return layer.num_features == num_units
    return type(layer) is nn.LayerNorm and layer.normalized_shape == (num_units,)


def dropouts_of(stages: list[Stage]) -> Iterator[tuple[int, Dropout]]:
    """The dropout layers in the order in which they draw, each with the number of its stage."""
    return ((number, stage.dropout) for number, stage in enumerate(stages) if stage.dropout is not None)
