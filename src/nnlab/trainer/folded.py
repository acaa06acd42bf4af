"""Metrics over more rows than are to be in memory: folded together part by part."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from nnlab.data.stream.streamed import Streamed
from nnlab.gradient.base import Precision
from nnlab.loss.base import Loss
from nnlab.trainer.batches import place
from nnlab.trainer.evaluation import Evaluator, predict

#: rows of a part; that many are taken as rows in memory are
ROWS_OF_PART = 1 << 17


def scores(
    evaluator: Evaluator,
    model: nn.Module,
    rows: tuple[Tensor, Tensor] | Streamed,
    precision: Precision,
    device: torch.device,
) -> list[Tensor]:
    """Loss and metrics of a split in evaluation mode.

    Args:
        evaluator: knows them.
        model: the model.
        rows: inputs and target on the device, or rows on disk.
        precision: what is computed with.
        device: where the model is.

    Returns:
        Scalars on the device, in the order of ``Evaluator.names``.
    """
    if not isinstance(rows, Streamed):
        return evaluator.split(model, *rows, precision)
    folded = Folded(evaluator, has_loss=True)
    for block in rows.blocks(ROWS_OF_PART):
        inputs, target = (place(tensor, device, precision.dtype) for tensor in block)
        # A copy: it is kept beyond the next block.
        folded.add([predict(model, inputs, precision)], [target.clone()])
    return folded.values()


@final
class Folded:
    """Takes outputs and targets as they come, in parts of a fixed size however they come.

    What a metric cannot fold is kept: then memory grows with the rows.

    Args:
        evaluator: knows the metrics.
        has_loss: whether the loss is wanted too.
        rows_of_part: rows that are folded at a time.
    """

    def __init__(self, evaluator: Evaluator, has_loss: bool, rows_of_part: int = ROWS_OF_PART) -> None:
        self._evaluator = evaluator
        self._has_loss = has_loss
        self._rows_of_part = rows_of_part
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._num_rows = 0
        self._num_parts = 0
        #: the sums of the weighted losses and of the weights, [..., 2], if the loss is wanted
        self._loss: Tensor | None = None
        #: of each metric its part of the rows folded so far, or ...
        self._parts: list[Tensor | None] = [None for _ in self._evaluator.metrics]
        #: ... their outputs and targets where it has to see all rows at once
        self._whole: list[list[tuple[Tensor, Tensor]]] = [[] for _ in self._evaluator.metrics]

    def add(self, predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        """Take the next rows.

        Args:
            predictions: of some batches, [B, O] each; with a run axis, [K, B, O].
            targets: likewise, as the loss sees them.
        """
        self._outputs.extend(predictions)
        self._targets.extend(targets)
        self._num_rows += sum(prediction.shape[-2] for prediction in predictions)
        if self._num_rows <= self._rows_of_part:
            return
        outputs, target = self._waiting()
        axis = outputs.dim() - 2
        while self._num_rows > self._rows_of_part:
            part, outputs = _cut(outputs, axis, self._rows_of_part)
            own, target = _cut(target, axis, self._rows_of_part)
            self._fold(part, own)
            self._num_rows -= self._rows_of_part
        # Copies: a view would keep all rows that it is a part of.
        self._outputs, self._targets = [outputs.clone()], [target.clone()]

    def values(self) -> list[Tensor]:
        """The loss, if it is wanted, and the metrics, of all rows so far."""
        outputs, target = self._waiting()
        if not self._num_parts:  # few enough to be looked at as rows in memory are
            if self._has_loss:
                return self._evaluator.scores(outputs, target)
            return self._evaluator.of_outputs(outputs, target)
        all_rows = self._copy()
        all_rows._fold(outputs, target)
        return all_rows._of_folded(outputs.dim() - 2)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs of the rows so far."""
        return {
            "waiting": list(self._waiting()) if self._outputs else [],
            "num_parts": self._num_parts,
            "loss": self._loss,
            "parts": self._parts,
            "whole": self._whole,
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take back what ``state_dict`` gave.

        Args:
            state: what it gave.
            device: where outputs are.
        """
        self.clear()
        self._num_parts = int(state["num_parts"])
        self._loss = None if state["loss"] is None else state["loss"].to(device)
        self._parts = [None if part is None else part.to(device) for part in state["parts"]]
        self._whole = [[(outputs.to(device), truth.to(device)) for outputs, truth in own] for own in state["whole"]]
        if state["waiting"]:
            outputs, target = (tensor.to(device) for tensor in state["waiting"])
            self._outputs, self._targets, self._num_rows = [outputs], [target], outputs.shape[-2]

    def _copy(self) -> "Folded":
        copy = Folded(self._evaluator, self._has_loss, self._rows_of_part)
        copy._loss, copy._parts, copy._whole = self._loss, list(self._parts), [list(own) for own in self._whole]
        return copy

    def _of_folded(self, row_axis: int) -> list[Tensor]:
        found = [] if self._loss is None else [self._loss[..., 0] / self._loss[..., 1]]
        for metric, part, whole in zip(self._evaluator.metrics, self._parts, self._whole, strict=True):
            if part is not None:
                found.append(metric.of_part(part))
            else:
                found.append(metric(*(torch.cat([kept[side] for kept in whole], row_axis) for side in (0, 1))))
        return found

    def _waiting(self) -> tuple[Tensor, Tensor]:
        axis = self._outputs[0].dim() - 2
        return torch.cat(self._outputs, axis), torch.cat(self._targets, axis)

    def _fold(self, outputs: Tensor, target: Tensor) -> None:
        self._num_parts += 1
        if self._has_loss:
            own = self._loss_of(outputs, target)
            self._loss = own if self._loss is None else self._loss + own
        for number, part in enumerate(self._evaluator.parts(outputs, target)):
            before = self._parts[number]
            if isinstance(part, tuple):
                self._whole[number].append(part)
            else:
                self._parts[number] = part if before is None else self._evaluator.metrics[number].merged(before, part)

    def _loss_of(self, outputs: Tensor, target: Tensor) -> Tensor:
        loss = self._evaluator.loss
        with torch.no_grad():
            value = loss(outputs, target).double()
        weight = torch.full_like(value, _weight_of(loss, target, outputs.dim() - 2))
        return torch.stack([value * weight, weight], dim=-1)


def _weight_of(loss: object, target: Tensor, axis: int) -> float:
    """What a loss divides the sum over rows by; runs of a stack have the same targets in the same rows."""
    first = target[0] if axis else target
    weights = loss.sample_weight(first) if isinstance(loss, Loss) else None
    if weights is None and isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss) and loss.weight is not None:
        weights = loss.weight[first]
    return float(len(first) if weights is None else weights.double().sum())


def _cut(tensor: Tensor, axis: int, size: int) -> tuple[Tensor, Tensor]:
    return tensor.narrow(axis, 0, size), tensor.narrow(axis, size, tensor.shape[axis] - size)
