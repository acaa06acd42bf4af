"""What a training step means: one update from one batch, or from several whose gradients are added up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Gradient, Precision
from nnlab.loss.objective import Objective
from nnlab.trainer.batches import Batch
from nnlab.trainer.sharing import Sharing
from nnlab.trainer.update import Update


@dataclass(frozen=True)
class StepParts:
    """What a step needs beside its batches.

    Args:
        model: in training mode.
        objective: the loss and penalties, of a prediction and a target.
        optimizer: over the model's parameters.
        gradient: how the gradient is computed.
        precision: what is computed with.
        grad_clip_norm: the largest allowed norm of the whole gradient, or None.
        sharing: with which other processes each batch is shared; None for none.
    """

    model: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    gradient: Gradient
    precision: Precision
    grad_clip_norm: float | None
    sharing: Sharing | None = None

    parameters: tuple[nn.Parameter, ...] = field(init=False)
    update: Update = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "update", Update(self.optimizer))
        # Walking through the modules for them costs as much as a small layer.
        object.__setattr__(self, "parameters", tuple(self.model.parameters()))


def why_only_by_torch(parts: StepParts) -> str | None:
    """Why only torch's own operations compute these steps, whatever the layers are; None if others can.

    Args:
        parts: what a step needs.
    """
    if parts.precision.autocast is not None:
        return "trainer.precision is bf16 or fp16"
    if not parts.gradient.by_chain_rule:
        return f"gradient={type(parts.gradient).__name__} is computed run by run"
    updated = {id(parameter) for group in parts.optimizer.param_groups for parameter in group["params"]}
    if not all(parameter.requires_grad and id(parameter) in updated for parameter in parts.parameters):
        return f"{type(parts.optimizer).__name__} does not update every parameter of the model"
    if any(_has_hooks(layer) for layer in parts.model.modules()):
        return "there are hooks on the model or its layers"
    return None


def _has_hooks(layer: nn.Module) -> bool:
    return any((layer._forward_pre_hooks, layer._forward_hooks, layer._backward_pre_hooks, layer._backward_hooks))


def train_step(parts: StepParts, batches: Sequence[Batch]) -> tuple[Tensor, list[Tensor]]:
    """Update the parameters once.

    The gradient is that of the mean over all rows of the batches: each batch counts by its size, or by the
    weights of its rows. L-BFGS evaluates
    the objective several times in one step; its loss and predictions are those of the first time, before the update.

    Args:
        parts: model, objective, optimizer and how to use them.
        batches: one batch, or several to accumulate.

    Returns:
        The objective before the update, a scalar on the device, and the prediction for each batch.
    """
    optimizer = parts.optimizer
    first: list[tuple[Tensor, list[Tensor]]] = []

    def gradient_of(batch: Batch, share: float) -> tuple[Tensor, Tensor]:
        objective = parts.objective if batch.weight is None else parts.objective.weighted(batch.weight)
        return parts.gradient(parts.model, objective, batch.inputs, batch.target, parts.precision, share)

    def evaluate() -> Tensor:
        for parameter in parts.parameters:
            parameter.grad = None  # what zero_grad does, without its bookkeeping of several microseconds
        if parts.sharing is None:
            value, predictions = accumulate(gradient_of, batches)
        else:
            value, predictions = parts.sharing.accumulate(gradient_of, batches, parts.parameters)
        if not first:
            first.append((value, predictions))
        _clip(parts)
        return value

    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.step(evaluate)  # type: ignore[no-untyped-call]
    else:
        evaluate()
        scaler = parts.precision.scaler
        if scaler is None:
            parts.update()
        else:
            scaler.step(optimizer)
            scaler.update()
    return first[0]


def accumulate(
    gradient_of: Callable[[Batch, float], tuple[Tensor, Tensor]], batches: Sequence[Batch], row_axis: int = 0
) -> tuple[Tensor, list[Tensor]]:
    """Add up the gradients of the batches of one update.

    Args:
        gradient_of: adds the gradient of a batch, times a share, to what is there already, and returns the batch's
            objective and prediction.
        batches: one batch, or several to accumulate.
        row_axis: the axis of a batch's rows; 1 behind a run axis.

    Returns:
        The objective, a scalar (or one for each run), and the prediction for each batch.
    """
    if len(batches) == 1:
        value, prediction = gradient_of(batches[0], 1)
        return value, [prediction]
    sizes = [size_of(batch, row_axis) for batch in batches]
    shares = [size / sum(sizes) for size in sizes]
    results = [gradient_of(batch, share) for batch, share in zip(batches, shares, strict=True)]
    values = [value * share for (value, _), share in zip(results, shares, strict=True)]
    return torch.stack(values).sum(0), [prediction for _, prediction in results]


def size_of(batch: Batch, row_axis: int = 0) -> float:
    """What a batch counts: its rows, or their weights."""
    return batch.inputs.shape[row_axis] if batch.weight is None else float(batch.weight.double().sum())


def _clip(parts: StepParts) -> None:
    if parts.grad_clip_norm is None:
        return
    if parts.precision.scaler is not None:
        parts.precision.scaler.unscale_(parts.optimizer)
    nn.utils.clip_grad_norm_(parts.parameters, parts.grad_clip_norm)
