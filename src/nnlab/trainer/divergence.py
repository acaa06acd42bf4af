"""What happens when the loss is no longer a finite number."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nnlab.trainer.state import copy_of

ADVICE = (
    "lower the learning rate (optim.lr), clip the gradient (trainer.grad_clip_norm=1) "
    "or standardize the inputs (data.standardize=true)"
)


def first_non_finite(losses: Sequence[float], skips_overflow: bool) -> int | None:
    """The first step of an epoch whose loss is NaN or infinite.

    Args:
        losses: the objective of each step.
        skips_overflow: whether an fp16 scaler leaves out updates whose gradient overflows. Such steps are not
            divergence, unless there is no other left.

    Returns:
        Its index, or None.
    """
    bad = [index for index, loss in enumerate(losses) if not math.isfinite(loss)]
    if not bad or (skips_overflow and len(bad) < len(losses)):
        return None
    return bad[0]


def is_finite(tensors: list[Tensor]) -> bool:
    """Whether all numbers in some floating-point tensors of one dtype are finite; waits for the device."""
    if not tensors:
        return True
    # The largest magnitude of each: infinite or NaN as soon as one number is.
    largest = torch._foreach_norm(tensors, math.inf)
    return math.isfinite(torch.stack(largest).max().item())


def floating(model: nn.Module) -> list[Tensor]:
    """A model's parameters and buffers that hold floating-point numbers, in the model's own memory."""
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]


class LastFinite:
    """Remembers the newest state of a model that was finite, while an epoch is gone through again.

    Args:
        model: the model, finite now.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._tensors = floating(model)
        self._state = copy_of(model.state_dict())

    def check(self) -> bool:
        """After a step: whether the model is still finite; if not, it is put back to where it last was."""
        if is_finite(self._tensors):
            self._state = copy_of(self.model.state_dict())
            return True
        self.model.load_state_dict(self._state)
        return False
