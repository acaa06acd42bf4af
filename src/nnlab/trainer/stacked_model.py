"""K models with equal layers as one: their parameters in one tensor, their gradients from one pass."""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Precision
from nnlab.gradient.stacked import stacked_gradient
from nnlab.loss.objective import Objective
from nnlab.model.stacked import stacked_layers

#: numbers; rows of parameters are padded to a multiple of it, so that no kernel of the CPU ever works on a remainder
#: with other instructions, and a run's bits do not depend on where in the stack it is
PADDING = 32
#: Kernels that work element by element take the last numbers of a tensor, fewer than these, one at a time, and round
#: them in another way. A stack has so many more rows, which are nobody's, that they take the place of a run's.
REMAINDER = 32
#: numbers of one run in the largest activation of one evaluation pass; bounds memory. Not of all runs: products round
#: the last rows of a pass in another way, and which they are must not depend on the number of runs.
NUMBERS_PER_PASS = 1 << 16


@final
class StackedModel:
    """Parameters, buffers and gradients of K runs, and the module that computes with all of them.

    Each run's own model goes on living: its parameters and buffers become views of its row here, so that whoever looks
    at it or changes it sees and changes the stack.

    Args:
        models: equal in their layers, on one device, of one dtype.
        objective: one run's loss and penalties; all have the same.
        least_rows: B, the fewest rows of a batch or a split.

    Raises:
        ValueError: if the models cannot be computed together, with the reason.
    """

    def __init__(self, models: Sequence[nn.Module], objective: Objective, least_rows: int = REMAINDER) -> None:
        self.models = list(models)
        #: R: the K rows of the runs, and behind them those that are nobody's; never 1, since products of one matrix are
        #: computed in another way
        self.num_rows = len(models) + -(-REMAINDER // least_rows)
        first = self.models[0]
        self._named = {name: parameter.shape for name, parameter in first.named_parameters()}
        if len(self._named) != len(list(first.named_parameters(remove_duplicate=False))):
            raise ValueError("a parameter has two places in the model")
        like = next(first.parameters())
        if any(parameter.dtype != like.dtype for parameter in first.parameters()):
            raise ValueError("its parameters are not all of one dtype")
        num_parameters = sum(shape.numel() for shape in self._named.values())
        shape = (self.num_rows, -(-num_parameters // PADDING) * PADDING)
        self.weights = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.grad = torch.zeros_like(self.weights)
        self._padding = self.weights.new_zeros((self.num_rows, shape[1] - num_parameters))
        self.buffers = {
            name: torch.stack([dict(model.named_buffers())[name] for model in self._of_rows()])
            for name, _ in first.named_buffers()
        }
        self.module, self._parameters = self._computing()
        self.objective = Objective(objective.loss, objective.penalty, self._penalized())
        self.gradient = stacked_gradient(self.module, objective.loss)
        self._bind()

    def check(self, inputs: Tensor) -> None:
        """Try models of one's own out; those that cannot be computed together have memory of their own afterwards.

        Args:
            inputs: some rows, shape [B, F].

        Raises:
            ValueError: with the reason.
        """
        if isinstance(self.module, nn.Sequential):
            return
        from nnlab.model.functional import FunctionalStack

        assert isinstance(self.module, FunctionalStack)
        try:
            self.module.check(self.models[0], inputs.expand(self.num_rows, *inputs.shape))
        except ValueError:
            for row in range(len(self.models)):
                self.release(row)
            raise

    def predict(self, inputs: Tensor) -> Tensor:
        """The outputs in evaluation mode.

        Args:
            inputs: shape [R, N, F]; ``expand`` costs nothing.

        Returns:
            Shape [R, N, O].
        """
        self.module.eval()
        widest = max([inputs.shape[-1], *(shape[0] for shape in self._named.values())])
        num_rows = max(1, NUMBERS_PER_PASS // widest)
        with torch.no_grad():
            outputs = [self.module(self._rows(part)) for part in torch.split(inputs, num_rows, dim=1)]
        self.module.train()
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)

    def start_step(self) -> None:
        """Forget the gradients of the step before."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def add_gradient(self, inputs: Tensor, target: Tensor, precision: Precision, share: float) -> tuple[Tensor, Tensor]:
        """Add a batch's gradient to each run's; see ``Gradient``.

        Args:
            inputs: shape [R, B, F].
            target: shape [R, B, …].
            precision: what to compute with.
            share: the batch's share of the rows of the update.

        Returns:
            The objectives [R] and the predictions [R, B, O].
        """
        return self.gradient(self.module, self.objective, self._rows(inputs), self._rows(target), precision, share)

    def collect(self) -> Tensor:
        """Bring the gradients of all parameters into one tensor, [K, P]; those of untrained parameters are zero."""
        parts = [
            (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad).reshape(self.num_rows, -1)
            for parameter in self._parameters.values()
        ]
        torch.cat([*parts, self._padding], dim=1, out=self.grad)
        return self.grad[: len(self.models)]

    def is_finite(self) -> list[bool]:
        """For each run, whether all its parameters and buffers are finite; waits for the device."""
        tensors = [self.weights, *(b for b in self.buffers.values() if b.is_floating_point())]
        finite = [torch.isfinite(tensor).flatten(1).all(dim=1) for tensor in tensors]
        flags: list[bool] = torch.stack(finite).all(dim=0).tolist()
        return flags[: len(self.models)]

    def tensors(self) -> list[Tensor]:
        """Parameters and buffers, each with the run axis first."""
        return [self.weights, *self.buffers.values()]

    def views_of(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """Parameters and buffers by name, [K, …], in tensors such as ``tensors`` gives."""
        return self._views(tensors[0]) | dict(zip(self.buffers, tensors[1:], strict=True))

    def release(self, row: int) -> None:
        """Give a run's model memory of its own; what happens to its row here no longer concerns it."""
        model = self.models[row]
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
            parameter.grad = None if parameter.grad is None else parameter.grad.clone()
        _set_buffers(model, {name: buffer.clone() for name, buffer in model.named_buffers()})

    def _computing(self) -> tuple[nn.Module, dict[str, nn.Parameter]]:
        views = self._views(self.weights)
        made = stacked_layers(self.models, views, self.buffers)
        if made is not None:
            return made
        from nnlab.model.functional import FunctionalStack

        module = FunctionalStack(self.models[0], views, self.buffers)
        return module, module.by_name

    def _penalized(self) -> list[Tensor]:
        linear = [name for name, module in self.models[0].named_modules() if isinstance(module, nn.Linear)]
        return [self._parameters[f"{name}.weight" if name else "weight"] for name in linear]

    def _bind(self) -> None:
        weights, grads = self._views(self.weights), self._views(self.grad)
        with torch.no_grad():
            for row, model in enumerate(self._of_rows()):
                for name, parameter in model.named_parameters():
                    weights[name][row].copy_(parameter)
            for row, model in enumerate(self.models):
                for name, parameter in model.named_parameters():
                    parameter.data = weights[name][row]
                    if parameter.grad is not None:
                        grads[name][row].copy_(parameter.grad)
                    parameter.grad = grads[name][row] if parameter.requires_grad else None
                _set_buffers(model, {name: stacked[row] for name, stacked in self.buffers.items()})

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        """Parts of a tensor [K, P] in the shapes of the parameters."""
        views, start = {}, 0
        for name, shape in self._named.items():
            views[name] = flat[:, start : start + shape.numel()].view(len(flat), *shape)
            start += shape.numel()
        return views

    def _of_rows(self) -> list[nn.Module]:
        return [*self.models, *self.models[-1:] * (self.num_rows - len(self.models))]

    def _rows(self, tensor: Tensor) -> Tensor:
        num_missing = self.num_rows - len(tensor)
        return torch.cat([tensor, tensor[-1:].expand(num_missing, *tensor.shape[1:])]) if num_missing else tensor


def _set_buffers(model: nn.Module, buffers: dict[str, Any]) -> None:
    for name, buffer in buffers.items():
        owner, _, key = name.rpartition(".")
        model.get_submodule(owner)._buffers[key] = buffer
