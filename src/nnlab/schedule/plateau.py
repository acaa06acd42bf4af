"""Down when the monitored metric stands still."""

import math
from typing import Any, Final, Literal, final

from nnlab.schedule.base import Schedule, Unit

#: a smaller change of the rate is not made: torch's default ``eps``
SMALLEST_CHANGE: Final = 1e-8


@final
class Plateau(Schedule):
    """Multiplied by a factor when evaluations stop improving (``torch.optim.lr_scheduler.ReduceLROnPlateau``).

    It sees ``trainer.monitor`` after each evaluation, arranged so that smaller is better (torch's ``mode="min"``),
    and counts evaluations.

    Args:
        factor: what the rate is multiplied by, between 0 and 1.
        patience: evaluations without improvement that are put up with.
        threshold: how much better a value must be to count as an improvement; not negative.
        threshold_mode: ``rel`` for a share of the best value, ``abs`` for a difference.
        cooldown: evaluations to wait after a reduction before counting again.
        min_lr: the rate is never reduced below this; not negative.
        unit: ``epoch``; nothing is observed between epochs.
        warmup_steps: length of the linear warm-up in optimizer steps; 0 for none.

    Raises:
        ValueError: if an argument is outside its range.

    Example:
        >>> schedule = Plateau(factor=0.5, patience=1, threshold=0.0, threshold_mode="abs", cooldown=0, min_lr=0.0,
        ...                    unit="epoch", warmup_steps=0)
        >>> for value in (1.0, 1.0, 1.0):
        ...     schedule.observe(value)
        >>> schedule.rate(0.1, t=3)
        0.05
    """

    def __init__(
        self,
        factor: float,
        patience: int,
        threshold: float,
        threshold_mode: Literal["rel", "abs"],
        cooldown: int,
        min_lr: float,
        unit: Unit,
        warmup_steps: int,
    ) -> None:
        super().__init__(unit, warmup_steps)
        if unit != "epoch":
            raise ValueError(f"schedule.unit: expected epoch, as plateau reacts to evaluations; found {unit!r}")
        if not 0 < factor < 1:
            raise ValueError(f"schedule.factor: expected a number between 0 and 1, found {factor}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"schedule.threshold_mode: expected rel or abs, found {threshold_mode!r}")
        limits = {"patience": patience, "threshold": threshold, "cooldown": cooldown, "min_lr": min_lr}
        for name, value in limits.items():
            if not value >= 0:
                raise ValueError(f"schedule.{name}: expected a number >= 0, found {value}")
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._best: float | None = None
        self._num_bad = 0
        self._cooldown_left = 0
        self._num_reductions = 0

    def rate(self, base_lr: float, t: int) -> float:
        """The learning rate after what has been observed so far; t has no part in it."""
        rate = base_lr
        for _ in range(self._num_reductions):
            lower = max(rate * self.factor, self.min_lr)
            if rate - lower <= SMALLEST_CHANGE:
                break
            rate = lower
        return rate

    def observe(self, value: float, greater_is_better: bool = False) -> None:
        """See the monitored metric after an evaluation, as ``Schedule.observe``."""
        if self._is_better(value, greater_is_better):
            self._best = value
            self._num_bad = 0
        else:
            self._num_bad += 1
        if self._cooldown_left:
            self._cooldown_left -= 1
            self._num_bad = 0
        if self._num_bad > self.patience:
            self._num_reductions += 1
            self._cooldown_left = self.cooldown
            self._num_bad = 0

    def _is_better(self, value: float, greater_is_better: bool) -> bool:
        sign = 1 if greater_is_better else -1
        if self._best is None:
            return sign * value > -math.inf
        margin = self.threshold * (abs(self._best) if self.threshold_mode == "rel" else 1)
        return sign * (value - self._best) > margin

    def state_dict(self) -> dict[str, Any]:
        """Plain values that a resumed run needs."""
        return {
            "best": self._best,
            "num_bad": self._num_bad,
            "cooldown_left": self._cooldown_left,
            "num_reductions": self._num_reductions,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        self._best = state["best"]
        self._num_bad = state["num_bad"]
        self._cooldown_left = state["cooldown_left"]
        self._num_reductions = state["num_reductions"]
