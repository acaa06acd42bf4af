"""Several trainings as one: the same loop, with every step computed for all of them at once."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast, final

import numpy as np
import torch
from torch import Tensor

from nnlab.data.stream.streamed import Streamed
from nnlab.metric.readout import Readout
from nnlab.trainer.batches import Batch, TensorBatches, place, updates
from nnlab.trainer.evaluation import Evaluator
from nnlab.trainer.fitting import Fitting
from nnlab.trainer.folded import ROWS_OF_PART, Folded
from nnlab.trainer.plan import Progress
from nnlab.trainer.stack_best import StackedBest
from nnlab.trainer.stack_record import StackRecord
from nnlab.trainer.stack_update import Updates, kind_of
from nnlab.trainer.stacked_batches import StackedBatches, StackedStream, by_run
from nnlab.trainer.stacked_model import StackedModel
from nnlab.trainer.static_stack import StackGraphs
from nnlab.trainer.step import accumulate
from nnlab.trainer.steps_ahead import StepsAhead
from nnlab.trainer.stream_batches import StreamBatches

#: share of rows in use below which a stack is made anew without the others
LEAST_USE = 0.7
#: steps that recorded ones do at most before signals and the clock are looked at
MOST_STEPS = 256


@final
class Stack:
    """K trainings whose steps are computed together. Each has its own order, rates, optimizer, length and ending.

    A training that ends leaves: its model and optimizer get memory of their own, as if it had been trained alone.
    What becomes of its row concerns nobody, and once enough rows are free, the stack shrinks.

    Args:
        fittings: started trainings, all at the same place in their epochs; see ``nnlab.trainer.together.place_of``.
        left: told of each that ends, with its place in ``fittings``, its status and the reason.
        failed: told of each that an error of its own ended, such as one in its schedule.
        save: writes the state of those still in it, by their places; None where the folder cannot be written.
        is_recorded: whether steps are done as CUDA graphs, many in a replay, where they can be.

    Raises:
        ValueError: if the models cannot be computed together, with the reason.
    """

    def __init__(
        self,
        fittings: Sequence[Fitting],
        left: Callable[[int, str, str], None],
        failed: Callable[[int, Exception], None],
        save: Callable[[Mapping[int, Fitting]], None] | None = None,
        is_recorded: bool = False,
    ) -> None:
        self._is_recorded = is_recorded
        self._left, self._failed = left, failed
        self._save = save
        self._places = {id(fitting): place for place, fitting in enumerate(fittings)}
        first = fittings[0]
        self._interrupt, self._cadence, self._precision = first.interrupt, first.cadence, first.parts.precision
        self._accumulate_steps = first.accumulate_steps
        self._record, self._first_step = StackRecord(keeps_outputs=False), 0
        # Rows with the same kind of optimizer are neighbours, so that one update serves all of them.
        self._build(sorted(fittings, key=lambda fitting: kind_of(fitting.parts.optimizer)))
        self._model.check(self._batches.sources[0].first_rows[0])

    def run(self) -> None:
        """Train until every one has ended."""
        for fitting in self._live():
            fitting.start_clock()
            ending = fitting.ended or (None if fitting.goes_on() else fitting.completed())
            if ending is not None:
                self._leave(fitting, ending)
        while self._live():
            self._shrink()
            self._start_epoch()
            while self._ahead and self._live() and not self._interrupt.received:
                self._some_steps()
            if self._interrupt.received:
                self._end_interrupted()
            elif self._live():
                self._end_epoch(self._live())

    def _live(self) -> list[Fitting]:
        return [fitting for fitting in self._rows if fitting is not None]

    def _build(self, fittings: Sequence[Fitting]) -> None:
        self._rows: list[Fitting | None] = list(fittings)
        self._row_of = {id(fitting): row for row, fitting in enumerate(fittings)}
        first = fittings[0]
        sources = [cast(TensorBatches | StreamBatches, f.batches) for f in fittings]
        sizes = [len(rows) if isinstance(rows, Streamed) else len(rows[0]) for rows in first.splits.values()]
        smallest = min([sources[0].smallest, *sizes])
        self._model = StackedModel([f.parts.model for f in fittings], first.parts.objective, smallest)
        # Behind the runs' rows are some that are nobody's; they are fed as the last run is.
        of_rows = [*fittings, *[fittings[-1]] * (self._model.num_rows - len(fittings))]
        for fitting in fittings:
            fitting.rebind()
        weights = self._model.weights
        self._updates = Updates([f.parts for f in fittings], weights)
        self._batches = _fed_together([cast(TensorBatches | StreamBatches, f.batches) for f in of_rows])
        self._splits = {name: _by_run([f.splits[name] for f in of_rows]) for name in first.splits}
        limits = [f.parts.grad_clip_norm or math.inf for f in fittings]
        self._clip_norms = weights.new_tensor(limits).unsqueeze(1) if min(limits) < math.inf else None
        self._is_unclipped = weights.new_tensor(limits).unsqueeze(1).isinf()
        self._evaluator = _evaluator_of([f.evaluator for f in of_rows])
        self._best = StackedBest(self._model, fittings)
        self._kept: list[Tensor] = []
        self._graphs = (
            StackGraphs(self._model, self._updates, self._compute, self._gradient)
            if self._is_recorded and isinstance(self._batches, StackedBatches)
            else None
        )

    def _shrink(self) -> None:
        """Go on without the rows of those that have left, if it is worth it."""
        live = self._live()
        if len(live) <= LEAST_USE * len(self._rows):
            self._updates.mirror()
            self._build(live)

    # an epoch

    def _start_epoch(self) -> None:
        live = self._live()
        for fitting in live:
            fitting.begin_epoch()
        self._remember()
        self._first_step = live[0].steps_into_epoch
        groups = self._groups_of_epoch(live)
        self._record = StackRecord(any(fitting.record.keeps_outputs for fitting in live))
        num_steps = len(self._ahead)
        self._rates = np.empty((num_steps, len(self._rows)))
        for row, of_row in enumerate(self._rows):
            self._rates[:, row] = self._rates_ahead(of_row, num_steps)
        if self._graphs is not None:
            self._graphs.start_epoch(groups, self._rates, self._first_step, self._record.keeps_outputs)
            self._name_problem(live)
        if self._graphs is None:
            self._updates.plan_rates(self._rates)

    def _groups_of_epoch(self, live: Sequence[Fitting]) -> list[list[Batch]]:
        """Look ahead to the steps that are still to be done; returns all of the epoch where rows are in memory."""
        if isinstance(self._batches, StackedStream):
            first = self._first_step * self._accumulate_steps
            stream = self._batches.epoch(live[0].epoch_under_way, first)
            number = live[0].plan.steps_per_epoch - self._first_step
            self._ahead = StepsAhead(updates(stream, self._accumulate_steps), number)
            return []
        epochs = [0 if fitting is None else fitting.epoch_under_way for fitting in self._rows]
        epochs += epochs[-1:] * (self._model.num_rows - len(epochs))
        groups = list(updates(self._batches.epoch(epochs), self._accumulate_steps))
        for batches in groups[: self._first_step]:
            for fitting in live:
                row = self._row_of[id(fitting)]
                fitting.record.pass_over([batch.target[row] for batch in batches])
        self._ahead = StepsAhead(iter(groups[self._first_step :]), len(groups) - self._first_step)
        return groups

    def _name_problem(self, live: Sequence[Fitting]) -> None:
        if self._graphs is not None and self._graphs.problem is not None:
            for fitting in live:
                fitting.sinks.note(f"the stack's steps are no CUDA graphs: {self._graphs.problem}", logging.INFO)
            self._graphs, self._is_recorded = None, False

    def _rates_ahead(self, fitting: Fitting | None, num_steps: int) -> float | list[float]:
        if fitting is not None:
            try:
                return fitting.rates_ahead(num_steps)
            except Exception as error:
                self._fail(fitting, error)
        return 0.0

    def _some_steps(self) -> None:
        """Steps until the epoch or a training ends, a signal comes, or it is time to save."""
        live = self._live()
        num_steps = min(len(self._ahead), *(f.plan.num_steps - f.progress.step for f in live))
        number = 0
        while number < num_steps and not self._interrupt.received:
            number += self._do_steps(number, num_steps, live[0])
            self._fold(live)
            if self._cadence.is_due(self._place_after(live[0], number)):
                break
        if number:
            if self._graphs is None:
                self._gradient()  # once more: the update has made something else of it, and callbacks look at it
            for fitting in live:
                fitting.set_rate(float(self._rates[len(self._record.sizes) - 1, self._row_of[id(fitting)]]))
                fitting.count_steps(number)
        if not self._ahead or self._interrupt.received:
            return
        done = [fitting for fitting in live if fitting.plan.is_done(fitting.progress)]
        if done:
            self._end_epoch(done)
        if self._cadence.is_due(live[0].progress):
            self._write()

    def _place_after(self, fitting: Fitting, num_steps: int) -> Progress:
        progress = fitting.progress
        return Progress(progress.epoch, progress.step + num_steps, progress.batch + num_steps)

    def _do_steps(self, first: int, end: int, of: Fitting) -> int:
        """The next of those ahead, or as many as can be done without a look at the clock; returns how many."""
        if self._graphs is not None:
            most = self._cadence.steps_before(self._place_after(of, first)) or MOST_STEPS
            number = min(end - first, MOST_STEPS, most)
            self._graphs.run(self._ahead.take(number), self._record)
            return number
        (batches,) = self._ahead.take(1)
        values, predictions = self._compute(batches)
        self._updates.step(self._gradient())
        self._record.add(values, predictions, batches)
        return 1

    def _fold(self, live: Sequence[Fitting]) -> None:
        """Of rows that stay on disk, let no more outputs come together than a part has."""
        if isinstance(self._batches, StackedStream) and self._record.rows_kept >= ROWS_OF_PART:
            for fitting in live:
                self._settle(fitting)
            self._record.forget_outputs()

    def _compute(self, batches: Sequence[Batch]) -> tuple[Tensor, list[Tensor]]:
        self._model.start_step()
        return accumulate(self._gradient_of, batches, row_axis=1)

    def _gradient(self) -> Tensor:
        """The gradient of the last step, [R, P], clipped."""
        grad = self._model.collect()
        if self._clip_norms is not None:
            norms = torch.linalg.vector_norm(grad, dim=1, keepdim=True)
            shares = (self._clip_norms / (norms + 1e-6)).clamp_(max=1)
            grad.mul_(shares.masked_fill_(self._is_unclipped, 1))  # an infinite norm would make NaN of it
        return grad

    def _gradient_of(self, batch: Batch, share: float) -> tuple[Tensor, Tensor]:
        return self._model.add_gradient(batch.inputs, batch.target, self._precision, share)

    def _end_epoch(self, fittings: Sequence[Fitting]) -> None:
        """After the last step of an epoch, or the last of all for some: evaluate, and let go of those that end."""
        well = self._without_diverged(fittings)
        evaluated = [fitting for fitting in well if fitting.is_evaluated()]
        measured = self._measure(evaluated) if evaluated else {}
        endings: dict[int, tuple[str, str] | None] = {}
        for fitting in evaluated:
            try:
                endings[id(fitting)] = fitting.judge(measured[id(fitting)])
            except Exception as error:
                self._fail(fitting, error)
        self._best.copy_improved()
        over = []
        for fitting in well:
            if self._rows[self._row_of[id(fitting)]] is None:
                continue
            fitting.epoch_ended()
            ending = endings.get(id(fitting))
            if ending is None and fitting.plan.is_done(fitting.progress):
                ending = fitting.completed()
            if ending is not None:
                fitting.stop_clock()
                over.append((fitting, ending))
        for fitting, ending in over:
            self._leave(fitting, ending)
        live = self._live()
        if live and not self._ahead and self._cadence.is_due(live[0].progress):
            self._write()

    def _measure(self, fittings: Sequence[Fitting]) -> dict[int, dict[str, float]]:
        """The metrics of each, as ``Fitting.measure`` has them."""
        names = self._evaluator.names()
        scores, keys = [], []
        if self._record.keeps_outputs and isinstance(self._batches, StackedStream):
            scores += self._of_folded(fittings)
            keys += [f"train/{name}" for name in names[1:]]
        elif self._record.keeps_outputs:
            scores += self._evaluator.of_outputs(*self._outputs_of(fittings))
            keys += [f"train/{name}" for name in names[1:]]
        for split, rows in self._splits.items():
            scores += self._scores(rows)
            keys += [f"{split}/{name}" for name in names]
        if not scores:
            return {id(fitting): {} for fitting in fittings}
        columns = torch.stack([score.double() for score in scores], dim=1).tolist()
        return {id(f): dict(zip(keys, columns[self._row_of[id(f)]], strict=True)) for f in fittings}

    def _scores(self, rows: tuple[Tensor, Tensor] | Streamed) -> list[Tensor]:
        """Loss and metrics of a split, a tensor of shape [R] each."""
        if not isinstance(rows, Streamed):
            inputs, target = rows
            return self._evaluator.scores(self._model.predict(inputs), target)
        folded = Folded(self._evaluator, has_loss=True)
        weights = self._model.weights
        for block in rows.blocks(ROWS_OF_PART):
            own = (place(tensor, weights.device, self._precision.dtype) for tensor in block)
            inputs, target = (tensor.expand(self._model.num_rows, *tensor.shape) for tensor in own)
            folded.add([self._model.predict(inputs)], [target.clone()])
        return folded.values()

    def _of_folded(self, fittings: Sequence[Fitting]) -> list[Tensor]:
        """The metrics of the epoch's outputs, a tensor of shape [R] each; those of other rows mean nothing."""
        own = {}
        for fitting in fittings:
            self._settle(fitting)
            folded = fitting.record.folded
            assert folded is not None
            own[self._row_of[id(fitting)]] = folded.values()
        any_row = next(iter(own))
        rows = [own.get(row, own[any_row]) for row in range(self._model.num_rows)]
        return [torch.stack(list(values)) for values in zip(*rows, strict=True)]

    def _outputs_of(self, fittings: Sequence[Fitting]) -> tuple[Tensor, Tensor]:
        """The epoch's predictions [R, N, O] and targets [R, N, …]; those of other rows mean nothing."""
        if not self._first_step:
            return self._record.outputs()
        # The first ones are an earlier process's, which each training's own record has.
        own = {}
        for fitting in fittings:
            self._settle(fitting)
            own[id(fitting)] = fitting.record.outputs()
        rows = [own.get(id(fitting), own[id(fittings[0])]) for fitting in self._rows]
        rows += rows[-1:] * (self._model.num_rows - len(rows))
        outputs, target = (torch.stack([pair[side] for pair in rows]) for side in (0, 1))
        return outputs, target

    # what happens to single ones

    def _without_diverged(self, fittings: Sequence[Fitting]) -> list[Fitting]:
        """Let go of those that have diverged; returns the others."""
        finite = self._model.is_finite()
        well = []
        for fitting in fittings:
            row = self._row_of[id(fitting)]
            self._record.give_losses(row, fitting.record)
            if finite[row] and self._record.is_finite(row):
                well.append(fitting)
            else:
                self._go_back(row)
                self._release(fitting)
                fitting.state.remember()
                try:
                    ending = fitting.diverged()  # which repeats its steps one by one
                except Exception as error:
                    self._failed(self._places[id(fitting)], error)
                else:
                    self._tell(fitting, ending)
        return well

    def _end_interrupted(self) -> None:
        for fitting in self._without_diverged(self._live()):
            self._leave(fitting, fitting.interrupted())

    def _leave(self, fitting: Fitting, ending: tuple[str, str]) -> None:
        if fitting.has_record_to_save:
            self._settle(fitting)
        self._release(fitting)
        self._tell(fitting, ending)

    def _release(self, fitting: Fitting) -> None:
        """Give a training memory of its own."""
        row = self._row_of[id(fitting)]
        self._updates.mirror()
        self._updates.release(row)
        self._model.release(row)
        fitting.rebind()
        fitting.keep_own_best()
        self._rows[row] = None

    def _fail(self, fitting: Fitting, error: Exception) -> None:
        self._release(fitting)
        self._failed(self._places[id(fitting)], error)

    def _tell(self, fitting: Fitting, ending: tuple[str, str]) -> None:
        self._left(self._places[id(fitting)], *ending)

    def _settle(self, fitting: Fitting) -> None:
        """Give a training's own record everything of the epoch under way."""
        row = self._row_of[id(fitting)]
        self._record.give_losses(row, fitting.record)
        self._record.give_outputs(row, fitting.record)

    def _write(self) -> None:
        live = self._without_diverged(self._live())
        self._cadence.saved()
        if self._save is None or not live:
            return
        self._updates.mirror()
        for fitting in live:
            if fitting.has_record_to_save:
                self._settle(fitting)
        self._save({self._places[id(fitting)]: fitting for fitting in live})

    # where an epoch began, in case one has to go through it again

    def _remember(self) -> None:
        tensors = self._model.tensors() + self._updates.tensors()
        if not self._kept:
            self._kept = [torch.empty_like(tensor) for tensor in tensors]
        torch._foreach_copy_(self._kept, tensors)
        self._kept_steps = self._updates.num_steps()
        self._kept_streams = {
            row: [stream.get_state() for stream in fitting.state.generators]
            for row, fitting in enumerate(self._rows)
            if fitting is not None and fitting.state.generators
        }

    def _go_back(self, row: int) -> None:
        fitting = self._rows[row]
        assert fitting is not None
        num_own = len(self._model.tensors())
        for tensor, kept in zip(self._model.tensors(), self._kept, strict=False):
            tensor[row] = kept[row]
        self._updates.go_back(row, self._kept[num_own:], self._kept_steps)
        for stream, state in zip(fitting.state.generators, self._kept_streams.get(row, ()), strict=True):
            stream.set_state(state)


def _fed_together(sources: Sequence[TensorBatches | StreamBatches]) -> StackedBatches | StackedStream:
    streams = [source for source in sources if isinstance(source, StreamBatches)]
    if streams:
        return StackedStream(streams)
    return StackedBatches([source for source in sources if isinstance(source, TensorBatches)])


def _by_run(splits: Sequence[tuple[Tensor, Tensor] | Streamed]) -> tuple[Tensor, Tensor] | Streamed:
    """A split of several runs; one on disk is the same for all."""
    first = splits[0]
    return first if isinstance(first, Streamed) else by_run([rows for rows in splits if not isinstance(rows, Streamed)])


def _evaluator_of(evaluators: Sequence[Evaluator]) -> Evaluator:
    """One that serves all, each in the units of its own target."""
    first = evaluators[0]
    readout = first.readout
    if readout.mean is None or readout.std is None:
        return first
    moments = [(own.readout.mean, own.readout.std) for own in evaluators]
    mean, std = (torch.stack([cast(Tensor, pair[side]) for pair in moments]).unsqueeze(1) for side in (0, 1))
    return Evaluator(first.loss, first.metrics, Readout(readout.task, readout.output, readout.negative, mean, std))
