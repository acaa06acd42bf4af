"""Optimizers in C: what update.h is given, and where what they remember is."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import NamedTuple, final

import numpy as np
import torch
from torch import nn

from nnlab.optim.stacked import StackedUpdate, stacked_update, stacking_problem
from nnlab.optim.stacked_adadelta import StackedAdadelta
from nnlab.optim.stacked_adagrad import StackedAdagrad
from nnlab.optim.stacked_adam import StackedAdam
from nnlab.optim.stacked_adamax import StackedAdamax
from nnlab.optim.stacked_nadam import StackedNAdam
from nnlab.optim.stacked_radam import StackedRAdam
from nnlab.optim.stacked_rmsprop import StackedRMSprop
from nnlab.optim.stacked_rprop import StackedRprop
from nnlab.optim.stacked_sgd import StackedSGD

#: state tensors that an optimizer has at most
NUM_STATES = 3
#: settings that switch something on, in the order of their bits in update.h
_FLAGS = ("maximize", "decoupled_weight_decay", "amsgrad", "momentum", "nesterov", "centered")


class OptimizerCode(ctypes.Structure):
    """As ``Optimizer`` in update.h."""

    _fields_ = [("kind", ctypes.c_int64), ("flags", ctypes.c_int64), ("settings", ctypes.c_double * 8)]


class _Form(NamedTuple):
    """Its number in update.h, the settings in their order after the weight decay, the states in their places."""

    kind: int
    settings: tuple[str, ...]
    states: tuple[str, ...]


_CODES: Mapping[type[StackedUpdate], _Form] = {
    StackedSGD: _Form(0, ("momentum",), ("momentum_buffer",)),
    StackedAdam: _Form(1, ("betas",), ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")),
    StackedRMSprop: _Form(2, ("alpha", "eps", "momentum"), ("square_avg", "momentum_buffer", "grad_avg")),
    StackedAdagrad: _Form(3, ("eps",), ("sum",)),
    StackedNAdam: _Form(4, ("betas",), ("exp_avg", "exp_avg_sq")),
    StackedRAdam: _Form(5, ("betas", "eps"), ("exp_avg", "exp_avg_sq")),
    StackedAdamax: _Form(6, ("betas", "eps"), ("exp_avg", "exp_inf")),
    StackedAdadelta: _Form(7, ("rho", "eps"), ("square_avg", "acc_delta")),
    StackedRprop: _Form(8, ("etas", "step_sizes"), ("prev", "step_size")),
}


@final
class NativeUpdate:
    """An optimizer whose steps C does: a stack of one run, planned as every stack is.

    Numbers that depend on the step only are planned in float64. What the optimizer remembers lies in tensors that stay
    where they are; once it has begun, torch's own ``optimizer.state`` are views of them, so that checkpoints, callbacks
    and steps of torch's see and go on with the same numbers.

    Args:
        optimizer: for which ``can_do`` knows no reason; what it remembers is taken over.
        parameters: the model's, in order, on the CPU and of one data type.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
        self._optimizer = optimizer
        self._parameters = list(parameters)
        self._stacked = stacked_update([optimizer], [self._parameters], self._parameters[0].detach())
        self._form = _CODES[type(self._stacked)]
        groups = optimizer.param_groups
        self._weight_decay = max(float(group.get("weight_decay", 0.0)) for group in groups)
        self._decayed = {id(p) for group in groups if group.get("weight_decay", 0.0) for p in group["params"]}
        ends = np.cumsum([parameter.numel() for parameter in self._parameters]).tolist()
        self._starts = [0, *ends[:-1]]
        self._mirrored: list[object] = []

    @staticmethod
    def can_do(optimizer: torch.optim.Optimizer) -> str | None:
        """Why an optimizer has no C form, in words; None if it has one.

        Args:
            optimizer: over all the parameters of a model.
        """
        problem = stacking_problem(optimizer)
        return None if problem is None else f"the optimizer has no C form: {problem}"

    @property
    def code(self) -> OptimizerCode:
        """What it is, as C is told."""
        group = self._optimizer.param_groups[0]
        settings = [self._weight_decay]
        for name in self._form.settings:
            value = group[name]
            settings += [float(number) for number in (value if isinstance(value, tuple | list) else [value])]
        flags = sum(1 << bit for bit, name in enumerate(_FLAGS) if group.get(name))
        return OptimizerCode(self._form.kind, flags, (ctypes.c_double * 8)(*settings))

    def pointers(self, number: int) -> list[int | None]:
        """Where C finds what is remembered of a parameter.

        Args:
            number: of the parameter, from 0.

        Returns:
            ``NUM_STATES`` addresses, None where the optimizer has less; the same for as long as this object lives.
        """
        buffers = self._stacked.buffers_of_rows()
        held = [buffers.get(name) for name in self._form.states]
        addresses = [None if t is None else t.data_ptr() + self._starts[number] * t.element_size() for t in held]
        return addresses + [None] * (NUM_STATES - len(addresses))

    def decays(self, number: int) -> int:
        """Whether weight decay applies to a parameter, as C is told: 1 or 0.

        Args:
            number: of the parameter, from 0.
        """
        return int(id(self._parameters[number]) in self._decayed)

    def plan(self, rates: Sequence[float]) -> np.ndarray:
        """Prepare the next steps, from what the optimizer remembers now, whoever did the last step.

        Args:
            rates: the learning rate of each.

        Returns:
            The coefficients of each step, float64 [S, C], row by row in memory.
        """
        self._stacked.take_over()
        self._mirrored = []
        planned = self._stacked.plan(np.asarray(rates, dtype=np.float64).reshape(-1, 1))
        return np.ascontiguousarray(planned[:, :, 0])

    def advance(self, num_steps: int) -> None:
        """Count steps that C has done, and let torch's ``optimizer.state`` show them.

        Args:
            num_steps: how many.
        """
        self._stacked.advance(num_steps)
        self.mirror()

    def mirror(self) -> None:
        """Let torch's ``optimizer.state`` be views of what is remembered; empty before the first step, as in torch."""
        if not self._stacked.buffers_of_rows():
            return
        state = self._optimizer.state
        if self._mirrored and all(
            state.get(parameter) is own and own for parameter, own in zip(self._parameters, self._mirrored, strict=True)
        ):
            return
        self._stacked.mirror()
        self._mirrored = [state[parameter] for parameter in self._parameters if parameter in state]
