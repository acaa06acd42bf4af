"""Metrics over whole splits, with exact weights and one read of the device."""

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Precision
from nnlab.metric.base import Metric
from nnlab.metric.readout import Readout
from nnlab.trainer.phases import Phases

#: what some rows add to a metric: its part, or outputs and target
Part = Tensor | tuple[Tensor, Tensor]

#: rows in one forward pass of an evaluation; bounds memory, and is the whole split for small data
ROWS_PER_PASS = 16_384


def predict(model: nn.Module, inputs: Tensor, precision: Precision) -> Tensor:
    """The model's outputs in evaluation mode; the model's mode is put back afterwards.

    Args:
        model: the model.
        inputs: shape [N, F], on the model's device.
        precision: what is computed with.

    Returns:
        Shape [N, O], in ``precision.dtype``.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), precision.forward():
            outputs = [model(rows) for rows in torch.split(inputs, ROWS_PER_PASS)]
    finally:
        model.train(was_training)
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)).to(precision.dtype)


@final
class Evaluator:
    """Computes the loss and the metrics of a split.

    Args:
        loss: of a prediction and a target, the mean over rows.
        metrics: beside the loss.
        readout: what the model's outputs mean.
        phases: the training's clock, or None.
    """

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        metrics: Sequence[Metric],
        readout: Readout,
        phases: Phases | None = None,
    ) -> None:
        self.loss = loss
        self.metrics = metrics
        self.readout = readout
        self._phases = phases or Phases(False)

    def names(self) -> list[str]:
        """``loss`` and the metrics' names."""
        return ["loss", *(metric.name for metric in self.metrics)]

    def split(self, model: nn.Module, inputs: Tensor, target: Tensor, precision: Precision) -> list[Tensor]:
        """Loss and metrics of a split in evaluation mode.

        Args:
            model: the model.
            inputs: shape [N, F].
            target: as the loss sees it, shape [N, …].
            precision: what is computed with.

        Returns:
            Scalars on the device, in the order of ``names``.
        """
        with self._phases.during("evaluation"):
            return self.scores(predict(model, inputs, precision), target)

    def scores(self, prediction: Tensor, target: Tensor) -> list[Tensor]:
        """Loss and metrics of outputs in evaluation mode.

        Args:
            prediction: shape [N, O]; with a run axis, [K, N, O].
            target: as the loss sees it, shape [N, …] or [K, N, …].

        Returns:
            Scalars on the device, or tensors of shape [K], in the order of ``names``.
        """
        with torch.no_grad():
            return [self.loss(prediction, target), *self.of_outputs(prediction, target)]

    def of_outputs(self, prediction: Tensor, target: Tensor) -> list[Tensor]:
        """The metrics (without the loss) of outputs that are there already.

        Args:
            prediction: shape [N, O]; with a run axis, [K, N, O].
            target: as the loss sees it, with the same axes.

        Returns:
            Scalars on the device, or tensors of shape [K], in the order of the metrics.
        """
        if not self.metrics:
            return []
        with self._phases.during("evaluation"), torch.no_grad():
            outputs, truth = self._read(prediction, target)
            return [metric(outputs[metric.reads], truth) for metric in self.metrics]

    def parts(self, prediction: Tensor, target: Tensor) -> list[Part]:
        """What some of the rows add to the metrics over all of them.

        Args:
            prediction: as for ``of_outputs``.
            target: likewise.

        Returns:
            For each metric its part, or outputs and target as it reads them where it has to see all rows at once.
        """
        if not self.metrics:
            return []
        with self._phases.during("evaluation"), torch.no_grad():
            outputs, truth = self._read(prediction, target)
            parts = [metric.part(outputs[metric.reads], truth) for metric in self.metrics]
            pairs = zip(self.metrics, parts, strict=True)
            return [(outputs[metric.reads], truth) if part is None else part for metric, part in pairs]

    def _read(self, prediction: Tensor, target: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The outputs as the metrics read them, and the truth."""
        wanted: set[str] = {metric.reads for metric in self.metrics}
        outputs = {reads: self.readout.read(reads, prediction) for reads in wanted}
        truth = self.readout.target(target)
        if "value" in outputs:
            # Regression metrics count in float64; converting once serves all of them.
            outputs["value"], truth = outputs["value"].double(), truth.double()
        return outputs, truth


def read(scalars: Sequence[Tensor]) -> list[float]:
    """Device scalars as Python numbers, in one synchronization."""
    if not scalars:
        return []
    values: list[float] = torch.stack([scalar.detach().double() for scalar in scalars]).tolist()
    return values
