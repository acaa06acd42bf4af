"""What every learning-rate schedule offers."""

from abc import ABC, abstractmethod
from typing import Any, Literal

Unit = Literal["epoch", "step"]


class Schedule(ABC):
    """The learning rate of each step.

    ``rate`` gives the rate at time t, counted from 0 in ``unit``; over the first ``warmup_steps`` steps it is
    multiplied by 1/warmup_steps, 2/warmup_steps, …, 1.

    Args:
        unit: what t counts: ``epoch`` or ``step``.
        warmup_steps: length of the linear warm-up in optimizer steps; 0 for none.

    Raises:
        ValueError: if the unit is unknown or the warm-up is negative.
    """

    def __init__(self, unit: Unit, warmup_steps: int) -> None:
        if unit not in ("epoch", "step"):
            raise ValueError(f"schedule.unit: expected epoch or step, found {unit!r}")
        if warmup_steps < 0:
            raise ValueError(f"schedule.warmup_steps: expected a number >= 0, found {warmup_steps}")
        self.unit = unit
        self.warmup_steps = warmup_steps

    @abstractmethod
    def rate(self, base_lr: float, t: int) -> float:
        """The learning rate at time t, without warm-up.

        Args:
            base_lr: the optimizer's own rate, ``optim.lr``.
            t: finished epochs or steps, from 0.

        Returns:
            The learning rate.
        """

    def learning_rate(self, base_lr: float, step: int, epoch: int) -> float:
        """The learning rate of one step, warm-up included.

        Args:
            base_lr: the optimizer's own rate, ``optim.lr``.
            step: steps done before this one.
            epoch: epochs finished before this one.

        Returns:
            The learning rate.
        """
        rate = self.rate(base_lr, step if self.unit == "step" else epoch)
        if step < self.warmup_steps:
            rate *= (step + 1) / self.warmup_steps
        return rate

    def plan(self, num_steps: int, num_epochs: int) -> None:  # noqa: B027 - most need not know
        """Learn how long the run is going to be; called once before training.

        Args:
            num_steps: optimizer steps in the whole run.
            num_epochs: epochs in the whole run.
        """

    def observe(self, value: float, greater_is_better: bool = False) -> None:  # noqa: B027 - most do not react
        """See the monitored metric after an evaluation; only schedules that react to it do anything.

        Args:
            value: the metric.
            greater_is_better: the metric's direction.
        """

    def state_dict(self) -> dict[str, Any]:
        """Plain values that a resumed run needs; empty for a schedule that is a function of time alone."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        assert not state
