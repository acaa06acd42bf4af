"""The callbacks of a training. None of them can end it by an error."""

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, final

from torch import Tensor

from nnlab.callback.base import Callback, FitView
from nnlab.trainer.phases import Phases
from nnlab.trainer.result import Row

log = logging.getLogger("nnlab")

T = TypeVar("T")


@final
class Watchers:
    """Calls the callbacks; one that fails is let go of, with a note, and training goes on.

    A ``ValueError`` at the start is no failure but a refusal: the callback says that it does not fit the training.

    Args:
        callbacks: who watches.
        note: gets one sentence for each that failed.
        phases: the training's clock, or None.
    """

    def __init__(
        self, callbacks: Sequence[Callback], note: Callable[[str], None], phases: Phases | None = None
    ) -> None:
        kinds: Counter[str] = Counter()
        self._named: dict[str, Callback] = {}
        for callback in callbacks:
            kind = type(callback).__name__
            kinds[kind] += 1
            self._named[kind if kinds[kind] == 1 else f"{kind}_{kinds[kind]}"] = callback
        self._of_steps = {
            name: callback
            for name, callback in self._named.items()
            if type(callback).on_step_end is not Callback.on_step_end
        }
        self._note = note
        self._phases = phases or Phases(False)

    @property
    def watch_steps(self) -> list[str]:
        """The names of those who look at every single step."""
        return [name for name, callback in self._of_steps.items() if callback.every_step]

    def fit_starts(self, view: FitView) -> None:
        """Before the first step.

        Raises:
            ValueError: if a callback does not fit the training.
        """
        for name, callback in list(self._named.items()):
            try:
                callback.on_fit_start(view)
            except ValueError:
                raise
            except Exception as error:
                self._let_go(name, error)

    def step_ended(self, view: FitView, step: int, loss: Tensor) -> None:
        """After a step; costs nothing where nobody watches single steps."""
        if self._of_steps:
            for name in list(self._of_steps):
                self._guarded(name, lambda callback: callback.on_step_end(view, step, loss))

    def evaluated(self, view: FitView, epoch: int, step: int, row: Row) -> str | None:
        """After an evaluation.

        Returns:
            Why training ends here, or None.
        """
        reasons = [
            self._guarded(name, lambda callback: callback.on_evaluation(view, epoch, step, row))
            for name in list(self._named)
        ]
        return "; ".join(reason for reason in reasons if reason) or None

    def fit_ended(self, view: FitView, step: int) -> None:
        """After the last step, however training ended."""
        for name in list(self._named):
            self._guarded(name, lambda callback: callback.on_fit_end(view, step))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs of each callback, by name; None for one that fails to say."""
        return {name: self._guarded(name, lambda callback: callback.state_dict()) for name in list(self._named)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        for name in list(self._named):
            stored = state.get(name)
            if stored:
                self._guarded(name, partial(_load, stored))

    def _guarded(self, name: str, action: Callable[[Callback], T]) -> T | None:
        try:
            with self._phases.during("callbacks"):
                return action(self._named[name])
        except Exception as error:  # whoever wrote it, a callback is worth no training
            self._let_go(name, error)
            return None

    def _let_go(self, name: str, error: Exception) -> None:
        del self._named[name]
        self._of_steps.pop(name, None)
        self._note(f"callback {name} failed ({type(error).__name__}: {error}); training goes on without it")
        log.info("%s", "".join(traceback.format_exception(error)))


def _load(stored: dict[str, Any], callback: Callback) -> None:
    callback.load_state_dict(stored)
