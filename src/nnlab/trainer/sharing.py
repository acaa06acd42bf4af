"""One step on several processes: each takes its rows of every batch, and all make the same update.

The gradient of a batch is the sum of its rows' parts, so that gradients, objective and predictions of all processes are
one sum of one vector: whatever computes the gradient, the parameters stay the same bits everywhere. Dropout's masks are
drawn for the whole batch by every process, from the same stream: they do not depend on how many there are.
"""

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Precision
from nnlab.loss.base import Loss
from nnlab.model.dropout import Dropout
from nnlab.trainer.batches import Batch
from nnlab.trainer.evaluation import predict
from nnlab.trainer.interrupt import ENDINGS, Interrupt
from nnlab.world import World

GradientOf = Callable[[Batch, float], tuple[Tensor, Tensor]]


@final
class Agreed:
    """A signal that all processes know of: they end after the same step."""

    def __init__(self) -> None:
        #: what this process has received; None before the training begins
        self.own: Interrupt | None = None
        self.received: signal.Signals | None = None

    def flags(self) -> list[float]:
        """A number for each signal that ends a training: whether this process has received it."""
        own = self.own.received if self.own is not None else None
        return [float(own == number) for number in ENDINGS]

    def hear(self, flags: Sequence[float]) -> None:
        """Know what any process has received.

        Args:
            flags: the sums over all processes.
        """
        if self.received is None:
            self.received = next((number for number, flag in zip(ENDINGS, flags, strict=True) if flag), None)


@final
class Sharing:
    """What a training does together with other processes.

    Args:
        world: the processes.
        model: the same in each.
        loss: what is averaged over the rows of a batch.
    """

    def __init__(self, world: World, model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.world = world
        self.interrupt = Agreed()
        self._loss = loss
        self._dropouts = [layer for layer in model.modules() if isinstance(layer, Dropout)]

    def accumulate(
        self, gradient_of: GradientOf, batches: Sequence[Batch], parameters: Sequence[nn.Parameter]
    ) -> tuple[Tensor, list[Tensor]]:
        """The gradient of some batches, as ``nnlab.trainer.step.accumulate``, each process with its own rows.

        Args:
            gradient_of: adds the gradient of rows, times a share, to what is there, and returns their objective and
                prediction.
            batches: of one update, the same in every process.
            parameters: whose gradients are summed; one without is one without afterwards.

        Returns:
            The objective over all rows, a scalar, and the prediction for each batch, all of its rows.
        """
        total = sum(map(_size_of, batches))
        value = parameters[0].new_zeros(())
        own: list[tuple[slice, Tensor]] = []
        for batch in batches:
            rows = self.world.share(len(batch.inputs))
            share = self._share(batch, rows) * _size_of(batch) / total
            # One that has no row computes one for nothing: it then knows as well what has a gradient.
            computed = rows if rows.stop > rows.start else slice(0, 1)
            before = None if share else [None if p.grad is None else p.grad.clone() for p in parameters]
            with self._masked(len(batch.inputs), computed):
                objective, prediction = gradient_of(_part(batch, computed), share)
            if before is None:
                value = value + objective * share
            else:  # rows that count nothing have no mean, and 0 times that is none either
                _forget(parameters, before)
            own.append((rows, prediction))
        return self._sum(value, own, batches, [p for p in parameters if p.grad is not None])

    def predict(self, model: nn.Module, inputs: Tensor, precision: Precision) -> Tensor:
        """The outputs for all rows of a split, each process computing its own.

        Args:
            model: the model.
            inputs: all rows, [N, F].
            precision: what is computed with.

        Returns:
            Shape [N, O], the same bits in every process.
        """
        rows = self.world.share(len(inputs))
        is_any = rows.stop > rows.start
        outputs = predict(model, inputs[rows] if is_any else inputs[:1], precision)
        whole = outputs.new_zeros((len(inputs), *outputs.shape[1:]))
        if is_any:
            whole[rows] = outputs
        return self.world.add(whole)

    def _share(self, batch: Batch, rows: slice) -> float:
        """What some rows of a batch count in its mean, from 0 to 1; NaN where no row of it counts anything."""
        weight = self._row_weight(batch)
        if weight is None:
            return float(rows.stop - rows.start) / len(batch.inputs)
        own, whole = (float(part.double().sum()) for part in (weight[rows], weight))
        return own / whole if whole else math.nan

    def _row_weight(self, batch: Batch) -> Tensor | None:
        """What each row counts in a batch's mean, [B]; None where all count 1."""
        of_class = None
        if isinstance(self._loss, Loss):
            of_class = self._loss.sample_weight(batch.target)
        elif isinstance(self._loss, nn.CrossEntropyLoss | nn.NLLLoss) and self._loss.weight is not None:
            of_class = self._loss.weight[batch.target]
        if batch.weight is None or of_class is None:
            return of_class if batch.weight is None else batch.weight
        return batch.weight * of_class

    def _sum(
        self,
        value: Tensor,
        own: Sequence[tuple[slice, Tensor]],
        batches: Sequence[Batch],
        parameters: Sequence[nn.Parameter],
    ) -> tuple[Tensor, list[Tensor]]:
        """Everything that processes have to say to one another of a step, as one vector."""
        first = parameters[0]
        gradients = [p.grad.reshape(-1) for p in parameters if p.grad is not None]
        flags = first.new_tensor(self.interrupt.flags())
        wholes = []
        for batch, (rows, prediction) in zip(batches, own, strict=True):
            whole = first.new_zeros((len(batch.inputs), *prediction.shape[1:]))
            whole[rows] = prediction[: rows.stop - rows.start].to(first.dtype)
            wholes.append(whole)
        parts = [*gradients, value.detach().reshape(1).to(first.dtype), flags, *(one.reshape(-1) for one in wholes)]
        found = torch.split(self.world.add(torch.cat(parts)), [part.numel() for part in parts])
        for parameter, gradient in zip(parameters, found[: len(parameters)], strict=True):
            parameter.grad = gradient.reshape(parameter.shape).clone()
        total, heard, *outputs = found[len(parameters) :]
        self.interrupt.hear(heard.tolist())
        shapes = zip(outputs, wholes, own, strict=True)
        return total[0].clone(), [one.reshape(whole.shape).to(mine.dtype) for one, whole, (_, mine) in shapes]

    @contextmanager
    def _masked(self, num_rows: int, rows: slice) -> Iterator[None]:
        """While it lasts, dropout draws masks for all rows of a batch, and uses those of some."""
        for layer in self._dropouts:
            layer.part = (num_rows, rows.start)
        try:
            yield
        finally:
            for layer in self._dropouts:
                layer.part = None


def why_not_shared(model: nn.Module, device: torch.device) -> str | None:
    """Why several processes cannot train a model together; None if they can.

    Args:
        model: the model.
        device: where it computes.
    """
    has_norm = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in model.modules())
    if has_norm and device.type == "cpu":
        return (
            "model.norm=batch: each process would take the mean over its own rows only, and torch synchronizes batch "
            "norm on CUDA alone; use model.norm=layer, or a single process"
        )
    return None


def _part(batch: Batch, rows: slice) -> Batch:
    return Batch(batch.inputs[rows], batch.target[rows], None if batch.weight is None else batch.weight[rows])


def _forget(parameters: Sequence[nn.Parameter], before: Sequence[Tensor | None]) -> None:
    """Put gradients back to what they were; those that were not there yet are zero."""
    for parameter, gradient in zip(parameters, before, strict=True):
        if parameter.grad is not None:
            parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient


def _size_of(batch: Batch) -> float:
    return len(batch.inputs) if batch.weight is None else float(batch.weight.double().sum())
