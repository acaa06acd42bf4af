"""What every way to compute a gradient offers."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from nnlab.loss.objective import Objective


@dataclass(frozen=True)
class Precision:
    """The numbers that a run computes with.

    Args:
        dtype: of parameters and data.
        autocast: the dtype that matrix products are computed in, or None for ``dtype``.
        device_type: ``cpu`` or ``cuda``.
        scaler: scales the loss so that small fp16 gradients survive; None for other precisions.
    """

    dtype: torch.dtype
    autocast: torch.dtype | None
    device_type: str
    scaler: torch.amp.GradScaler | None = None

    def forward(self) -> AbstractContextManager[object]:
        """The context in which forward passes run."""
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.device_type, dtype=self.autocast)


class Gradient(ABC):
    """A way to compute the gradient of the objective with respect to the parameters."""

    #: whether it is the exact derivative, up to rounding, that any other exact way may compute in its place
    by_chain_rule: ClassVar[bool] = False

    def check(self, model: nn.Module, objective: Objective, precision: Precision, batch_size: int) -> None:  # noqa: B027
        """Refuse what this way cannot compute.

        Args:
            model: the model.
            objective: what is minimized.
            precision: what is computed with.
            batch_size: rows in a batch.

        Raises:
            ValueError: with the reason.
        """

    @abstractmethod
    def __call__(
        self, model: nn.Module, objective: Objective, inputs: Tensor, target: Tensor, precision: Precision, share: float
    ) -> tuple[Tensor, Tensor]:
        """Add ``share`` times the gradient of the batch's objective to the parameters' ``grad``.

        Args:
            model: the model, in training mode.
            objective: the loss and penalties, of a prediction and a target.
            inputs: shape [B, F].
            target: shape [B, O], or [B] of class codes.
            precision: what to compute with.
            share: the batch's share of the rows of the update; 1 where gradients are not accumulated.

        Returns:
            The batch's objective (a scalar) and the prediction, shape [B, O], both detached.
        """
