"""One training under way: its parts, how far it is, and what happens between the steps."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from nnlab.callback.base import FitView
from nnlab.data.stream.streamed import Streamed
from nnlab.trainer.batches import Batches, Placed, Weighted
from nnlab.trainer.divergence import ADVICE, LastFinite, first_non_finite, floating, is_finite
from nnlab.trainer.engine import Ahead, Engine
from nnlab.trainer.evaluation import Evaluator, read
from nnlab.trainer.folded import Folded, scores
from nnlab.trainer.interrupt import ENDINGS, Interrupt
from nnlab.trainer.plan import Cadence, Plan, Progress
from nnlab.trainer.record import EpochRecord
from nnlab.trainer.result import FitResult, Row, scalars_of
from nnlab.trainer.sharing import Agreed
from nnlab.trainer.sinks import Sinks
from nnlab.trainer.state import TrainingState, copy_of
from nnlab.trainer.step import StepParts
from nnlab.trainer.stream_batches import StreamBatches
from nnlab.trainer.watchers import Watchers


@dataclass
class Best:
    """The evaluation that the monitored metric chose.

    Args:
        row: what ``metrics.csv`` got then.
        state: the model's state then.
    """

    row: Row
    state: dict[str, Tensor]


@final
@dataclass
class Fitting:
    """What the loop works on.

    Args:
        parts: what a step needs.
        engine: does the steps.
        batches: the training rows.
        accumulate_steps: batches whose gradients make one update.
        plan: how long it runs.
        evaluator: the metrics.
        splits: the other splits as (inputs, target) on the device, or on disk, such as ``valid``.
        state: what decides how it goes on.
        sinks: where it writes.
        watchers: the callbacks.
        view: what they may see.
        cadence: when it saves.
        interrupt: signals that ask it to end.
        ended: status and reason of a training that is over, whatever its plan.
        pause_after: the step from which on it pauses at its next evaluation; None to go on.
    """

    parts: StepParts
    engine: Engine
    batches: Batches
    accumulate_steps: int
    plan: Plan
    evaluator: Evaluator
    splits: Mapping[str, Placed]
    state: TrainingState
    sinks: Sinks
    watchers: Watchers
    view: FitView
    cadence: Cadence
    interrupt: Interrupt | Agreed
    progress: Progress = field(default_factory=Progress)
    record: EpochRecord = field(default_factory=EpochRecord)
    history: list[Row] = field(default_factory=list)
    best: Best | None = None
    diverged_at: int | None = None
    ended: tuple[str, str] | None = None
    pause_after: int | None = None

    def __post_init__(self) -> None:
        #: from the tensors that hold the best state so far, if there are any, to those that hold the one of this moment
        self.keep_best: Callable[[dict[str, Tensor] | None], dict[str, Tensor]] = self._copy_state
        self._base_lrs = [float(group["lr"]) for group in self.parts.optimizer.param_groups]
        self._rates: list[float] = []
        self._columns = [f"{split}/{name}" for name in self.evaluator.names() for split in ("train", *self.splits)]
        self._floating = floating(self.parts.model)
        if isinstance(self.batches, StreamBatches):
            self.record.folded = Folded(self.evaluator, has_loss=False)
        self._start_s = time.monotonic()
        self._stopped_s: float | None = None
        self._before_s = 0.0  # of earlier processes
        self._epoch_began = Progress()
        self._remembered_at = Progress()
        self._epoch_is_over = True
        self._last_row = (0, self._start_s)
        # Whether nothing was done since an earlier process's state was taken over.
        self._is_as_found = False

    def goes_on(self) -> bool:
        """Whether there is a step to do, or an epoch whose steps are done to bring to its end."""
        return not self.plan.is_done(self.progress) or not self._epoch_is_over

    def rebind(self) -> None:
        """After the model's parameters were given other memory: look there from now on."""
        self._floating = floating(self.parts.model)
        self.state.rebind()

    def start_epoch(self) -> None:
        """Before the first step of an epoch: remember where it starts, in case it has to be gone through again."""
        self.begin_epoch()
        self.state.remember()
        self.engine.start_epoch(self._ahead(self.record))

    def _ahead(self, record: EpochRecord | None) -> Ahead:
        first = self.progress.step - self._epoch_began.step
        rates = self._rates_of_epoch(self.plan.steps_per_epoch - first) if self.engine.plans_rates else []
        return Ahead(self._epoch_began.epoch, first, rates, record)

    def _rates_of_epoch(self, num_steps: int) -> list[float]:
        rates = self.rates_ahead(num_steps)
        return rates if isinstance(rates, list) else [rates] * num_steps

    def begin_epoch(self) -> None:
        """Before the first step of an epoch, where somebody else remembers the state."""
        here = Progress(self.progress.epoch, self.progress.step, self.progress.batch)
        if self._epoch_is_over:
            self._epoch_began = here
            self.record.start(self._keeps_outputs())
        self._epoch_is_over = False
        self._remembered_at = here

    def do_steps(self) -> bool:
        """Do the next steps of the epoch under way: as many as there is nothing to be looked at between.

        Returns:
            False if there are none left, of the epoch or of all.
        """
        most = self._most_steps()
        if not most:
            return False
        if not self.engine.plans_rates:
            self.set_learning_rate()
        number = self.engine.steps(most)
        if not number:
            return False  # a DataLoader had less than its length said
        if self.engine.plans_rates:
            progress = self.progress
            self.set_rate(self._rate_at(progress.step + number - 1, progress.epoch))
        self.count_steps(number)
        self.watchers.step_ended(self.view, self.progress.step, self.record.last_loss)
        return True

    def _most_steps(self) -> int:
        progress, plan = self.progress, self.plan
        left = min(plan.steps_per_epoch - (progress.step - self._epoch_began.step), plan.num_steps - progress.step)
        if self.watchers.watch_steps:
            return min(left, 1)
        before = self.cadence.steps_before(progress)
        return left if before is None else min(left, before)

    def set_learning_rate(self) -> None:
        """Before a step: give the optimizer the rate that the schedule wants."""
        schedule, progress = self.state.schedule, self.progress
        self.set_rates([schedule.learning_rate(base_lr, progress.step, progress.epoch) for base_lr in self._base_lrs])

    def _rate_at(self, step: int, epoch: int) -> float:
        return self.state.schedule.learning_rate(self._base_lrs[0], step, epoch)

    def set_rate(self, rate: float) -> None:
        """Give every group of parameters this learning rate."""
        self.set_rates([rate] * len(self._base_lrs))

    def set_rates(self, rates: list[float]) -> None:
        """Give the optimizer's groups of parameters these learning rates."""
        if rates == self._rates:
            return
        self._rates = rates
        for group, rate in zip(self.parts.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def rates_ahead(self, num_steps: int) -> float | list[float]:
        """The learning rates of the next steps of the epoch under way, for an optimizer whose groups share one.

        Args:
            num_steps: how many; none beyond the epoch.

        Returns:
            One for each step, or the one that all have.
        """
        schedule, progress, base_lr = self.state.schedule, self.progress, self._base_lrs[0]
        if schedule.unit == "epoch" and progress.step >= schedule.warmup_steps:
            return schedule.learning_rate(base_lr, progress.step, progress.epoch)
        return [schedule.learning_rate(base_lr, progress.step + i, progress.epoch) for i in range(num_steps)]

    def count_steps(self, number: int) -> None:
        """Count steps that were done, none of them beyond the epoch under way."""
        self._is_as_found = False
        progress = self.progress
        progress.step += number
        progress.batch += number
        if progress.batch == self.plan.steps_per_epoch:
            progress.epoch += 1
            progress.batch = 0

    def end_epoch(self) -> tuple[str, str] | None:
        """After the last step of an epoch, or the last of all: evaluate and save if it is time to.

        Returns:
            As ``judge``.
        """
        ending = self.judge(self.measure()) if self.is_evaluated() else None
        self.epoch_ended()
        if ending is None and not self.plan.is_done(self.progress) and self.cadence.is_due(self.progress):
            self.write()
        return ending

    def epoch_ended(self) -> None:
        """The epoch is over, and evaluated if it is one that is."""
        self._epoch_is_over = True

    def measure(self) -> dict[str, float]:
        """The metrics of the epoch's own outputs, and of the other splits in evaluation mode, by name."""
        if not self.record.keeps_outputs:
            return self._measured([])
        folded = self.record.folded
        if folded is not None:
            return self._measured(folded.values())
        return self._measured(self.evaluator.of_outputs(*self.record.outputs(), self.record.weight()))

    def judge(self, measured: Mapping[str, float]) -> tuple[str, str] | None:
        """After an epoch: one row of metrics.

        Args:
            measured: as ``measure`` gives it.

        Returns:
            Status and reason if the training ends here: a callback asks for it, the validation loss overflowed, or it
            is time to pause. A row that overflowed is discarded.
        """
        row = self._row({**measured, "train/loss": self.record.mean_loss(self.record.losses())})
        if not all(math.isfinite(row[key]) for key in row if key.endswith("/loss")):
            return "diverged", self._overflow("the validation loss was no longer a finite number", self.progress.step)
        monitor = self.view.monitor
        self.state.schedule.observe(float(row[monitor]), self.view.grows(monitor))
        reason = self._publish(row)
        if reason is not None:
            return "early_stopped", reason
        step = self.progress.step
        if self.pause_after is not None and step >= self.pause_after and not self.plan.is_done(self.progress):
            return "preempted", f"paused after step {step}"
        return None

    def evaluate_untrained(self) -> None:
        """One row for a training of no steps: every split in evaluation mode."""
        if isinstance(self.batches, StreamBatches):
            loss, *metrics = self._scores(self.batches.rows)
        else:
            # Once: a DataLoader gives its rows in another order the next time.
            batches = list(self.batches.epoch(0))
            inputs = torch.cat([batch.inputs for batch in batches])
            target = torch.cat([batch.target for batch in batches])
            weights = [batch.weight for batch in batches if batch.weight is not None]
            rows: Placed = Weighted(inputs, target, torch.cat(weights)) if weights else (inputs, target)
            loss, *metrics = self._scores(rows)
        self._publish(self._row(self._measured(metrics) | {"train/loss": read([loss])[0]}))

    def save_is_due(self) -> bool:
        """Whether the state is written after this step; where an epoch ends with it, ``end_epoch`` decides."""
        is_last = self.progress.batch == 0 or self.plan.is_done(self.progress)
        return not is_last and self.cadence.is_due(self.progress)

    def save(self) -> bool:
        """Write the state, unless it is not worth keeping.

        Returns:
            False if the loss is no longer finite: nothing was written.
        """
        if self.has_diverged():
            return False
        self.write()
        return True

    def write(self) -> None:
        """Write the state as it is, and the best one."""
        best = None
        state = self.snapshot()
        if self.best is not None:
            best_step = int(self.best.row["step"])
            best = (best_step, {"model": self.best.state} if best_step != self.progress.step else state)
        self.sinks.checkpoint(self.progress.step, state, best)
        if not self.sinks.is_brief:
            self.write_result()
            self.sinks.manifest(final=False)
        self.cadence.saved()

    def snapshot(self) -> dict[str, Any]:
        """Everything that decides how the training goes on, but for the model's best state."""
        return self.state.take() | {
            "progress": vars(self.progress).copy(),
            "epoch_began": vars(self._epoch_began).copy(),
            "epoch_is_over": self._epoch_is_over,
            "record": self.record.state_dict(keeps_all=self.has_record_to_save),
            "callbacks": self.watchers.state_dict(),
            "ended": self.ended,
            "diverged_at": self.diverged_at,
            "best": self.best.row if self.best is not None else None,
            "seconds": self._seconds(),
            "tables": self.sinks.num_rows(),
        }

    def end(self, status: str, reason: str) -> None:
        """After the last step: write the state, and whether it is over whatever the plan.

        Args:
            status: as ``run_loop`` returns it.
            reason: likewise.
        """
        if self._is_as_found:
            return  # writing it again could only endanger what is there
        if status in ("early_stopped", "diverged") or self.plan.num_steps == 0:
            self.ended = (status, reason)
        self.write()

    def leave(self, reason: str) -> None:
        """Train no further than it is, for good.

        Args:
            reason: why, in words.
        """
        if self.ended is None:
            self.ended = ("early_stopped", reason)
            self._is_as_found = False

    def resume(self, state: Mapping[str, Any], best: Mapping[str, Tensor] | None, history: Sequence[Row]) -> None:
        """Go to where an earlier process was.

        Args:
            state: what ``write`` wrote.
            best: the model's state at the best evaluation so far, or None.
            history: the rows of ``metrics.csv`` until then.
        """
        self.state.put_back(dict(state))
        for name in ("epoch", "step", "batch"):
            setattr(self.progress, name, int(state["progress"][name]))
            setattr(self._epoch_began, name, int(state["epoch_began"][name]))
        self._epoch_is_over = bool(state["epoch_is_over"]) and (
            self.progress.batch == 0 or self.plan.is_done(self.progress)
        )
        self.record.start(self._keeps_outputs())
        self.record.load_state_dict(state["record"], self._floating[0])
        self.history[:] = history
        if state["best"] is not None and best is not None:
            self.best = Best(state["best"], {name: tensor.clone() for name, tensor in best.items()})
        self.watchers.load_state_dict(state["callbacks"])
        ended = state["ended"]
        if ended is not None and (ended[0] != "completed" or self.plan.num_steps == 0):
            self.ended = (str(ended[0]), str(ended[1]))
        self.diverged_at = state["diverged_at"]
        self._is_as_found = True
        self._before_s = float(state["seconds"])
        self._last_row = (self.progress.step, time.monotonic())

    def write_result(self) -> None:
        """Write how it went so far."""
        self.sinks.result(self.result("running", "").to_json(self.sinks.name))

    def result(self, status: str, reason: str) -> FitResult:
        """How it went so far.

        Args:
            status: as in ``result.json``.
            reason: why it ended, in words.
        """
        return FitResult(
            status=status,
            reason=reason,
            epochs=self.progress.epoch,
            steps=self.progress.step,
            seconds=self._seconds(),
            history=self.history,
            best=self.best.row if self.best else None,
            monitor=self.view.monitor,
            growing=tuple(sorted(self.view.growing)),
            diverged_at=self.diverged_at,
            signal=self.interrupt.received,
            notes=self.sinks.notes,
        )

    def start_clock(self) -> None:
        """It begins: what came before, such as loggers and others of its stack that were started, is no time of it."""
        self._start_s = time.monotonic() - self._before_s
        self._last_row = (self.progress.step, time.monotonic())

    def stop_clock(self) -> None:
        """It is over: what follows, such as bringing others of its stack to their ends, is no time of training."""
        self._stopped_s = time.monotonic()

    def _seconds(self) -> float:
        return (self._stopped_s or time.monotonic()) - self._start_s

    def has_diverged(self) -> bool:
        """Whether a loss of this epoch, or what its last update made of the parameters, is not finite."""
        return self._first_bad(self.record.losses()) is not None or not is_finite(self._floating)

    def diverged(self) -> tuple[str, str]:
        """Find the step, go back to the last finite parameters, and say what to do."""
        losses = self.record.losses()
        index = self._first_bad(losses)
        kept = self._go_back_to(len(losses) if index is None else index)
        began, progress = self._epoch_began, self.progress
        progress.epoch, progress.step, progress.batch = began.epoch, began.step + kept, kept
        if index is None:
            return "diverged", self._overflow("the parameters were no longer finite numbers", began.step + kept + 1)
        self.diverged_at = began.step + index + 1
        return "diverged", f"the loss was {losses[index]} at step {self.diverged_at}; {ADVICE}"

    def interrupted(self) -> tuple[str, str]:
        """The ending for a signal."""
        received = self.interrupt.received
        assert received is not None
        return ENDINGS[received][0], f"{received.name} after step {self.progress.step}"

    def _first_bad(self, losses: Sequence[float]) -> int | None:
        return first_non_finite(losses, skips_overflow=self.parts.precision.scaler is not None)

    def _overflow(self, what: str, step: int) -> str:
        self.diverged_at = step
        return f"{what} after step {step}; {ADVICE}"

    def _go_back_to(self, num_steps: int) -> int:
        """Repeat the epoch's first steps, fewer if the parameters overflow before; returns how many were kept.

        Those that an earlier process has done were finite, and are not repeated.
        """
        self.state.go_back()
        if not self.batches.repeatable:
            self.sinks.note("a DataLoader cannot be repeated: the parameters kept are those of the epoch's start")
            return 0
        self.progress.epoch, self.progress.step = self._epoch_began.epoch, self._remembered_at.step
        last_finite = LastFinite(self.parts.model)
        self._rates = []
        first = self._remembered_at.step - self._epoch_began.step
        self.engine.start_epoch(self._ahead(None))
        for kept in range(first, num_steps):
            self.set_learning_rate()
            self.engine.steps(1)
            self.progress.step += 1
            if not last_finite.check():
                return kept
        return num_steps

    @property
    def epoch_to_do(self) -> int:
        """The number of the epoch whose steps come next, from 0."""
        return self.progress.epoch if self._epoch_is_over else self._epoch_began.epoch

    @property
    def epoch_under_way(self) -> int:
        """The number of the epoch that was begun last, from 0."""
        return self._epoch_began.epoch

    @property
    def steps_into_epoch(self) -> int:
        """Steps done in the epoch under way; 0 between two."""
        return 0 if self._epoch_is_over else self.progress.step - self._epoch_began.step

    @property
    def has_record_to_save(self) -> bool:
        """Whether a resumed training needs the record of the epoch that was begun last."""
        return not self._epoch_is_over or self.progress.batch != 0

    def is_evaluated(self) -> bool:
        """Whether an evaluation follows the epoch under way."""
        return self.plan.evaluates(self._epoch_began.epoch)

    def completed(self) -> tuple[str, str]:
        """The ending of a training whose plan is done."""
        return (
            "completed",
            "all epochs are done" if self.progress.epoch == self.plan.max_epochs else "all steps are done",
        )

    def _keeps_outputs(self) -> bool:
        return bool(self.evaluator.metrics) and self.is_evaluated()

    def _measured(self, of_training: Sequence[Tensor]) -> dict[str, float]:
        names = self.evaluator.names()
        scalars = list(of_training)
        keys = [f"train/{name}" for name in names[1:]] if of_training else []
        for split, rows in self.splits.items():
            scalars += self._scores(rows)
            keys += [f"{split}/{name}" for name in names]
        return dict(zip(keys, read(scalars), strict=True))

    def _scores(self, rows: Placed) -> list[Tensor]:
        sharing, parts = self.parts.sharing, self.parts
        if sharing is not None and not isinstance(rows, Streamed):
            weight = rows.weight if isinstance(rows, Weighted) else None
            prediction = sharing.predict(parts.model, rows[0], parts.precision)
            return self.evaluator.scores(prediction, rows[1], weight)
        return scores(self.evaluator, self.parts.model, rows, self.parts.precision, self._floating[0].device)

    def _row(self, measured: Mapping[str, float]) -> Row:
        return {
            "epoch": self.progress.epoch,
            "step": self.progress.step,
            "time_s": round(time.monotonic() - self._start_s, 6),
            **{key: measured[key] for key in self._columns if key in measured},
            "optim/lr": float(self.parts.optimizer.param_groups[0]["lr"]),
        }

    def _publish(self, row: Row) -> str | None:
        self._is_as_found = False
        self._keep_if_best(row)
        self.history.append(row)
        scalars = scalars_of(row)
        step_before, moment_before = self._last_row
        self._last_row = (self.progress.step, time.monotonic())
        elapsed = self._last_row[1] - moment_before
        scalars["throughput/steps_per_s"] = (self.progress.step - step_before) / elapsed if elapsed else 0.0
        self.sinks.row(row, scalars, time.time())
        return self.watchers.evaluated(self.view, self.progress.epoch, self.progress.step, row)

    def _keep_if_best(self, row: Row) -> None:
        value = float(row[self.view.monitor])
        if math.isnan(value):
            return
        monitor = self.view.monitor
        if self.best is not None and not self.view.gain(monitor, value, float(self.best.row[monitor])) > 0:
            return
        self.best = Best(row, self.keep_best(self.best.state if self.best is not None else None))

    def keep_own_best(self) -> None:
        """Keep the best state in memory of one's own, where somebody else has kept it."""
        if self.best is not None:
            self.best = Best(self.best.row, copy_of(self.best.state))
        self.keep_best = self._copy_state

    def _copy_state(self, before: dict[str, Tensor] | None) -> dict[str, Tensor]:
        state = self.parts.model.state_dict()
        if before is None:
            return copy_of(state)  # type: ignore[no-any-return]
        torch._foreach_copy_(list(before.values()), list(state.values()))
        return before
