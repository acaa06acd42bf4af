"""Up to a peak, then far down."""

import math
from typing import Literal, final

from nnlab.schedule.base import Schedule, Unit


@final
class OneCycle(Schedule):
    """Up from ``peak / div_factor`` to the peak, then down (``torch.optim.lr_scheduler.OneCycleLR``).

    Smith and Topin, Super-Convergence, 2018. The momentum is not cycled (torch's ``cycle_momentum=False``); after the
    last step the rate stays where it is.

    Args:
        max_lr: the peak; None for the optimizer's own rate, ``optim.lr``. If given, ``optim.lr`` has no effect.
        total_steps: length of the cycle, in ``unit``; None for the whole run.
        pct_start: the share of the cycle that goes up, 0 to 1.
        anneal_strategy: the shape of the way: ``cos`` or ``linear``.
        div_factor: the peak over the first rate; positive.
        final_div_factor: the first rate over the last; positive.
        three_phase: True to go down as fast as up, to the first rate, and from there to the last; False to go down
            in one.
        unit: what t counts: ``epoch`` or ``step``.
        warmup_steps: length of a further linear warm-up in optimizer steps; 0 for none.

    Raises:
        ValueError: if an argument is outside its range.

    Example:
        >>> schedule = OneCycle(total_steps=7, pct_start=0.5, anneal_strategy="linear", div_factor=4.0,
        ...                     final_div_factor=1.0, three_phase=False, unit="step", warmup_steps=0)
        >>> [round(schedule.rate(1.0, t), 3) for t in range(8)]
        [0.25, 0.55, 0.85, 0.893, 0.679, 0.464, 0.25, 0.25]
    """

    def __init__(
        self,
        *,
        max_lr: float | None = None,
        total_steps: int | None = None,
        pct_start: float,
        anneal_strategy: Literal["cos", "linear"],
        div_factor: float,
        final_div_factor: float,
        three_phase: bool,
        unit: Unit,
        warmup_steps: int,
    ) -> None:
        super().__init__(unit, warmup_steps)
        if total_steps is not None and not total_steps >= 1:
            raise ValueError(f"schedule.total_steps: expected a whole number >= 1 or null, found {total_steps}")
        if max_lr is not None and not max_lr > 0:
            raise ValueError(f"schedule.max_lr: expected a number > 0 or null, found {max_lr}")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"schedule.pct_start: expected a number from 0 to 1, found {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"schedule.anneal_strategy: expected cos or linear, found {anneal_strategy!r}")
        for name, value in {"div_factor": div_factor, "final_div_factor": final_div_factor}.items():
            if not value > 0:
                raise ValueError(f"schedule.{name}: expected a number > 0, found {value}")
        self.max_lr = max_lr
        self.total_steps = total_steps
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.three_phase = three_phase
        self._length = total_steps

    def plan(self, num_steps: int, num_epochs: int) -> None:
        """Learn the run's length, as ``Schedule.plan``."""
        if self.total_steps is None:
            self._length = max(1, num_steps if self.unit == "step" else num_epochs)

    def rate(self, base_lr: float, t: int) -> float:
        """The learning rate at time t, as ``Schedule.rate``."""
        assert self._length is not None, "without total_steps, call plan first"
        t = min(t, self._length - 1)
        peak = base_lr if self.max_lr is None else self.max_lr
        first = peak / self.div_factor
        last = first / self.final_div_factor
        summit = self.pct_start * self._length - 1
        phases = [(summit, first, peak)]
        if self.three_phase:
            phases.append((2 * self.pct_start * self._length - 2, peak, first))
            phases.append((self._length - 1, first, last))
        else:
            phases.append((self._length - 1, peak, last))
        start = 0.0
        for end, start_lr, end_lr in phases[:-1]:
            if t <= end:
                return self._between(start_lr, end_lr, start, end, t)
            start = end
        end, start_lr, end_lr = phases[-1]
        return self._between(start_lr, end_lr, start, end, t)

    def _between(self, start_lr: float, end_lr: float, start: float, end: float, t: int) -> float:
        """The rate on the way from ``start_lr`` at time ``start`` to ``end_lr`` at time ``end``."""
        progress = (t - start) / (end - start) if end > start else 1.0
        if self.anneal_strategy == "linear":
            return start_lr + (end_lr - start_lr) * progress
        return end_lr + (start_lr - end_lr) / 2 * (1 + math.cos(math.pi * progress))
