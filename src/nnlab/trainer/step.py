"""What a training step means: one update from one batch, or from several whose gradients are added up."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Gradient, Precision
from nnlab.loss.objective import Objective
from nnlab.trainer.batches import Batch
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
    """

    model: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    gradient: Gradient
    precision: Precision
    grad_clip_norm: float | None

    parameters: tuple[nn.Parameter, ...] = field(init=False)
    update: Update = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "update", Update(self.optimizer))
        # Walking through the modules for them costs as much as a small layer.
        object.__setattr__(self, "parameters", tuple(self.model.parameters()))


def train_step(parts: StepParts, batches: Sequence[Batch]) -> tuple[Tensor, list[Tensor]]:
    """Update the parameters once.

    The gradient is that of the mean over all rows of the batches: each batch counts by its size. L-BFGS evaluates
    the objective several times in one step; its loss and predictions are those of the first time, before the update.

    Args:
        parts: model, objective, optimizer and how to use them.
        batches: one batch, or several to accumulate.

    Returns:
        The objective before the update, a scalar on the device, and the prediction for each batch.
    """
    optimizer = parts.optimizer
    first: list[tuple[Tensor, list[Tensor]]] = []

    def evaluate() -> Tensor:
        for parameter in parts.parameters:
            parameter.grad = None  # what zero_grad does, without its bookkeeping of several microseconds
        value, predictions = _accumulate(parts, batches)
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


def _accumulate(parts: StepParts, batches: Sequence[Batch]) -> tuple[Tensor, list[Tensor]]:
    if len(batches) == 1:
        inputs, target = batches[0]
        value, prediction = parts.gradient(parts.model, parts.objective, inputs, target, parts.precision, 1)
        return value, [prediction]
    num_rows = sum(len(batch.inputs) for batch in batches)
    shares = [len(batch.inputs) / num_rows for batch in batches]
    values, predictions = [], []
    for batch, share in zip(batches, shares, strict=True):
        value, prediction = parts.gradient(
            parts.model, parts.objective, batch.inputs, batch.target, parts.precision, share
        )
        values.append(value * share)
        predictions.append(prediction)
    return torch.stack(values).sum(), predictions


def _clip(parts: StepParts) -> None:
    if parts.grad_clip_norm is None:
        return
    if parts.precision.scaler is not None:
        parts.precision.scaler.unscale_(parts.optimizer)
    nn.utils.clip_grad_norm_(parts.parameters, parts.grad_clip_norm)
