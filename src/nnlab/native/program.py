"""A training whose steps the C library does."""

import ctypes
import math
from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.loss.objective import Objective
from nnlab.native import library
from nnlab.native.activations import Activation
from nnlab.native.layers import Stage, dropouts_of, stages_of
from nnlab.native.losses import LossCode, row_weights
from nnlab.native.losses import code_of as loss_code_of
from nnlab.native.updates import NativeUpdate, OptimizerCode

_Whole, _Pointer = ctypes.c_int64, ctypes.c_void_p
#: what a call of the C library returns when it has done nothing
_FAILURES = {1: "no memory for the C library's steps", 2: "no threads for the C library's steps"}


class _Parameter(ctypes.Structure):
    _fields_ = [("value", _Pointer), ("grad", _Pointer), ("state", _Pointer * 3), ("decays", _Whole)]


class _Norm(ctypes.Structure):
    _fields_ = [
        ("kind", _Whole),
        *[(name, ctypes.c_double) for name in ("eps", "momentum")],
        *[(name, _Pointer) for name in ("running_mean", "running_variance", "num_batches")],
    ]


class _Layer(ctypes.Structure):
    _fields_ = [
        ("inputs", _Whole),
        ("outputs", _Whole),
        ("weight", _Parameter),
        ("of_units", _Parameter * 4),
        ("num_slopes", _Whole),
        ("norm", _Norm),
        ("activation", Activation),
        ("masks", _Pointer),
    ]


class _Program(ctypes.Structure):
    """As in program.h."""

    _fields_ = [
        *[(name, _Whole) for name in ("num_layers", "num_inputs", "num_outputs", "num_rows")],
        *[(name, _Whole) for name in ("step_rows", "batch_size", "num_threads", "by_units")],
        ("layers", ctypes.POINTER(_Layer)),
        *[(name, _Pointer) for name in ("inputs", "target", "codes", "row_weight", "order")],
        ("first_mask_row", _Whole),
        ("predictions", _Pointer),
        ("losses", _Pointer),
        ("loss", LossCode),
        ("optimizer", OptimizerCode),
        ("coefficients", _Pointer),
        ("num_coefficients", _Whole),
        *[(name, ctypes.c_double) for name in ("l1", "l2", "clip_norm")],
    ]


class Rows(NamedTuple):
    """The training rows: inputs [N, F], target [N, O] or [N] of class codes, and how many make a batch."""

    inputs: Tensor
    target: Tensor
    batch_size: int
    accumulate_steps: int


def why_not(
    model: nn.Module, objective: Objective, optimizer: torch.optim.Optimizer, rows: Rows, clip_norm: float | None
) -> str | None:
    """Why a training has no C form; None if it has one.

    Args:
        model: the model.
        objective: the loss and penalties.
        optimizer: over the model's parameters.
        rows: what is trained on.
        clip_norm: the largest norm of the gradient, or None.
    """
    del clip_norm
    stages = stages_of(model)
    if isinstance(stages, str):
        return stages
    parameters = list(model.parameters())
    if any(not p.is_cpu or p.dtype not in library.DTYPES or not p.is_contiguous() for p in parameters):
        return "its parameters are not plain numbers in the CPU's memory"
    if loss_code_of(objective.loss) is None:
        return f"the loss {type(objective.loss).__name__} has no C form"
    if problem := NativeUpdate.can_do(optimizer):
        return problem
    if [id(weight) for weight in objective.weights] != [id(stage.linear.weight) for stage in stages]:
        return "its penalties are on other weights than those of its layers"
    return _rows_problem(stages, objective, rows, parameters[0].dtype)


def _rows_problem(stages: Sequence[Stage], objective: Objective, rows: Rows, dtype: torch.dtype) -> str | None:
    num_outputs = stages[-1].linear.out_features
    target = rows.target
    if rows.inputs.dim() != 2 or rows.inputs.shape[1] != stages[0].linear.in_features or rows.inputs.dtype != dtype:
        return "its inputs are no matrix of the model's numbers"
    if not (target.dtype == torch.int64 and target.dim() == 1) and not (
        target.dtype == dtype and target.shape == (len(target), num_outputs)
    ):
        return "its targets are neither the model's numbers, a column for each output, nor class codes"
    # Torch's own operations say what is wrong with these.
    if target.dtype == torch.int64 and not 0 <= int(target.min()) <= int(target.max()) < num_outputs:
        return "its class codes are not those of its outputs"
    weights = getattr(objective.loss, "class_weight", None)
    if weights is not None and target.dtype == torch.int64 and len(weights) != num_outputs:
        return "its class weights are not those of its outputs"
    return None


@final
class NativeSteps:
    """The steps of one training, many in a call.

    It changes the model's parameters and the optimizer's state in place, and leaves the last step's gradient, clipped,
    in the parameters' ``grad``.

    Args:
        model: for which ``why_not`` knows no reason.
        objective: the loss and penalties.
        optimizer: over the model's parameters.
        rows: what is trained on.
        clip_norm: the largest norm of the gradient, or None.
        num_threads: that share the work.

    Raises:
        NoCompilerError: if there is no C library.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        rows: Rows,
        clip_norm: float | None,
        num_threads: int,
    ) -> None:
        stages = stages_of(model)
        assert not isinstance(stages, str), stages
        self._stages = stages
        self._parameters = list(model.parameters())
        self._buffers = list(model.buffers())
        self._dtype = self._parameters[0].dtype
        self._library = library.load(self._dtype)
        self._update = NativeUpdate(optimizer, self._parameters)
        self._objective = objective
        self.batch_size = rows.batch_size * rows.accumulate_steps
        self._take(rows)
        self._coefficients = np.empty((0, 0))
        self._masks: dict[int, Tensor] = {}
        # The model may be made to forget its own: then C must not write where something else is.
        self._grads = [torch.zeros_like(p, memory_format=torch.contiguous_format) for p in self._parameters]
        self._layers = (_Layer * len(stages))()
        self._program = self._make(objective, clip_norm, num_threads)
        self._addresses: list[int] = []
        self._point()

    def show(self, rows: Rows) -> None:
        """Go on with other rows, of the same kind and in batches of the same size.

        Args:
            rows: to train on.
        """
        self._take(rows)
        self._point_at_rows(self._program)

    def start_epoch(self, order: Tensor | None, predictions: Tensor | None, rates: Sequence[float], first: int) -> None:
        """Before the first step of an epoch that is still to be done.

        Args:
            order: the rows' order, int64 [N], or None for their own.
            predictions: where the epoch's predictions go, [N, O] in that order, or None.
            rates: the learning rate of each step that is still to be done.
            first: the number of the first of them, from 0.
        """
        program = self._program
        if self._find() != self._addresses:
            self._point()
        self._order, self._predictions = order, predictions  # kept for as long as C looks at them
        program.order = None if order is None else order.data_ptr()
        program.predictions = None if predictions is None else predictions.data_ptr()
        planned = self._update.plan(list(rates))
        self._coefficients = np.concatenate([np.zeros((first, planned.shape[1])), planned])
        program.coefficients = self._coefficients.ctypes.data
        program.num_coefficients = planned.shape[1]

    def run(self, first: int, number: int) -> Tensor:
        """Do steps of the epoch under way.

        Args:
            first: the number of the first step, from 0.
            number: how many.

        Returns:
            The objective of each before its update, shape [number].

        Raises:
            MemoryError: if there is no memory or no thread for it; nothing was done then.
        """
        self._draw_masks(first, number)
        code = self._library.nnlab_steps(ctypes.byref(self._program), _Whole(first), _Whole(number))
        if code:
            raise MemoryError(_FAILURES[code])
        self._update.advance(number)
        for parameter, grad in zip(self._parameters, self._grads, strict=True):
            parameter.grad = grad
        return self._losses[first : first + number].clone()

    def rows_of(self, first: int, number: int) -> slice:
        """Where the rows of some steps are in the epoch's order."""
        return slice(first * self.batch_size, min((first + number) * self.batch_size, len(self._rows.inputs)))

    def _take(self, rows: Rows) -> None:
        self._rows = Rows(rows.inputs.contiguous(), rows.target.contiguous(), rows.batch_size, rows.accumulate_steps)
        self.num_steps = -(-len(rows.inputs) // self.batch_size)
        self._losses = torch.empty(self.num_steps, dtype=self._dtype)
        weights = row_weights(self._objective.loss, rows.target)
        self._row_weight = None if weights is None else weights.to(self._dtype).contiguous()

    def _point_at_rows(self, program: _Program) -> None:
        inputs, target = self._rows.inputs, self._rows.target
        program.num_rows = len(inputs)
        program.inputs = inputs.data_ptr()
        setattr(program, "codes" if target.dtype == torch.int64 else "target", target.data_ptr())
        program.row_weight = None if self._row_weight is None else self._row_weight.data_ptr()
        program.losses = self._losses.data_ptr()

    def _make(self, objective: Objective, clip_norm: float | None, num_threads: int) -> _Program:
        inputs = self._rows.inputs
        program = _Program(num_layers=len(self._stages), num_inputs=inputs.shape[1])
        program.num_outputs = self._stages[-1].linear.out_features
        norms = {type(stage.norm) for stage in self._stages}
        # Unless something is computed of a batch as a whole, a step's batches are as good as one.
        size = self._rows.batch_size if nn.BatchNorm1d in norms or self._row_weight is not None else self.batch_size
        program.step_rows, program.batch_size = self.batch_size, min(size, len(inputs))
        if norms >= {nn.BatchNorm1d, nn.LayerNorm}:
            num_threads = 1  # the one looks at all rows at once, the other at all units
        program.num_threads, program.by_units = num_threads, self._shares_units(num_threads, program.batch_size)
        program.layers = self._layers
        self._point_at_rows(program)
        loss = loss_code_of(objective.loss)
        assert loss is not None
        program.loss, program.optimizer = loss, self._update.code
        program.l1, program.l2 = objective.penalty.l1, objective.penalty.l2
        program.clip_norm = math.inf if clip_norm is None else clip_norm
        return program

    def _find(self) -> list[int]:
        return [tensor.data_ptr() for tensor in (*self._parameters, *self._buffers)]

    def _point(self) -> None:
        """Tell the library where the parameters, their gradients and the optimizer's state are."""
        self._addresses = self._find()
        numbers = {id(parameter): number for number, parameter in enumerate(self._parameters)}
        for stage, layer in zip(self._stages, self._layers, strict=True):
            linear = stage.linear
            layer.inputs, layer.outputs, layer.activation = linear.in_features, linear.out_features, stage.activation
            layer.weight = self._parameter(numbers[id(linear.weight)])
            for place, parameter in enumerate(stage.of_units):
                layer.of_units[place] = _Parameter() if parameter is None else self._parameter(numbers[id(parameter)])
            layer.num_slopes = 0 if stage.slope is None else len(stage.slope)
            layer.norm = _norm(stage.norm)

    def _parameter(self, number: int) -> _Parameter:
        state = (_Pointer * 3)(*self._update.pointers(number))
        value, grad = self._parameters[number].data_ptr(), self._grads[number].data_ptr()
        return _Parameter(value, grad, state, self._update.decays(number))

    def _draw_masks(self, first: int, number: int) -> None:
        """Draw the dropout masks of some steps, in the order in which the layers would."""
        if not any(stage.dropout for stage in self._stages):
            return
        rows = self.rows_of(first, number)
        self._program.first_mask_row = rows.start
        num_rows = rows.stop - rows.start
        for stage_number, dropout in dropouts_of(self._stages):
            units = self._stages[stage_number].linear.out_features
            mask = self._masks.get(stage_number)
            if mask is None or len(mask) < num_rows:
                mask = self._masks[stage_number] = torch.empty(num_rows, units, dtype=self._dtype)
            self._layers[stage_number].masks = mask.data_ptr()
            del dropout
        for start in range(0, num_rows, self._rows.batch_size):
            # A batch never crosses the end of a step: a step is whole batches, but for the epoch's last.
            end = min(start + self._rows.batch_size, num_rows)
            for stage_number, dropout in dropouts_of(self._stages):
                part = self._masks[stage_number][start:end]
                part.copy_(dropout.mask(part))

    def _shares_units(self, num_threads: int, batch_size: int) -> bool:
        """Whether threads share the units of each layer rather than the rows of a batch."""
        norms = {type(stage.norm) for stage in self._stages}
        if nn.BatchNorm1d in norms:  # which looks at all rows at once
            return True
        rows_of_a_tile = 256 // self._dtype.itemsize  # with vectors of 64 bytes; narrower ones only make more tiles
        has_few_rows = batch_size < 2 * num_threads * rows_of_a_tile
        return num_threads > 1 and has_few_rows and nn.LayerNorm not in norms  # which looks at all units at once


def _norm(layer: nn.BatchNorm1d | nn.LayerNorm | None) -> _Norm:
    if layer is None:
        return _Norm()
    if isinstance(layer, nn.LayerNorm):
        return _Norm(kind=2, eps=layer.eps)
    norm = _Norm(kind=1, eps=layer.eps, momentum=math.nan if layer.momentum is None else layer.momentum)
    if layer.running_mean is not None and layer.running_var is not None and layer.num_batches_tracked is not None:
        norm.running_mean, norm.running_variance = layer.running_mean.data_ptr(), layer.running_var.data_ptr()
        norm.num_batches = layer.num_batches_tracked.data_ptr()
    return norm
