"""The updates of a stack: one for each kind of optimizer among its rows."""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from nnlab.optim.stacked import StackedUpdate, stacked_update, stacking_key
from nnlab.trainer.static_update import StaticUpdate
from nnlab.trainer.step import StepParts


def kind_of(optimizer: torch.optim.Optimizer) -> str:
    """What optimizers must have in common to be updated together, in words; rows are sorted by it."""
    return repr(stacking_key(optimizer))


@final
class Updates:
    """Updates the rows of a stack, each by its own optimizer.

    Args:
        parts: of each row's training; those of one ``kind_of`` are neighbours.
        weights: the parameters, shape [R, P].
    """

    def __init__(self, parts: Sequence[StepParts], weights: Tensor) -> None:
        self._parts = list(parts)
        self._updates: list[tuple[slice, StackedUpdate]] = []
        kinds = [kind_of(own.optimizer) for own in parts]
        for kind in dict.fromkeys(kinds):
            rows = slice(kinds.index(kind), kinds.index(kind) + kinds.count(kind))
            update = stacked_update(
                [own.optimizer for own in parts[rows]], [own.parameters for own in parts[rows]], weights[rows]
            )
            self._updates.append((rows, update))
        self._weights = [weights[rows] for rows, _ in self._updates]
        self._static: list[StaticUpdate] = []
        self._is_mirrored = False
        self._released: set[int] = set()

    def plan_rates(self, rates: np.ndarray) -> None:
        """The learning rates of the next steps, float64 [S, R]."""
        for rows, update in self._updates:
            update.plan_rates(rates[:, rows])

    def step(self, grad: Tensor) -> None:
        """Take the next planned step with the gradient [R, P]."""
        for (rows, update), weights in zip(self._updates, self._weights, strict=True):
            update.step(weights, grad[rows])

    def make_static(self, num_steps: int) -> None:
        """Make ready for ``step_static``, with no more than this many steps in an epoch."""
        self._static = [
            StaticUpdate(update, rows.stop - rows.start, num_steps, weights)
            for (rows, update), weights in zip(self._updates, self._weights, strict=True)
        ]

    def plan_static(self, rates: np.ndarray, first: int) -> None:
        """As ``plan_rates``, for steps whose first has this number in its epoch."""
        for (rows, _), static in zip(self._updates, self._static, strict=True):
            static.plan(rates[:, rows], first)

    def step_static(self, grad: Tensor, counter: Tensor) -> None:
        """Take the planned step whose number is in ``counter``, int64 [1], with the gradient [R, P]."""
        for (rows, _), static, weights in zip(self._updates, self._static, self._weights, strict=True):
            static.step(weights, grad[rows], counter)

    def advance(self, num_steps: int) -> None:
        """Count steps of ``step_static``."""
        for _, update in self._updates:
            update.advance(num_steps)

    def mirror(self) -> None:
        """Let every optimizer see its part of the state."""
        if not self._is_mirrored:
            released = [self._parts[row].optimizer for row in self._released]
            states = [dict(optimizer.state) for optimizer in released]
            for _, update in self._updates:
                update.mirror()
            for optimizer, state in zip(released, states, strict=True):  # what their rows hold is no longer theirs
                optimizer.state.clear()
                optimizer.state.update(state)
            self._is_mirrored = all(bool((update.num_steps > 0).all()) for _, update in self._updates)

    def release(self, row: int) -> None:
        """Give an optimizer's state memory of its own."""
        self._released.add(row)
        for state in self._parts[row].optimizer.state.values():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    state[name] = value.clone()

    def tensors(self) -> list[Tensor]:
        """Every tensor of the state, those of one update after the other, each with its rows first."""
        return [tensor for _, update in self._updates for tensor in update.tensors()]

    def num_steps(self) -> list[np.ndarray]:
        """The steps that each row has done, for each update."""
        return [update.num_steps.copy() for _, update in self._updates]

    def go_back(self, row: int, kept: Sequence[Tensor], num_steps: Sequence[np.ndarray]) -> None:
        """Return one row to an earlier state.

        Args:
            row: which.
            kept: copies of ``tensors``.
            num_steps: what ``num_steps`` was then.
        """
        start = 0
        for (rows, update), steps in zip(self._updates, num_steps, strict=True):
            tensors = update.tensors()
            if rows.start <= row < rows.stop:
                for tensor, copy in zip(tensors, kept[start:], strict=False):
                    tensor[row - rows.start] = copy[row - rows.start]
                update.num_steps[row - rows.start] = steps[row - rows.start]
                self._is_mirrored = False
            start += len(tensors)
