"""The best states of a stack, copied for all runs at once."""

from collections.abc import Sequence
from functools import partial
from typing import final

import torch
from torch import Tensor

from nnlab.trainer.fitting import Best, Fitting
from nnlab.trainer.stacked_model import StackedModel


@final
class StackedBest:
    """Keeps the best state of each run in a row of its own.

    Args:
        model: whose states they are.
        fittings: the run of each row; what is the best of each so far moves here.
    """

    def __init__(self, model: StackedModel, fittings: Sequence[Fitting]) -> None:
        self._model = model
        self._kept = [tensor.clone() for tensor in model.tensors()]
        self._views = model.views_of(self._kept)
        self._states: dict[int, dict[str, Tensor]] = {}
        self._improved: list[int] = []
        for row, fitting in enumerate(fittings):
            if fitting.best is not None:
                state = self._state(row)
                for name, tensor in fitting.best.state.items():
                    state[name].copy_(tensor)
                fitting.best = Best(fitting.best.row, state)
            fitting.keep_best = partial(self._mark, row)

    def copy_improved(self) -> None:
        """Copy the states of the runs that came to a new best since the last call."""
        if len(self._improved) == len(self._model.models):
            torch._foreach_copy_(self._kept, self._model.tensors())
        elif self._improved:
            rows = torch.tensor(self._improved, device=self._kept[0].device)
            for kept, tensor in zip(self._kept, self._model.tensors(), strict=True):
                kept.index_copy_(0, rows, tensor.index_select(0, rows))
        self._improved.clear()

    def _mark(self, row: int, before: dict[str, Tensor] | None) -> dict[str, Tensor]:
        self._improved.append(row)
        return before if before is not None else self._state(row)

    def _state(self, row: int) -> dict[str, Tensor]:
        if row not in self._states:
            names = self._model.models[row].state_dict()
            self._states[row] = {name: self._views[name][row] for name in names}
        return self._states[row]
