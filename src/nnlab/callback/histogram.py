"""The distributions of weights and gradients, for the loggers that can show them."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from nnlab.callback.base import Callback, FitView
from nnlab.logger.base import Histogram


@final
class Histograms(Callback):
    """Logs every parameter's values, before training at step 0 and then with its gradient in the last step.

    Tags are ``weights/<parameter>`` and ``gradients/<parameter>``; a parameter without a gradient has only the first.

    Args:
        every: evaluations from one time to the next, at least 1.

    Raises:
        ValueError: if ``every`` is below 1.
    """

    def __init__(self, every: int) -> None:
        if every < 1:
            raise ValueError(f"callback.histograms.every: expected at least 1 evaluation, found {every}")
        self.every = every
        self._num_evaluations = 0

    def on_fit_start(self, view: FitView) -> None:
        """Log the initial values, unless the run is resumed and has done so."""
        if view.resumed_at is None:
            _log(view, 0)

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Log if it is time to."""
        self._num_evaluations += 1
        # A training of no steps is evaluated at step 0, which is logged already.
        if step and self._num_evaluations % self.every == 0:
            _log(view, step)

    def state_dict(self) -> dict[str, Any]:
        """How many evaluations there were."""
        return {"num_evaluations": self._num_evaluations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        self._num_evaluations = state["num_evaluations"]


def _log(view: FitView, step: int) -> None:
    for name, parameter in view.model.named_parameters():
        view.out.media(step, f"weights/{name}", Histogram(_values(parameter)))
        if step and parameter.grad is not None:
            view.out.media(step, f"gradients/{name}", Histogram(_values(parameter.grad)))


def _values(tensor: Tensor) -> np.ndarray:
    # A copy: a logger may keep it while training changes the tensor. NumPy has no bfloat16.
    return tensor.detach().to("cpu", torch.float64, copy=True).numpy()
