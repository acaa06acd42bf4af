"""How large every layer's weights and gradients are, over the training."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.callback.base import Callback, FitView

#: a norm for each tensor; None where there is no tensor
Values = list[float | None]


@final
class Norms(Callback):
    """Writes ``norms.csv``, logs the same numbers, and draws ``figures/norms.png`` at the end.

    The columns are ``step``, ``weight/<layer>`` for every layer and ``gradient/<layer>`` likewise: the Euclidean norm,
    in float64, of the layer's weight and of its gradient in the last step. Layers are all modules with a weight, linear
    and norm layers, in the model's order; biases do not count. Row 0 is the start: no gradient yet. The loggers' tags
    are the columns behind ``norms/``.

    The gradient is the one that the update used, as in ``Trace``. A weight that the loss does not reach has an empty
    cell for its gradient.

    Args:
        every: evaluations from one row to the next, at least 1.

    Raises:
        ValueError: if ``every`` is below 1.
    """

    def __init__(self, every: int) -> None:
        if every < 1:
            raise ValueError(f"callback.norms.every: expected at least 1 evaluation, found {every}")
        self.every = every
        self._num_evaluations = 0
        self._weights: dict[str, nn.Parameter] = {}
        # Of each row: the step, the weights' norms, the gradients' norms; NaN where there is no gradient.
        self._rows: list[list[float]] = []
        self._earlier_gradients: Values | None = None

    def on_fit_start(self, view: FitView) -> None:
        """Write the row of the start, unless the run is resumed and has it.

        Raises:
            ValueError: if no layer has a weight.
        """
        self._weights = weights_of(view.model)
        if not self._weights:
            raise ValueError(
                f"callback.norms: expected a model with a layer that has a weight, found {type(view.model).__name__} "
                "without one"
            )
        if view.resumed_at is None:
            self._add_row(view, 0, norms_of([*self._weights.values(), *(None for _ in self._weights)]))

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Write a row if it is time to."""
        self._num_evaluations += 1
        # A training of no steps is evaluated at step 0, which has its row already.
        if step and self._num_evaluations % self.every == 0:
            self._add_row(view, step, self._values())

    def on_fit_end(self, view: FitView, step: int) -> None:
        """Draw every row so far."""
        if not self._rows:
            return
        # matplotlib takes half a second, which only those who draw shall pay
        from nnlab.figure.norms import norms

        num = len(self._weights)
        rows = np.array(self._rows)
        # The scale of a norm layer is a number for each unit.
        is_scale = [weight.dim() < 2 for weight in self._weights.values()]
        figure = norms(rows[:, 0], list(self._weights), is_scale, rows[:, 1 : 1 + num], rows[:, 1 + num :])
        view.out.figure(step, "norms", figure)

    def state_dict(self) -> dict[str, Any]:
        """How many evaluations there were, the rows, shape [R, 1 + 2 L], and the newest gradients' norms."""
        return {
            "num_evaluations": self._num_evaluations,
            "rows": torch.tensor(self._rows, dtype=torch.float64),
            "gradients": self._values()[len(self._weights) :],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave.

        Raises:
            ValueError: if the rows are of another number of layers.
        """
        rows = state["rows"].tolist()
        if any(len(row) != 1 + 2 * len(self._weights) for row in rows):
            raise ValueError(f"expected rows of {len(self._weights)} layers, found {(len(rows[0]) - 1) // 2}")
        self._num_evaluations = state["num_evaluations"]
        self._rows = rows
        self._earlier_gradients = state["gradients"]

    def _values(self) -> Values:
        """The norms of the weights, then of the gradients."""
        weights = list(self._weights.values())
        gradients = [weight.grad for weight in weights]
        if self._earlier_gradients is not None and all(gradient is None for gradient in gradients):
            # Resumed after the last step of an epoch: its gradients were an earlier process's.
            return norms_of(weights) + self._earlier_gradients
        return norms_of([*weights, *gradients])

    def _add_row(self, view: FitView, step: int, values: Values) -> None:
        self._rows.append([step, *(math.nan if value is None else value for value in values)])
        names = [f"{kind}/{layer}" for kind in ("weight", "gradient") for layer in self._weights]
        cells = dict(zip(names, values, strict=True))
        view.out.table_row("norms", {"step": step, **cells})
        view.out.scalars(step, {f"norms/{name}": value for name, value in cells.items() if value is not None})


def weights_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weight of every layer by the layer's name, in the model's order.

    Args:
        model: the model.

    Returns:
        Weights of linear and norm layers, and of whatever else has one; not the slopes of a PReLU.
    """
    return {
        name or type(model).__name__: layer.weight
        for name, layer in model.named_modules()
        if isinstance(getattr(layer, "weight", None), nn.Parameter) and not isinstance(layer, nn.PReLU)
    }


def norms_of(tensors: Sequence[Tensor | None]) -> Values:
    """Euclidean norms, with one read of the device.

    Args:
        tensors: any shapes; None for one that is not there.

    Returns:
        The norm of each, computed in float64; None for one that is not there.

    Example:
        >>> norms_of([torch.tensor([[3.0], [4.0]]), None])
        [5.0, None]
    """
    known = [torch.linalg.vector_norm(tensor.detach(), dtype=torch.float64) for tensor in tensors if tensor is not None]
    values = iter(torch.stack(known).tolist() if known else [])
    return [None if tensor is None else next(values) for tensor in tensors]
