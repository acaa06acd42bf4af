"""What the optimizers of many runs remember, in tensors whose row r is run r's."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor, nn


@final
class StackedState:
    """The state of R optimizers over parameters of equal shapes.

    A count (torch's ``step``) has one value for each parameter, as in torch, so that an optimizer that goes on alone
    with views of it counts each parameter once.

    Args:
        optimizers: R of one class.
        parameters: of each run, in the order in which they lie in a row.
        weights: tells data type and device.
        counts: torch's name of each count -> its value before the first step.
        buffers: for each run, torch's name of each tensor of a parameter's shape -> its value before the first step.
    """

    def __init__(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        parameters: Sequence[Sequence[nn.Parameter]],
        weights: Tensor,
        counts: Mapping[str, float],
        buffers: Sequence[Mapping[str, float]],
    ) -> None:
        self._optimizers = list(optimizers)
        self._parameters = [list(own) for own in parameters]
        self._first = [[*counts.values(), *own.values()] for own in buffers]
        num_rows, size = len(self._parameters), sum(parameter.numel() for parameter in parameters[0])
        form = _form_of_counts(optimizers[0], weights)
        self.counts = {
            name: torch.full_like(form, first).repeat(num_rows, len(self._parameters[0]))
            for name, first in counts.items()
        }
        self.buffers = {
            name: weights.new_tensor([own[name] for own in buffers]).unsqueeze(1).repeat(1, size) for name in buffers[0]
        }

    def tensors(self) -> list[Tensor]:
        """Every tensor, with R as its first axis."""
        return [*self.counts.values(), *self.buffers.values()]

    def take_over(self, has_begun: np.ndarray | None = None) -> np.ndarray:
        """Copy what torch remembers.

        Args:
            has_begun: which rows hold other values than those before the first step, bool [R]; None for none. Where
                torch has forgotten, they get these again.

        Returns:
            The steps behind each row, int64 [R]; where torch keeps no count, 1 for a row that has begun.
        """
        names = [*self.counts, *self.buffers]
        num_steps = np.zeros(len(self._optimizers), dtype=np.int64)
        for row, views in enumerate(self._views() if names else []):
            states = [self._optimizers[row].state.get(parameter, {}) for parameter in self._parameters[row]]
            if not any(states):
                if has_begun is not None and has_begun[row]:
                    self._start(row)
                continue
            for view, state in zip(views, states, strict=True):
                for name in names:
                    if view[name].data_ptr() != state[name].data_ptr():
                        view[name].copy_(state[name])
            num_steps[row] = 1 if "step" not in self.counts else int(states[0]["step"])
        return num_steps

    def mirror(self, has_begun: np.ndarray) -> None:
        """Let each optimizer's own state be views of its row.

        Args:
            has_begun: bool [R]; the state of the other rows is emptied.
        """
        for row, views in enumerate(self._views()):
            self._put(row, views if has_begun[row] else None)

    def _start(self, row: int) -> None:
        for tensor, first in zip(self.tensors(), self._first[row], strict=True):
            tensor[row] = first

    def _put(self, row: int, states: list[dict[str, Tensor]] | None) -> None:
        if not self.counts and not self.buffers:
            return
        optimizer = self._optimizers[row]
        if states is None:
            for parameter in self._parameters[row]:
                optimizer.state.pop(parameter, None)
            return
        by_parameter = dict(zip(self._parameters[row], states, strict=True))
        # In the order of the groups, in which torch fills the state.
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter] = by_parameter[parameter]

    def _views(self) -> list[list[dict[str, Tensor]]]:
        """For each row and parameter what torch would hold: name -> view; dictionaries that nobody else has."""
        return [[dict(views) for views in own] for own in self._made_views]

    @cached_property
    def _made_views(self) -> list[list[dict[str, Tensor]]]:
        shapes = [parameter.shape for parameter in self._parameters[0]]
        ends = np.cumsum([shape.numel() for shape in shapes]).tolist()
        by_parameter = []
        for number, (shape, end) in enumerate(zip(shapes, ends, strict=True)):
            views = {name: tensor[:, number].unbind(0) for name, tensor in self.counts.items()}
            for name, tensor in self.buffers.items():
                views[name] = tensor[:, end - shape.numel() : end].view(-1, *shape).unbind(0)
            by_parameter.append(views)
        return [
            [{name: rows[row] for name, rows in views.items()} for views in by_parameter]
            for row in range(len(self._parameters))
        ]


def _form_of_counts(optimizer: torch.optim.Optimizer, weights: Tensor) -> Tensor:
    """Data type and device that torch chooses: its fused kernels read the counts on the device, others on the host."""
    if optimizer.param_groups[0].get("fused"):
        return torch.zeros((), dtype=torch.float32, device=weights.device)
    return torch.zeros((), dtype=torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32)
