"""Stop when the monitored metric no longer improves."""

import math
from collections.abc import Mapping
from typing import Any, final

from nnlab.callback.base import Callback, FitView


@final
class EarlyStopping(Callback):
    """Asks to stop after ``patience`` evaluations in a row without an improvement.

    Args:
        patience: evaluations without an improvement that are tolerated, at least 1.
        min_delta: how much better than the best so far counts as an improvement (anything above it), in the metric's
            units, at least 0.
        monitor: the metric to watch, such as ``valid/loss``; None for the run's own, ``trainer.monitor``.

    Raises:
        ValueError: if ``patience`` or ``min_delta`` is out of range.
    """

    def __init__(self, patience: int, min_delta: float, monitor: str | None) -> None:
        if patience < 1:
            raise ValueError(f"callback.early_stopping.patience: expected at least 1, found {patience}")
        if not min_delta >= 0:
            raise ValueError(f"callback.early_stopping.min_delta: expected a number >= 0, found {min_delta}")
        self.patience = patience
        self.min_delta = min_delta
        self.monitor = monitor
        self._state = _fresh_state(None)

    def on_fit_start(self, view: FitView) -> None:
        """See ``Callback``.

        Raises:
            ValueError: if the run has no such metric.
        """
        monitor = self.monitor or view.monitor
        if monitor not in view.metrics:
            raise ValueError(
                f"callback.early_stopping.monitor: there is no metric {monitor!r} in this run; "
                f"there are {', '.join(view.metrics)}"
            )
        if self._state["monitor"] != monitor:
            # A resumed run may watch another metric: the old best means nothing to it.
            self._state = _fresh_state(monitor)

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> str | None:
        """Compare with the best so far; NaN is never better."""
        state, monitor = self._state, self.monitor or view.monitor
        value, best = metrics[monitor], state["best"]
        gain = view.gain(monitor, value, best) if best is not None else math.nan if math.isnan(value) else math.inf
        if gain > self.min_delta:
            state.update(best=value, best_epoch=epoch, waited=0)
            return None
        state["waited"] += 1
        if state["waited"] < self.patience:
            return None
        return _reason(monitor, self.min_delta, state)

    def state_dict(self) -> dict[str, Any]:
        """The metric watched, its best value and epoch (None before there is one), evaluations since."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        self._state = dict(state)


def _fresh_state(monitor: str | None) -> dict[str, Any]:
    return {"monitor": monitor, "best": None, "best_epoch": None, "waited": 0}


def _reason(monitor: str, min_delta: float, state: Mapping[str, Any]) -> str:
    margin = f" by more than {min_delta:g}" if min_delta else ""
    best = "it never was a number"
    if state["best"] is not None:
        best = f"its best was {state['best']:.6g} in epoch {state['best_epoch']}"
    return f"{monitor} has not improved{margin} for {state['waited']} evaluations; {best}"
