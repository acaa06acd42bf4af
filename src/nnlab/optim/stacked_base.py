"""What every stacked optimizer offers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.optim.stacked_decay import StackedDecay
from nnlab.optim.stacked_state import StackedState


class StackedUpdate(ABC):
    """The updates of R runs by optimizers of one class, in one go: row r is what run r's optimizer does alone.

    The formulas are those of ``torch.optim`` (its ``_single_tensor`` functions). Numbers that depend on a row only
    are computed on the host in float64, as torch does with Python's floats, before the steps that need them.
    No operation mixes rows, so a row's result does not depend on the others.

    Args:
        optimizers: R with one ``stacking_key``; what they remember already is taken over, row by row.
        parameters: of each run, in the order in which they lie one after another in a row.
        weights: shape [R, P], or wider: what is behind the parameters is never touched. Tells data type and device.
    """

    #: settings whose being zero or not decides which operations an update consists of: all rows agree on them
    flags: ClassVar[tuple[str, ...]] = ("maximize",)
    #: what torch remembers once for each parameter -> its value before the first step
    counts: ClassVar[Mapping[str, float]] = {"step": 0.0}
    #: whether torch remembers something before the first step
    starts_at_once: ClassVar[bool] = False

    def __init__(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        parameters: Sequence[Sequence[nn.Parameter]],
        weights: Tensor,
    ) -> None:
        self._optimizers = list(optimizers)
        self._parameters = [list(own) for own in parameters]
        self._like = weights.new_empty(0)
        self._size = sum(parameter.numel() for parameter in self._parameters[0])
        self._is_maximized = self._flag("maximize")
        self._decay = StackedDecay(optimizers)
        buffers = [self.buffers(optimizer.param_groups[0]) for optimizer in optimizers]
        self._state = StackedState(optimizers, parameters, weights, self.counts if buffers[0] else {}, buffers)
        #: steps behind each row, int64 [R]; 1 stands for a row that has begun where torch keeps no count (SGD). Set it
        #: when ``tensors()`` are put back to an earlier step, and plan anew.
        self.num_steps: np.ndarray = self._state.take_over()
        self._coefficients: list[tuple[Tensor, ...]] = []
        self._counts: dict[str, tuple[Tensor, ...]] = {}
        self._next = 0
        self._is_prepared = False
        self._read_settings()

    @staticmethod
    @abstractmethod
    def buffers(group: Mapping[str, Any]) -> dict[str, float]:
        """What torch remembers in tensors of a parameter's shape.

        Args:
            group: a parameter group of the optimizer.

        Returns:
            Torch's name -> the value before the first step.
        """

    def _read_settings(self) -> None:  # noqa: B027
        """Read from the optimizers' settings what ``_plan`` needs."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the tensors that ``_update`` needs and that stay the same for all steps."""

    @abstractmethod
    def _plan(self, rates: np.ndarray, steps: np.ndarray) -> list[np.ndarray]:
        """What depends on row and step.

        Args:
            rates: learning rates, float64 [S, R].
            steps: number of each step in its row, from 1, float64 [S, R].

        Returns:
            C arrays, float64 [S, R].
        """

    @abstractmethod
    def _update(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        """One step.

        Args:
            weights: shape [R, P].
            grad: shape [R, P]; may be overwritten.
            coefficients: C columns of the plan, shape [R, 1].
        """

    def _plan_counts(self, steps: np.ndarray) -> dict[str, np.ndarray]:
        """What ``counts`` are after each step, [S, R]."""
        return {"step": steps}

    def _look_at(self, planned: np.ndarray) -> None:  # noqa: B027
        """See what ``_update`` has to know of its plan on the host.

        Args:
            planned: as from ``plan``.
        """

    def plan(self, rates: np.ndarray) -> np.ndarray:
        """What the next steps depend on besides weights, gradient and ``tensors()``.

        Args:
            rates: the learning rate of each row in each of the next S steps, float64 [S, R].

        Returns:
            The C coefficients of each step, float64 [S, C, R].
        """
        assert rates.shape[1] == len(self._optimizers), (rates.shape, len(self._optimizers))
        # A row whose rate is no number any more is its own affair, as it is with Python's floats.
        with np.errstate(all="ignore"):
            planned = self._plan(rates, self._steps_ahead(len(rates)))
        return np.stack(planned, axis=1) if planned else np.empty((len(rates), 0, rates.shape[1]))

    def plan_rates(self, rates: np.ndarray) -> None:
        """Prepare the next steps.

        Args:
            rates: the learning rate of each row in each of the next S steps, float64 [S, R].
        """
        if not self._is_prepared:
            self._decay.prepare(self._parameters, self._like)
            self._prepare()
            self._is_prepared = True
        planned = self.plan(rates)
        self._look_at(planned)
        # One copy to the device for all.
        columns = torch.from_numpy(planned).to(self._like).flatten(0, 1).unsqueeze(-1).unbind(0)
        width = planned.shape[1]
        self._coefficients = [columns[number * width : (number + 1) * width] for number in range(len(rates))]
        counts = self._plan_counts(self._steps_ahead(len(rates))) if self._state.counts else {}
        self._counts = {
            name: torch.from_numpy(values).to(self._state.counts[name]).unsqueeze(-1).unbind(0)
            for name, values in counts.items()
        }
        self._next = 0

    def step(self, weights: Tensor, grad: Tensor) -> None:
        """Take the next planned step.

        Args:
            weights: shape [R, P]; changed.
            grad: shape [R, P]; may be overwritten.
        """
        assert self._next < len(self._coefficients), "the step is not planned"
        self.update_by(weights, grad, self._coefficients[self._next])
        with torch.no_grad():
            for name, values in self._counts.items():
                self._state.counts[name].copy_(values[self._next])
        self._next += 1
        self.num_steps += 1

    def make_ready(self) -> int:
        """Make ready for ``update_by`` with coefficients that are known on the device alone.

        Returns:
            C, how many coefficients each row has in a step.
        """
        num_rows = len(self._optimizers)
        self.plan_rates(np.empty((0, num_rows)))  # makes the tensors that are the same for all steps
        num_coefficients = int(self.plan(np.empty((0, num_rows))).shape[1])
        # RAdam looks at its plan to leave out what changes nothing; here it must not know more than this.
        self._look_at(np.full((1, max(num_coefficients, 2), num_rows), np.nan))
        return num_coefficients

    def update_by(self, weights: Tensor, grad: Tensor, coefficients: tuple[Tensor, ...]) -> None:
        """The arithmetic of a step; nothing is counted, see ``advance``.

        Args:
            weights: shape [R, P], or wider; changed.
            grad: likewise; may be overwritten.
            coefficients: C of a plan, shape [R, 1].
        """
        with torch.no_grad():
            if weights.shape[1] > self._size:
                weights, grad = weights.narrow(1, 0, self._size), grad.narrow(1, 0, self._size)
            if self._is_maximized:
                grad.neg_()
            self._update(weights, grad, coefficients)

    def take_over(self) -> None:
        """Look again at what the optimizers remember, where anybody else may have changed it; plan anew afterwards."""
        self.num_steps[:] = self._state.take_over(has_begun=self._has_begun())

    def advance(self, num_steps: int) -> None:
        """Count steps whose arithmetic was done elsewhere, in place, on ``tensors()``; plan anew afterwards.

        Args:
            num_steps: how many each row has done.
        """
        counts = self._plan_counts(self._steps_ahead(num_steps)) if self._state.counts and num_steps else {}
        for name, values in counts.items():
            self._state.counts[name].copy_(torch.from_numpy(values[-1]).unsqueeze(1))
        self.num_steps += num_steps

    def mirror(self) -> None:
        """Let every optimizer's ``state`` hold what torch would: views of its row, which see all later steps too.

        A row that has not begun has an empty state.
        """
        self._state.mirror(self._has_begun())

    def tensors(self) -> list[Tensor]:
        """Every state tensor, with R as its first axis; always the same objects."""
        return self._state.tensors()

    def buffers_of_rows(self) -> Mapping[str, Tensor]:
        """Torch's name of each state tensor of the weights' shape -> that of all rows, shape [R, P]."""
        return self._state.buffers

    def _has_begun(self) -> np.ndarray:
        begun: np.ndarray = self.num_steps > (-1 if self.starts_at_once else 0)
        return begun

    def _steps_ahead(self, num_steps: int) -> np.ndarray:
        """Numbers of the next steps in each row, from 1, float64 [S, R]."""
        numbers: np.ndarray = self.num_steps + 1.0 + np.arange(num_steps)[:, None]
        return numbers

    def _setting(self, name: str, index: int | None = None) -> np.ndarray:
        """A setting of each row, or one number of a pair such as betas; float64 [R]."""
        values = [optimizer.param_groups[0][name] for optimizer in self._optimizers]
        return np.array([float(value if index is None else value[index]) for value in values])

    def _flag(self, name: str) -> bool:
        """A setting that all rows share."""
        return bool(self._optimizers[0].param_groups[0][name])

    def _column(self, values: np.ndarray) -> Tensor:
        """Numbers of each row as the weights' data type, shape [R, 1]."""
        return torch.from_numpy(values).to(self._like).unsqueeze(1)

    def _scratch(self) -> Tensor:
        """Room for intermediate results, shape [R, P]."""
        return self._like.new_empty(len(self._optimizers), self._size)
