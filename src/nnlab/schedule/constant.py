"""The same learning rate throughout."""

from typing import final

from nnlab.schedule.base import Schedule


@final
class Constant(Schedule):
    """The optimizer's own rate at every time; with ``warmup_steps`` a linear warm-up and nothing else.

    Args:
        unit: of no effect here.
        warmup_steps: length of the linear warm-up in optimizer steps; 0 for none.

    Example:
        >>> schedule = Constant(unit="epoch", warmup_steps=2)
        >>> [schedule.learning_rate(0.1, step, epoch=0) for step in range(3)]
        [0.05, 0.1, 0.1]
    """

    def rate(self, base_lr: float, t: int) -> float:
        """The learning rate at time t, as ``Schedule.rate``."""
        return base_lr
