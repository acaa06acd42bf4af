"""A constant factor, every time or every few times."""

from typing import final

from nnlab.schedule.base import Schedule, Unit


@final
class Step(Schedule):
    """``lr * gamma^floor(t / step_size)``, falling in stairs (``torch.optim.lr_scheduler.StepLR``).

    Args:
        step_size: length of one stair, in ``unit``; positive.
        gamma: the factor; positive.
        unit: what t counts: ``epoch`` or ``step``.
        warmup_steps: length of the linear warm-up in optimizer steps; 0 for none.

    Raises:
        ValueError: if an argument is outside its range.

    Example:
        >>> schedule = Step(step_size=2, gamma=0.5, unit="epoch", warmup_steps=0)
        >>> [schedule.rate(1.0, t) for t in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, step_size: int, gamma: float, unit: Unit, warmup_steps: int) -> None:
        super().__init__(unit, warmup_steps)
        if not step_size >= 1:
            raise ValueError(f"schedule.step_size: expected a whole number >= 1, found {step_size}")
        if not gamma > 0:
            raise ValueError(f"schedule.gamma: expected a number > 0, found {gamma}")
        self.step_size = step_size
        self.gamma = gamma

    def rate(self, base_lr: float, t: int) -> float:
        """The learning rate at time t, as ``Schedule.rate``."""
        return base_lr * float(self.gamma ** (t // self.step_size))


@final
class Exponential(Schedule):
    """``lr * gamma^t``, falling every time (``torch.optim.lr_scheduler.ExponentialLR``).

    Args:
        gamma: the factor; positive.
        unit: what t counts: ``epoch`` or ``step``.
        warmup_steps: length of the linear warm-up in optimizer steps; 0 for none.

    Raises:
        ValueError: if an argument is outside its range.

    Example:
        >>> schedule = Exponential(gamma=0.5, unit="epoch", warmup_steps=0)
        >>> [schedule.rate(1.0, t) for t in range(4)]
        [1.0, 0.5, 0.25, 0.125]
    """

    def __init__(self, gamma: float, unit: Unit, warmup_steps: int) -> None:
        super().__init__(unit, warmup_steps)
        if not gamma > 0:
            raise ValueError(f"schedule.gamma: expected a number > 0, found {gamma}")
        self.gamma = gamma

    def rate(self, base_lr: float, t: int) -> float:
        """The learning rate at time t, as ``Schedule.rate``."""
        return base_lr * float(self.gamma**t)
