"""Half a cosine from the optimizer's rate down."""

import math
from typing import final

from nnlab.schedule.base import Schedule, Unit


@final
class Cosine(Schedule):
    """``eta_min + (lr - eta_min) (1 + cos(pi t / T)) / 2`` (``torch.optim.lr_scheduler.CosineAnnealingLR``).

    Loshchilov and Hutter, SGDR, 2017, without restarts: after T the rate stays at ``eta_min``.

    Args:
        total_steps: T, in ``unit`` (torch's ``T_max``); None for the whole run.
        eta_min: the rate at the end, not negative.
        unit: what t counts: ``epoch`` or ``step``.
        warmup_steps: length of the linear warm-up in optimizer steps, counted within T; 0 for none.

    Raises:
        ValueError: if an argument is outside its range.

    Example:
        >>> schedule = Cosine(total_steps=4, eta_min=0.0, unit="step", warmup_steps=0)
        >>> [round(schedule.rate(1.0, t), 3) for t in range(6)]
        [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    def __init__(self, *, total_steps: int | None = None, eta_min: float, unit: Unit, warmup_steps: int) -> None:
        super().__init__(unit, warmup_steps)
        if total_steps is not None and not total_steps >= 1:
            raise ValueError(f"schedule.total_steps: expected a whole number >= 1 or null, found {total_steps}")
        if not eta_min >= 0:
            raise ValueError(f"schedule.eta_min: expected a number >= 0, found {eta_min}")
        self.total_steps = total_steps
        self.eta_min = eta_min
        self._length = total_steps

    def plan(self, num_steps: int, num_epochs: int) -> None:
        """Learn the run's length, as ``Schedule.plan``."""
        if self.total_steps is None:
            self._length = max(1, num_steps if self.unit == "step" else num_epochs)

    def rate(self, base_lr: float, t: int) -> float:
        """The learning rate at time t, as ``Schedule.rate``."""
        assert self._length is not None, "without total_steps, call plan first"
        progress = min(t / self._length, 1.0)
        return self.eta_min + (base_lr - self.eta_min) * (1 + math.cos(math.pi * progress)) / 2
