"""Several trainings from one call: those that fit together as stacks, the others one after another."""

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from nnlab.data.stream.streamed import Streamed
from nnlab.loss.base import Loss
from nnlab.model.stacked import same_layers, settings_of
from nnlab.optim.stacked import stacking_key
from nnlab.trainer.batches import Data, Placed, TensorBatches
from nnlab.trainer.fitting import Fitting
from nnlab.trainer.interrupt import Interrupt
from nnlab.trainer.loop import run_loop
from nnlab.trainer.profiled import Profiled
from nnlab.trainer.result import FitResult
from nnlab.trainer.resume import Found
from nnlab.trainer.stack import Stack
from nnlab.trainer.step import why_only_by_torch
from nnlab.trainer.stream_batches import StreamBatches
from nnlab.trainer.trainer import Trainer

log = logging.getLogger("nnlab")


@dataclass(frozen=True)
class Task:
    """One training to do.

    Args:
        trainer: fresh.
        train: as for ``Trainer.fit``, tensors.
        valid: likewise.
        resume: likewise.
        found: where to go on, if it is not the newest checkpoint in the trainer's folder.
        stacked: whether to train it in a stack, be it of one, if it can be.
        pause_after: the step from which on it pauses at its next evaluation; None to go on.
        leave: why it trains no further than it is; None if it does.
    """

    trainer: Trainer
    train: Data
    valid: Data | None
    resume: bool = False
    found: Found | None = None
    stacked: bool = False
    pause_after: int | None = None
    leave: str | None = None


#: told how the training with a number ended: its result, or the error that ended it
Ended = Callable[[int, FitResult | None, Exception | None], None]


def fit_together(
    tasks: Sequence[Task], ended: Ended, save: Callable[[Mapping[int, Fitting]], None] | None = None
) -> None:
    """Train several models, those that fit together as one stack. Each has the result that it would have alone.

    Loggers are left open.

    Args:
        tasks: what to train.
        ended: told as soon as each is done; an error in one ends no other.
        save: writes the state of the stack under way whenever it is time, by the tasks' numbers; None if each shall be
            lost that is not done when the process ends.
    """
    with Interrupt() as interrupt, tasks[0].trainer.settings():
        together = _Together(tasks, ended, save)
        together.begin(interrupt)
        for numbers in together.groups():
            together.train(numbers)


@final
class _Together:
    def __init__(
        self, tasks: Sequence[Task], ended: Ended, save: Callable[[Mapping[int, Fitting]], None] | None
    ) -> None:
        self._tasks = tasks
        self._ended = ended
        self._save = save
        self._fittings: dict[int, Fitting] = {}

    def begin(self, interrupt: Interrupt) -> None:
        """Put every training together; one that cannot be has ended with its error."""
        for number, task in enumerate(self._tasks):
            trainer = task.trainer
            try:
                fitting = trainer.begin(task.train, task.valid, interrupt, in_stack=task.stacked)
                with trainer.own_randomness(fitting):
                    trainer.start(fitting, task.resume, task.found)
                    if task.found is not None:
                        trainer.seed_own_streams()  # a stack draws nothing from them, and saves whatever was there
                fitting.pause_after = task.pause_after
                if task.leave is not None:
                    fitting.leave(task.leave)
            except Exception as error:
                self._ended(number, None, error)
            else:
                self._fittings[number] = fitting

    def groups(self) -> list[list[int]]:
        """The numbers of those that can share a stack; one that cannot is by itself, and its notes say why."""
        groups: dict[str, list[int]] = {}
        for number, fitting in self._fittings.items():
            is_stacked = self._tasks[number].stacked
            reason = why_alone(fitting) if is_stacked else None
            if reason is not None and self._tasks[number].leave is None:
                _note_alone(fitting, reason)
            groups.setdefault(place_of(fitting) if is_stacked and reason is None else f"alone {number}", []).append(
                number
            )
        return list(groups.values())

    def train(self, numbers: Sequence[int]) -> None:
        """Train those with these numbers to their ends."""
        waiting = set(numbers)

        def left(place: int, status: str, reason: str) -> None:
            waiting.discard(numbers[place])
            self._conclude(numbers[place], status, reason)

        def failed(place: int, error: Exception) -> None:
            waiting.discard(numbers[place])
            log.info("%s", "".join(traceback.format_exception(error)))
            self._fail(numbers[place], error)

        def save(live: Mapping[int, Fitting]) -> None:
            if self._save is not None:
                self._save({numbers[place]: fitting for place, fitting in live.items()})

        try:
            stack = self._stack(numbers, left, failed, save)
            if stack is not None:
                stack.run()
                return
        except Exception as error:  # what concerns the whole stack, such as memory that runs out
            log.info("%s", traceback.format_exc())
            for number in sorted(waiting):
                self._fail(number, error)
            return
        for number in numbers:
            self._alone(number)

    def _stack(
        self,
        numbers: Sequence[int],
        left: Callable[[int, str, str], None],
        failed: Callable[[int, Exception], None],
        save: Callable[[Mapping[int, Fitting]], None],
    ) -> Stack | None:
        """The stack of those with these numbers; None if they are trained alone."""
        if not self._tasks[numbers[0]].stacked or why_alone(self._fittings[numbers[0]]) is not None:
            return None
        fittings = [self._fittings[number] for number in numbers]
        trainers = [self._tasks[number].trainer for number in numbers]
        is_recorded = all(trainer.device.type == "cuda" and trainer.compile == "step" for trainer in trainers)
        try:
            return Stack(fittings, left, failed, save, is_recorded)
        except ValueError as error:
            for fitting in fittings:
                fitting.rebind()
                _note_alone(fitting, str(error))
            return None

    def _alone(self, number: int) -> None:
        trainer, fitting = self._tasks[number].trainer, self._fittings[number]
        try:
            with trainer.own_randomness(fitting):
                ending = run_loop(fitting)
        except Exception as error:
            self._fail(number, error)
        else:
            self._conclude(number, *ending)

    def _conclude(self, number: int, status: str, reason: str) -> None:
        trainer, fitting = self._tasks[number].trainer, self._fittings[number]
        try:
            with trainer.own_randomness(fitting):
                fitting.end(status, reason)
            trainer.conclude(fitting)
        except Exception as error:
            self._ended(number, None, error)
        else:
            self._ended(number, fitting.result(status, reason), None)

    def _fail(self, number: int, error: Exception) -> None:
        self._tasks[number].trainer.conclude(self._fittings[number])
        self._ended(number, None, error)


def _note_alone(fitting: Fitting, reason: str) -> None:
    fitting.sinks.note(f"trained alone, not in a stack: {reason}", logging.INFO)


def why_alone(fitting: Fitting) -> str | None:
    """Why a training cannot be part of a stack; None if it can.

    Args:
        fitting: a started training.
    """
    parts = fitting.parts
    if fitting.ended is not None or fitting.plan.num_steps == 0:
        return "no step is left to do"
    if isinstance(fitting.engine, Profiled):
        return "trainer.profile=true times its own steps"
    if (reason := why_only_by_torch(parts)) is not None:
        return reason
    if stacking_key(parts.optimizer) is None:
        return f"{type(parts.optimizer).__name__} has no stacked form"
    if not isinstance(parts.objective.loss, Loss):
        return f"the loss {type(parts.objective.loss).__name__} has no run axis"
    if not isinstance(fitting.batches, TensorBatches | StreamBatches):
        return "its rows come from a DataLoader, or are the same few in every epoch"
    if isinstance(fitting.batches, TensorBatches) and fitting.batches.weight is not None:
        return "its rows have weights"
    if fitting.watchers.watch_steps:
        return f"{', '.join(fitting.watchers.watch_steps)} looks at single steps"
    return None


def place_of(fitting: Fitting) -> str:
    """What trainings must have in common to share a stack, in words.

    Args:
        fitting: a started training.
    """
    parts, batches = fitting.parts, fitting.batches
    assert isinstance(batches, TensorBatches | StreamBatches)
    readout = fitting.evaluator.readout
    moments = (readout.mean, readout.std)
    rows = [(name, _about(own)) for name, own in fitting.splits.items()]
    # Rows on disk are read once for all: then all are in the same epoch.
    epoch = fitting.epoch_to_do if isinstance(batches, StreamBatches) else None
    return repr(
        (
            same_layers(parts.model),
            _kind(parts.objective.loss),
            (parts.objective.penalty.l1, parts.objective.penalty.l2),
            [_kind(metric) for metric in fitting.evaluator.metrics],
            (readout.task, readout.output, readout.negative, [m if m is None else m.shape for m in moments]),
            (batches.about, rows, epoch),
            (fitting.accumulate_steps, parts.precision.dtype, fitting.cadence.number, fitting.cadence.unit),
            fitting.steps_into_epoch,
        )
    )


def _about(rows: Placed) -> object:
    return rows.stored if isinstance(rows, Streamed) else [tensor.shape for tensor in rows]


def _kind(thing: object) -> tuple[str, str, dict[str, str]]:
    return type(thing).__module__, type(thing).__qualname__, settings_of(thing)
