"""The static steps of a stack."""

from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from nnlab.model.stacked import StackedDropout
from nnlab.trainer.batches import Batch
from nnlab.trainer.replay import Program
from nnlab.trainer.stack_record import StackRecord
from nnlab.trainer.stack_update import Updates
from nnlab.trainer.stacked_model import StackedModel
from nnlab.trainer.static_check import why_not_recorded
from nnlab.trainer.static_step import Feed, StaticSteps, Touched, Work, streams_of

#: computes objectives and predictions of batches, and leaves the gradients at the stack's parameters
Compute = Callable[[Sequence[Batch]], tuple[Tensor, list[Tensor]]]


@final
class StackFeed(Feed):
    """The rows of a stack's epochs, copied to where the first epoch has put them.

    Args:
        batches: of an epoch, in groups for one update each: inputs [R, B, F] and target [R, B, …].
    """

    def __init__(self, batches: Sequence[Sequence[Batch]]) -> None:
        size = batches[0][0].inputs.shape[1]
        per_step = len(batches[0])
        whole = [group for group in batches if sum(b.inputs.shape[1] for b in group) == per_step * size]
        # Only the last can have fewer rows, or fewer batches.
        self.num_whole = len(whole)
        self._per_step, self._num_rows = per_step, len(batches[0][0].inputs)
        stacked = [torch.stack(side) for side in _sides_of(whole) if side]
        self._whole = [side.view(-1, per_step, *side.shape[1:]) for side in stacked]
        self._rest = [[side.clone() for side in sides] for sides in _sides_of(batches[self.num_whole :])]
        self.rest = self._batches(*self._rest)

    def fits(self, batches: Sequence[Sequence[Batch]]) -> bool:
        """Whether another epoch's batches have the same places: one that all runs share may have become several."""
        whole, rest = _sides_of(batches[: self.num_whole]), _sides_of(batches[self.num_whole :])
        places = [side.shape[2:] for side in self._whole], [[t.shape for t in side] for side in self._rest]
        return ([side[0].shape for side in whole if side], [[t.shape for t in side] for side in rest]) == places

    def fill(self, batches: Sequence[Sequence[Batch]]) -> None:
        """Take the rows of another epoch, for which ``fits`` is true."""
        whole = [side for side in _sides_of(batches[: self.num_whole]) if side]
        for side, place in zip(whole, self._whole, strict=True):
            torch.stack(side, out=place.flatten(0, 1))
        for rest, own in zip(_sides_of(batches[self.num_whole :]), self._rest, strict=True):
            for tensor, place in zip(rest, own, strict=True):
                place.copy_(tensor)

    def whole(self, counter: Tensor) -> list[Batch]:
        """See ``Feed``."""
        inputs, target = (side.index_select(0, counter).squeeze(0).unbind() for side in self._whole)
        return self._batches(inputs, target)

    def _batches(self, inputs: Sequence[Tensor], target: Sequence[Tensor]) -> list[Batch]:
        runs = self._num_rows
        return [
            Batch(i.mT.expand(runs, *i.mT.shape[1:]), t.expand(runs, *t.shape[1:]))
            for i, t in zip(inputs, target, strict=True)
        ]


@final
class StackWork(Work):
    """A step of a stack.

    Args:
        compute: see ``Compute``.
        collect: brings the gradients together in one tensor [K, P], always the same, and clips them.
        updates: of the rows.
        weights: shape [R, P].
        num_steps: in an epoch.
    """

    def __init__(
        self, compute: Compute, collect: Callable[[], Tensor], updates: Updates, weights: Tensor, num_steps: int
    ) -> None:
        self._compute = compute
        self._collect = collect
        self._updates = updates
        self._weights = weights
        updates.make_static(num_steps)

    def step(self, batches: Sequence[Batch], counter: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See ``Work``."""
        values, predictions = self._compute(batches)
        self._updates.step_static(self._collect(), counter)
        return values, predictions

    def end(self) -> None:
        """See ``Work``."""
        self._collect()


@final
class StackGraphs:
    """Whole steps of a stack in CUDA graphs; on the CPU, where there are none, the same steps are called.

    Args:
        model: the stack's.
        updates: likewise.
        compute: see ``Compute``.
        collect: see ``StackWork``.
    """

    def __init__(self, model: StackedModel, updates: Updates, compute: Compute, collect: Callable[[], Tensor]) -> None:
        self._model, self._updates = model, updates
        self._compute, self._collect = compute, collect
        self._feed: StackFeed | None = None
        self._program: Program | None = None
        self._next = 0
        #: why steps are not recorded, if they cannot be
        self.problem: str | None = None

    def start_epoch(
        self, batches: Sequence[Sequence[Batch]], rates: np.ndarray, first: int, keeps_outputs: bool
    ) -> None:
        """Before the first step of an epoch that is still to be done.

        Args:
            batches: of the whole epoch, in groups for one update each.
            rates: the learning rate of each row in each step that is still to be done, float64 [steps, K].
            first: the number of the first of these steps.
            keeps_outputs: whether predictions are kept.
        """
        if self.problem is not None:
            return
        self._next = first
        if self._feed is None or not self._feed.fits(batches):
            self._program, self._feed = None, StackFeed(batches)
            self._work = StackWork(self._compute, self._collect, self._updates, self._model.weights, len(batches))
        else:
            self._feed.fill(batches)
        self._updates.plan_static(rates, first)
        if self._program is None or keeps_outputs > self._program.keeps_outputs:
            self._program = None
            self._program = self._prepare(self._feed, keeps_outputs)
        if self._program is not None:
            self._program.steps.go_to(first)

    def run(self, ahead: Sequence[Sequence[Batch]], record: StackRecord) -> None:
        """Do the next steps of the epoch.

        Args:
            ahead: the batches of each.
            record: gets what they give.
        """
        assert self._program is not None
        steps, first, number = self._program.steps, self._next, len(ahead)
        self._program.run(first, number)
        self._updates.advance(number)
        kept = iter(steps.predictions(first, number) if record.keeps_outputs else ())
        for step, batches in enumerate(ahead, start=first):
            # Where nobody keeps predictions, only their rows are counted.
            predictions = [next(kept, batch.inputs) for batch in batches]
            record.add(steps.losses[step], predictions, batches)
        self._next += number

    def _prepare(self, feed: StackFeed, keeps_outputs: bool) -> Program | None:
        model = self._model
        dropouts = [layer for layer in model.module.modules() if isinstance(layer, StackedDropout)]
        own = [layer.generator for dropout in dropouts for layer in dropout.layers]
        streams = list({id(stream): stream for stream in [*own, *streams_of(model.module)]}.values())
        touched = Touched(model.module, [*model.tensors(), model.grad, *self._updates.tensors()], streams)
        self.problem = why_not_recorded(StaticSteps(self._work, feed, model.weights), touched)
        if self.problem is not None:
            return None
        return Program(StaticSteps(self._work, feed, model.weights), touched, keeps_outputs)


def _sides_of(groups: Sequence[Sequence[Batch]]) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs [r, F, B] and targets [r, B, …] of all batches; r is 1 where all runs share them, else R."""
    batches = [batch for group in groups for batch in group]
    return [_own(batch.inputs).mT for batch in batches], [_own(batch.target) for batch in batches]


def _own(tensor: Tensor) -> Tensor:
    return tensor[:1] if tensor.stride(0) == 0 else tensor
