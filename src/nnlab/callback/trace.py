"""Every step's loss, gradient and parameters, number by number, for models small enough to be read."""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import final

import torch
from torch import Tensor, nn

from nnlab.callback.base import Callback, FitView

#: the cells of one step by column
Row = dict[str, float | int | None]


@final
class Trace(Callback):
    """Writes ``trace.csv`` and logs the same numbers, step by step.

    The columns are ``step``, ``loss``, ``gradient/<name>[i,j]`` for every number of every parameter, then
    ``<name>[i,j]``. Row 0 is the start: no loss, no gradient, the initial parameters. Row k has the loss of step k and
    its gradient, both before the update, and the parameters after it, so that plain gradient descent reads
    ``w_k = w_(k-1) - lr * gradient_k``. The loggers' tags are the columns behind ``trace/``.

    The gradient is the one that the update used: with ``trainer.accumulate_steps`` that of all its batches together,
    with ``trainer.grad_clip_norm`` the clipped one. L-BFGS evaluates the loss several times in a step: its loss is the
    first, its gradient the last. A parameter that the loss does not reach has empty cells for its gradient.

    A training that diverges ends its trace with the first loss that is not a finite number, written ``inf`` or ``nan``.

    Args:
        most_parameters: numbers in a model that may be traced, at least 1.

    Raises:
        ValueError: if ``most_parameters`` is below 1.
    """

    def __init__(self, most_parameters: int) -> None:
        if most_parameters < 1:
            raise ValueError(f"callback.trace.most_parameters: expected at least 1, found {most_parameters}")
        self.most_parameters = most_parameters
        self._parameters: list[nn.Parameter] = []
        self._columns: list[list[str]] = []
        # Rows after a loss that is not finite, until it is known whether the training goes on.
        self._held: list[Row] | None = None

    def on_fit_start(self, view: FitView) -> None:
        """Write the row of the start.

        Raises:
            ValueError: if the model has too many parameters.
        """
        named = dict(view.model.named_parameters())
        _check_number(sum(parameter.numel() for parameter in named.values()), self.most_parameters)
        self._parameters = list(named.values())
        names = [element_names(name, parameter.shape) for name, parameter in named.items()]
        self._columns = [["loss"], *([f"gradient/{name}" for name in group] for group in names), *names]
        self._held = None
        if view.resumed_at is None:
            _send(view, self._row(0, None, [None] * len(named)))

    def on_step_end(self, view: FitView, step: int, loss: Tensor) -> None:
        """Write the row of a step."""
        row = self._row(step, loss, [parameter.grad for parameter in self._parameters])
        if self._held is not None:
            self._held.append(row)
            return
        _send(view, row)
        value = row["loss"]
        if value is not None and not math.isfinite(value):
            self._held = []

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Go on: a training that is still evaluated has not diverged, the fp16 scaler only left a step out."""
        for row in self._held or ():
            _send(view, row)
        self._held = None

    def _row(self, step: int, loss: Tensor | None, gradients: Sequence[Tensor | None]) -> Row:
        tensors = [loss, *gradients, *self._parameters]
        # All numbers in one tensor: the host waits for the device once.
        known = torch.cat([tensor.detach().reshape(-1) for tensor in tensors if tensor is not None])
        values = iter(known.tolist())
        row: Row = {"step": step}
        for columns, tensor in zip(self._columns, tensors, strict=True):
            row |= {column: None if tensor is None else next(values) for column in columns}
        return row


def element_names(name: str, shape: Sequence[int]) -> list[str]:
    """A name for each number of a tensor, in the order in which it is stored.

    Args:
        name: of the tensor.
        shape: of the tensor.

    Returns:
        Such as ``weight[0,0]``, ``weight[0,1]``; the name alone for a single number without axes.

    Example:
        >>> element_names("bias", [2]), element_names("scale", [])
        (['bias[0]', 'bias[1]'], ['scale'])
    """
    if not len(shape):
        return [name]
    places = product(*(range(size) for size in shape))
    return [f"{name}[{','.join(str(index) for index in place)}]" for place in places]


def _check_number(num_parameters: int, most: int) -> None:
    if num_parameters > most:
        raise ValueError(
            f"callback.trace: the model has {num_parameters:,} parameters, which would make {2 + 2 * num_parameters:,} "
            f"columns, and callback.trace.most_parameters is {most:,}; callback=[histograms] shows models of any size, "
            f"callback.trace.most_parameters={num_parameters} traces this one all the same"
        )


def _send(view: FitView, row: Row) -> None:
    view.out.table_row("trace", row)
    numbers = {f"trace/{name}": value for name, value in row.items() if name != "step" and value is not None}
    view.out.scalars(int(row["step"] or 0), numbers)
