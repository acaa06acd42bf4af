"""The state of a training, taken and put back."""

from typing import Any

import torch
from torch import Tensor, nn

from nnlab.schedule.base import Schedule


class TrainingState:
    """Everything that decides how a training goes on: parameters, optimizer, schedule, scaler, random streams.

    Args:
        model: the model.
        optimizer: its optimizer.
        schedule: of the learning rate.
        scaler: of fp16 losses, or None.
        generators: private random streams (dropout).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        scaler: torch.amp.GradScaler | None,
        generators: list[torch.Generator],
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.scaler = scaler
        self.generators = generators
        self._model_tensors = list(model.state_dict().values())
        self._remembered: list[Tensor] = []
        self._rest: dict[str, Any] = {}

    def rebind(self) -> None:
        """Look for the model's tensors where they are now."""
        self._model_tensors = list(self.model.state_dict().values())
        self._remembered = []

    def remember(self) -> None:
        """Keep the state for ``go_back``: as ``take``, but into tensors that are made once."""
        tensors = self._tensors()
        if tensors is None or [t.shape for t in tensors] != [t.shape for t in self._remembered]:
            self._remembered = [tensor.detach().clone() for tensor in tensors or ()]
        else:
            torch._foreach_copy_(self._remembered, tensors)
        self._rest = self._without_tensors() if tensors is not None else self.take()

    def go_back(self) -> None:
        """Return to the state that ``remember`` kept."""
        if "model" in self._rest:
            self.put_back(self._rest)
            return
        for state in self.optimizer.state.values():
            if not self._rest["has_optimizer_state"]:
                state.clear()
        tensors = self._tensors()
        assert tensors is not None
        with torch.no_grad():
            torch._foreach_copy_(tensors, self._remembered)
        self._put_back_rest(self._rest)

    def _tensors(self) -> list[Tensor] | None:
        """Every tensor of model and optimizer, or None if the optimizer keeps other things as well (L-BFGS)."""
        values = [value for state in self.optimizer.state.values() for value in state.values()]
        if not all(isinstance(value, Tensor) for value in values):
            return None
        return self._model_tensors + values

    def _without_tensors(self) -> dict[str, Any]:
        return {
            "has_optimizer_state": any(self.optimizer.state.values()),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler is not None else {},
            "generators": [generator.get_state() for generator in self.generators],
            "torch_generator": torch.get_rng_state(),
            "cuda_generator": [torch.cuda.get_rng_state(device) for device in self._cuda_devices()],
        }

    def _cuda_devices(self) -> list[torch.device]:
        """Where dropout layers that are not nnlab's draw from."""
        return list({tensor.device for tensor in self._model_tensors if tensor.is_cuda})

    def take(self) -> dict[str, Any]:
        """A copy of the state: nested dicts and lists of tensors and plain values."""
        return {
            "model": copy_of(self.model.state_dict()),
            "optimizer": copy_of(self.optimizer.state_dict()),
            **self._without_tensors(),
        }

    def put_back(self, state: dict[str, Any]) -> None:
        """Go back to a state that ``take`` gave; the state itself stays as it is."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy_of(state["optimizer"]))
        self._put_back_rest(state)

    def _put_back_rest(self, state: dict[str, Any]) -> None:
        self.schedule.load_state_dict(state["schedule"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        for generator, stored in zip(self.generators, state["generators"], strict=True):
            generator.set_state(stored)
        torch.set_rng_state(state["torch_generator"])
        for device, stored in zip(self._cuda_devices(), state["cuda_generator"], strict=True):
            torch.cuda.set_rng_state(stored, device)


def copy_of(value: Any) -> Any:
    """A nested structure with every tensor copied, and no two that share memory."""
    if isinstance(value, Tensor):
        return value.detach().clone(memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return {key: copy_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copy_of(item) for item in value)
    return value
