"""The engine for CUDA: whole steps, many of them in one CUDA graph."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar, final

import torch
from torch import nn

from nnlab.optim.stacked import stacking_problem
from nnlab.trainer.batches import Batches, TensorBatches
from nnlab.trainer.engine import Ahead, Engine
from nnlab.trainer.record import EpochRecord
from nnlab.trainer.replay import Program
from nnlab.trainer.static_alone import AloneFeed, AloneWork
from nnlab.trainer.static_check import why_not_recorded
from nnlab.trainer.static_step import StaticSteps, Touched, streams_of
from nnlab.trainer.step import StepParts, why_only_by_torch

#: Steps that one call does at most, so that signals and the clock are looked at several times a second: some 50
#: microseconds each for small networks, and for large ones as many as this many multiply-adds allow.
MOST_STEPS_PER_CALL = 2_000
MULTIPLY_ADDS_PER_CALL = 500_000_000_000


@final
class Graphed(Engine):
    """Whole steps, replayed from CUDA graphs; on the CPU, where there are none, the same steps are called.

    Args:
        parts: what a step needs, for which ``why_not_graphed`` knows no reason.
        batches: the training rows.
        accumulate_steps: batches whose gradients make one update.
    """

    name: ClassVar[str] = "graphs"
    plans_rates: ClassVar[bool] = True

    def __init__(self, parts: StepParts, batches: TensorBatches, accumulate_steps: int) -> None:
        self._parts = parts
        self._batches = batches
        self._accumulate_steps = accumulate_steps
        self._work: AloneWork | None = None
        self._program: Program | None = None
        self._record: EpochRecord | None = None
        self._next = 0
        self._places: list[int] = []
        self._mirrored: list[object] = []
        multiply_adds = 3 * batches.batch_size * accumulate_steps * sum(p.numel() for p in parts.parameters)
        self._most = max(1, min(MOST_STEPS_PER_CALL, MULTIPLY_ADDS_PER_CALL // max(1, multiply_adds)))

    def start_epoch(self, ahead: Ahead) -> None:
        """See ``Engine``."""
        self._record, self._next = ahead.record, ahead.first
        views = list(self._batches.epoch(ahead.epoch))  # always in the same memory
        keeps = ahead.record is not None and ahead.record.keeps_outputs
        if ahead.record is not None and ahead.first:
            ahead.record.pass_over([batch.target for batch in views[: ahead.first * self._accumulate_steps]])
        if not ahead.rates:
            return
        self._mirrored = []
        program = self._program
        if program is None or self._work is None or self._places != self._find() or keeps > program.keeps_outputs:
            program = self._prepare(ahead, keeps)
        else:
            self._work.plan(ahead.rates, ahead.first)
        program.steps.go_to(ahead.first)

    def steps(self, most: int) -> int:
        """See ``Engine``."""
        if self._program is None or self._work is None:
            return 0
        number = min(most, self._most, self._program.steps.num_steps - self._next)
        if number == 0:
            return 0
        self._program.run(self._next, number)
        self._work.stacked.advance(number)
        self._mirror(self._work)
        self._work.show_gradient()
        if self._record is not None:
            self._keep(self._record, self._program.steps, number)
        self._next += number
        return number

    def _keep(self, record: EpochRecord, steps: StaticSteps, number: int) -> None:
        first, per_step = self._next, self._accumulate_steps
        views = self._batches.epoch_views[first * per_step : (first + number) * per_step]
        groups = (views[start : start + per_step] for start in range(0, len(views), per_step))
        sizes = [sum(len(batch.inputs) for batch in group) for group in groups]
        record.add_steps(steps.losses[first : first + number].cpu(), sizes)
        if record.keeps_outputs:
            record.add_outputs(steps.predictions(first, number), [batch.target for batch in views])

    def _prepare(self, ahead: Ahead, keeps_outputs: bool) -> Program:
        """Make the steps anew, where the model is now; graphs are captured when they are first needed."""
        self._program = None  # lets go of the graphs of before
        feed = AloneFeed(self._batches, self._accumulate_steps)
        num_steps = feed.num_whole + bool(feed.rest)
        self._work = work = AloneWork(self._parts, num_steps)
        work.plan(ahead.rates, ahead.first)
        steps = StaticSteps(work, feed, self._parts.parameters[0])
        self._program = Program(steps, _touched(self._parts, work), keeps_outputs)
        self._places = self._find()
        return self._program

    def _find(self) -> list[int]:
        """Where a graph finds the model and what it draws from."""
        model = self._parts.model
        tensors = [*self._parts.parameters, *model.buffers()]
        return [*(tensor.data_ptr() for tensor in tensors), *(id(stream) for stream in streams_of(model))]

    def _mirror(self, work: AloneWork) -> None:
        """Let torch's ``optimizer.state`` show what is remembered; anew after somebody else has put something there."""
        if not work.stacked.buffers_of_rows():
            return
        state, parameters = self._parts.optimizer.state, self._parts.parameters
        if not self._mirrored or any(
            state.get(parameter) is not own for parameter, own in zip(parameters, self._mirrored, strict=True)
        ):
            work.stacked.mirror()
            self._mirrored = [state.get(parameter) for parameter in parameters]


def why_not_graphed(parts: StepParts, batches: Batches, accumulate_steps: int) -> str | None:
    """Why a training's steps cannot be CUDA graphs; None if they can. Steps are tried out, and leave no trace.

    Args:
        parts: what a step needs.
        batches: the training rows.
        accumulate_steps: batches whose gradients make one update.
    """
    if not isinstance(batches, TensorBatches):
        return "its rows come from a DataLoader, or are the same few in every epoch"
    if not batches.inputs.is_cuda:
        return "CUDA graphs need a CUDA device"
    return why_not_repeated(parts, batches, accumulate_steps)


def why_not_repeated(parts: StepParts, batches: TensorBatches, accumulate_steps: int) -> str | None:
    """As ``why_not_graphed``, for rows on any device.

    Args:
        parts: as there.
        batches: likewise.
        accumulate_steps: likewise.
    """
    if parts.precision.scaler is not None:
        return "trainer.precision=fp16 decides on the host which updates are left out"
    # Matrix products in bf16 are operations like any others.
    plain = replace(parts, precision=replace(parts.precision, autocast=None))
    if (reason := why_only_by_torch(plain)) is not None:
        return reason
    if any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in parts.parameters):
        return "there are hooks on the model's parameters"
    if (reason := stacking_problem(parts.optimizer)) is not None:
        return reason
    return _why_not_static(parts, batches, accumulate_steps)


def _why_not_static(parts: StepParts, batches: TensorBatches, accumulate_steps: int) -> str | None:
    feed = AloneFeed(batches, accumulate_steps)
    work = AloneWork(parts, feed.num_whole + bool(feed.rest))
    steps = StaticSteps(work, feed, parts.parameters[0])
    batches.epoch(0)
    work.plan([float(parts.optimizer.param_groups[0]["lr"])] * steps.num_steps, 0)
    with _training_on(parts.model, batches.inputs.device):
        return why_not_recorded(steps, _touched(parts, work))


def _touched(parts: StepParts, work: AloneWork) -> Touched:
    tensors = [*parts.parameters, *work.stacked.tensors()]
    return Touched(parts.model, tensors, streams_of(parts.model), parts.parameters)


@contextmanager
def _training_on(model: nn.Module, device: torch.device) -> Iterator[None]:
    """While it lasts, the model is as training will have it: in that mode, with its random streams on the device."""
    found = [(layer, getattr(layer, "generator", None)) for layer in model.modules()]
    elsewhere = [(layer, own) for layer, own in found if isinstance(own, torch.Generator) and own.device != device]
    stream, was_training = torch.Generator(device), model.training
    for layer, _ in elsewhere:
        layer.__dict__["generator"] = stream
    model.train()
    try:
        yield
    finally:
        model.train(was_training)
        for layer, own in elsewhere:
            layer.__dict__["generator"] = own
