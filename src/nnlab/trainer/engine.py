"""Ways to do the steps of an epoch. There is one meaning of a step (``nnlab.trainer.step``); these carry it out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from nnlab.native.program import NativeSteps, Rows
from nnlab.trainer.batches import Batch, Batches, TensorBatches, updates
from nnlab.trainer.record import EpochRecord
from nnlab.trainer.step import StepParts, train_step
from nnlab.trainer.stream_batches import StreamBatches

#: multiply-adds that one call does at most, so that signals and the clock are looked at every few milliseconds
MULTIPLY_ADDS_PER_CALL = 500_000_000


class Ahead(NamedTuple):
    """The steps of an epoch that are still to be done.

    Args:
        epoch: its number, from 0.
        first: the number of the first of them in the epoch, from 0.
        rates: the learning rate of each, for an engine that does several at a time; else empty.
        record: where losses and outputs go, or None.
    """

    epoch: int
    first: int
    rates: Sequence[float]
    record: EpochRecord | None


class Engine(ABC):
    """Does the steps of an epoch, one or many at a time; how many at a time changes no bit."""

    name: ClassVar[str]
    #: whether it wants to know all learning rates of an epoch before its first step
    plans_rates: ClassVar[bool] = False

    @abstractmethod
    def start_epoch(self, ahead: Ahead) -> None:
        """Before the first step of an epoch that is still to be done.

        Args:
            ahead: the steps to do.
        """

    @abstractmethod
    def steps(self, most: int) -> int:
        """Do the next steps of the epoch.

        Args:
            most: no more than so many; at least 1.

        Returns:
            How many were done; 0 if there are none left.
        """


@final
class Eager(Engine):
    """One step at a time, operation by operation.

    Args:
        parts: what a step needs.
        batches: the training rows.
        accumulate_steps: batches whose gradients make one update.
    """

    name: ClassVar[str] = "eager"

    def __init__(self, parts: StepParts, batches: Batches, accumulate_steps: int) -> None:
        self._parts = parts
        self._batches = batches
        self._accumulate_steps = accumulate_steps
        self._record: EpochRecord | None = None
        self._groups: Iterator[list[Batch]] = iter(())

    def start_epoch(self, ahead: Ahead) -> None:
        """See ``Engine``."""
        self._record = ahead.record
        if isinstance(self._batches, StreamBatches):
            rest = self._batches.epoch(ahead.epoch, ahead.first * self._accumulate_steps)
            self._groups = updates(rest, self._accumulate_steps)
            return
        self._groups = updates(self._batches.epoch(ahead.epoch), self._accumulate_steps)
        for _ in range(ahead.first):
            batches = next(self._groups)
            if self._record is not None:
                self._record.pass_over([batch.target for batch in batches])

    def steps(self, most: int) -> int:
        """See ``Engine``."""
        batches = next(self._groups, None)
        if batches is None:
            return 0
        loss, predictions = train_step(self._parts, batches)
        if self._record is not None:
            self._record.add(loss, predictions, batches)
        return 1


@final
class Native(Engine):
    """Many steps in one call of the C library.

    Args:
        parts: what a step needs, for which ``nnlab.native.program.why_not`` knows no reason.
        batches: the training rows.
        accumulate_steps: batches whose gradients make one update.
        num_threads: that share the work.
    """

    name: ClassVar[str] = "native"
    plans_rates: ClassVar[bool] = True

    def __init__(self, parts: StepParts, batches: TensorBatches, accumulate_steps: int, num_threads: int) -> None:
        self._parts = parts
        self._batches = batches
        self._accumulate_steps = accumulate_steps
        self._num_threads = num_threads
        self._steps: NativeSteps | None = None
        self._record: EpochRecord | None = None
        self._next = 0
        self._predictions: Tensor | None = None
        self._target: Tensor | None = None
        self._most = most_steps(parts, batches.batch_size * accumulate_steps)

    def start_epoch(self, ahead: Ahead) -> None:
        """See ``Engine``."""
        if self._steps is None:
            parts, batches = self._parts, self._batches
            rows = Rows(batches.inputs, batches.target, batches.batch_size, self._accumulate_steps)
            self._steps = NativeSteps(
                parts.model, parts.objective, parts.optimizer, rows, parts.grad_clip_norm, self._num_threads
            )
        self._record, self._next = ahead.record, ahead.first
        order = self._batches.order(ahead.epoch)
        keeps = ahead.record is not None and ahead.record.keeps_outputs
        self._predictions = self._room() if keeps else None
        self._target = self._batches.target_in(order) if keeps else None
        if keeps and ahead.first and ahead.record is not None and self._target is not None:
            ahead.record.pass_over([self._target[self._steps.rows_of(0, ahead.first)]])
        self._steps.start_epoch(order, self._predictions, ahead.rates, ahead.first)

    def steps(self, most: int) -> int:
        """See ``Engine``."""
        assert self._steps is not None
        number = min(most, self._most, self._steps.num_steps - self._next)
        if number == 0:
            return 0
        losses = self._steps.run(self._next, number)
        rows = self._steps.rows_of(self._next, number)
        if self._record is not None:
            sizes = [self._steps.batch_size] * (number - 1)
            sizes.append(rows.stop - rows.start - sum(sizes))
            self._record.add_steps(losses, sizes)
            if self._predictions is not None and self._target is not None:
                self._record.add_outputs([self._predictions[rows]], [self._target[rows]])
        self._next += number
        return number

    def _room(self) -> Tensor:
        if self._predictions is not None:
            return self._predictions
        linear = [p for p in self._parts.parameters if p.dim() == 2][-1]
        return torch.empty(len(self._batches.inputs), len(linear), dtype=linear.dtype)


def most_steps(parts: StepParts, step_rows: int) -> int:
    """Steps that one call does at most.

    Args:
        parts: what a step needs.
        step_rows: its rows.
    """
    multiply_adds = 3 * step_rows * sum(parameter.numel() for parameter in parts.parameters)
    return max(1, MULTIPLY_ADDS_PER_CALL // max(1, multiply_adds))
