"""One step on several processes: each takes its rows of every batch, and all make the same update.

The gradient of a batch is the sum of its rows' parts, so that gradients, objective and predictions of all processes are
one sum of one vector: whatever computes the gradient, the parameters stay the same bits everywhere. Dropout's masks are
drawn for the whole batch by every process, from the same stream: they do not depend on how many there are.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Precision
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
    """

    def __init__(self, world: World, model: nn.Module) -> None:
        self.world = world
        self.interrupt = Agreed()
        self._dropouts = [layer for layer in model.modules() if isinstance(layer, Dropout)]

    def accumulate(
        self, gradient_of: GradientOf, batches: Sequence[Batch], parameters: Sequence[nn.Parameter]
    ) -> tuple[Tensor, list[Tensor]]:
        """The gradient of some batches, as ``nnlab.trainer.step.accumulate``, each process with its own rows.

        Args:
            gradient_of: adds the gradient of rows, times a share, to what is there, and returns their objective and
                prediction.
            batches: of one update, the same in every process.
            parameters: whose gradients are summed.

        Returns:
            The objective over all rows, a scalar, and the prediction for each batch, all of its rows.
        """
        total = sum(map(_weight_of, batches))
        value: Tensor | None = None
        own: list[tuple[slice, Tensor]] = []
        for batch in batches:
            rows, counted = self._rows(batch)
            share = (_weight_of(_part(batch, rows)) if counted else 0.0) / total
            with self._masked(len(batch.inputs), rows):
                objective, prediction = gradient_of(_part(batch, rows), share)
            value = objective * share if value is None else value + objective * share
            own.append((rows if counted else slice(0, 0), prediction))
        assert value is not None
        return self._sum(value, own, batches, parameters)

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

    def _rows(self, batch: Batch) -> tuple[slice, bool]:
        """This process's rows of a batch, and whether they count: one that has none computes one for nothing."""
        rows = self.world.share(len(batch.inputs))
        if rows.stop > rows.start and (batch.weight is None or bool(batch.weight[rows].any())):
            return rows, True
        first = 0 if batch.weight is None else int(batch.weight.argmax())
        return slice(first, first + 1), False

    def _sum(
        self,
        value: Tensor,
        own: Sequence[tuple[slice, Tensor]],
        batches: Sequence[Batch],
        parameters: Sequence[nn.Parameter],
    ) -> tuple[Tensor, list[Tensor]]:
        """Everything that processes have to say to one another of a step, as one vector."""
        first = parameters[0]
        sizes = [parameter.numel() for parameter in parameters]
        gradients = [first.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1) for p in parameters]
        flags = first.new_tensor(self.interrupt.flags())
        wholes = []
        for batch, (rows, prediction) in zip(batches, own, strict=True):
            whole = first.new_zeros((len(batch.inputs), *prediction.shape[1:]))
            whole[rows] = prediction[: rows.stop - rows.start].to(first.dtype)
            wholes.append(whole)
        parts = [*gradients, value.detach().reshape(1).to(first.dtype), flags, *(one.reshape(-1) for one in wholes)]
        found = torch.split(self.world.add(torch.cat(parts)), [part.numel() for part in parts])
        for parameter, gradient in zip(parameters, found[: len(sizes)], strict=True):
            parameter.grad = gradient.reshape(parameter.shape).clone()
        total, heard, *outputs = found[len(sizes) :]
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


def _weight_of(batch: Batch) -> float:
    return len(batch.inputs) if batch.weight is None else float(batch.weight.double().sum())
