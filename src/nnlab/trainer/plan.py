"""How long a training runs and when it evaluates and saves."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from nnlab.trainer.checkpoint import parse_cadence


@dataclass
class Progress:
    """How far a training is.

    Args:
        epoch: finished epochs.
        step: optimizer steps done.
        batch: optimizer steps done in the epoch under way.
    """

    epoch: int = 0
    step: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Plan:
    """The length of a training.

    Args:
        steps_per_epoch: optimizer steps in one epoch.
        max_epochs: epochs after which it ends.
        max_steps: steps after which it ends, if that comes first; None for no such limit.
        eval_every: epochs between evaluations.
    """

    steps_per_epoch: int
    max_epochs: int
    max_steps: int | None
    eval_every: int

    @property
    def num_steps(self) -> int:
        """Optimizer steps in the whole training."""
        steps = self.max_epochs * self.steps_per_epoch
        return steps if self.max_steps is None else min(steps, self.max_steps)

    @property
    def num_epochs(self) -> int:
        """Epochs in the whole training, one that is cut short included."""
        return -(-self.num_steps // self.steps_per_epoch)

    def is_done(self, progress: Progress) -> bool:
        """Whether the training is at its end."""
        return progress.step >= self.num_steps

    def evaluates(self, epoch: int) -> bool:
        """Whether an evaluation follows the epoch with this number (from 0)."""
        return (epoch + 1) % self.eval_every == 0 or epoch + 1 >= self.num_epochs


@final
class Cadence:
    """Tells when to save: every so many steps, seconds or epochs.

    Args:
        text: such as ``50``, ``30s`` or ``2ep``.
        clock: monotonic seconds.
    """

    def __init__(self, text: str | int, clock: Callable[[], float] = time.monotonic) -> None:
        self.number, self.unit = parse_cadence(text)
        self._clock = clock
        self._saved = clock()

    def is_due(self, progress: Progress) -> bool:
        """Whether to save after this step."""
        if self.unit == "s":
            return self._clock() - self._saved >= self.number
        if self.unit == "step":
            return progress.step % self.number == 0
        return progress.batch == 0 and progress.epoch % self.number == 0

    def steps_before(self, progress: Progress) -> int | None:
        """Steps after which it can be time to save at the earliest; None where no number of steps decides that."""
        return int(self.number) - progress.step % int(self.number) if self.unit == "step" else None

    def saved(self) -> None:
        """Start counting anew."""
        self._saved = self._clock()
