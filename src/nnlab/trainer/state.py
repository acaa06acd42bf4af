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

    def take(self) -> dict[str, Any]:
        """A copy of the state: nested dicts and lists of tensors and plain values."""
        return {
            "model": copy_of(self.model.state_dict()),
            "optimizer": copy_of(self.optimizer.state_dict()),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler is not None else {},
            "generators": [generator.get_state() for generator in self.generators],
            "torch_generator": torch.get_rng_state(),
        }

    def put_back(self, state: dict[str, Any]) -> None:
        """Go back to a state that ``take`` gave; the state itself stays as it is."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy_of(state["optimizer"]))
        self.schedule.load_state_dict(state["schedule"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        for generator, stored in zip(self.generators, state["generators"], strict=True):
            generator.set_state(stored)
        torch.set_rng_state(state["torch_generator"])


def copy_of(value: Any) -> Any:
    """A nested structure with every tensor copied, and no two that share memory."""
    if isinstance(value, Tensor):
        return value.detach().clone(memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return {key: copy_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copy_of(item) for item in value)
    return value
