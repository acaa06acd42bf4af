"""A callback: four hooks, of which this one uses two. It looks, and may end a training; it changes nothing."""

from collections.abc import Mapping
from typing import Any

import torch

from nnlab.callback.base import Callback, FitView


class Sharpness(Callback):
    """Writes ``gradient.csv``: the norm of the whole gradient at every evaluation, and the smoothest one at the end.

    Args:
        stop_below: ends the training once the norm is smaller; 0 for never.
    """

    def __init__(self, stop_below: float) -> None:
        self.stop_below = stop_below
        self.smallest = float("inf")

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> str | None:
        """Measure the gradient of the last step."""
        grads = [parameter.grad for parameter in view.model.parameters() if parameter.grad is not None]
        norm = float(torch.stack([grad.norm() for grad in grads]).norm())
        self.smallest = min(self.smallest, norm)
        view.out.table_row("gradient", {"epoch": epoch, "step": step, "norm": norm})
        view.out.scalars(step, {"gradient/norm": norm})
        return f"the gradient's norm fell below {self.stop_below}" if norm < self.stop_below else None

    def on_fit_end(self, view: FitView, step: int) -> None:
        """Say what was found: into the log, the summary and ``result.json``."""
        view.out.say(f"the smallest norm of the gradient at an evaluation was {self.smallest:.3g}")

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"smallest": self.smallest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.smallest = state["smallest"]
