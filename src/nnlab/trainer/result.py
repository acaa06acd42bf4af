"""How a training went."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, float | int]


def scalars_of(row: Mapping[str, float | int]) -> dict[str, float]:
    """The numbers of a row that are logged: those with a slash in their name."""
    return {key: float(value) for key, value in row.items() if "/" in key}


@dataclass(frozen=True)
class FitResult:
    """How a training went.

    Args:
        status: ``running``, ``completed``, ``early_stopped``, ``diverged``, ``interrupted`` or ``preempted``.
        reason: why it ended, in words.
        epochs: finished epochs.
        steps: optimizer steps done.
        seconds: wall-clock time of the training.
        history: a row for each evaluation, as in ``metrics.csv``.
        best: the row that the monitored metric chose, or None.
        monitor: the monitored metric; ``train/loss`` where the wanted one does not exist.
        growing: the names of the metrics, such as ``accuracy``, that are the better the greater they are.
        diverged_at: the step whose loss was not finite, or None.
        signal: the number of the signal that ended it, or None.
        notes: one sentence for everything that fell back or failed on the way.
    """

    status: str
    reason: str
    epochs: int
    steps: int
    seconds: float
    history: list[Row]
    best: Row | None
    monitor: str
    growing: tuple[str, ...] = ()
    diverged_at: int | None = None
    signal: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def final(self) -> Row | None:
        """The last row with finite losses, or None if there is none.

        Just before a divergence the validation loss may overflow while the training loss is still a number.
        """
        finite = (row for row in reversed(self.history) if all(math.isfinite(row[key]) for key in _losses(row)))
        return next(finite, None)

    def to_json(self, name: str) -> dict[str, Any]:
        """The content of ``result.json``.

        Args:
            name: the run's name.
        """
        best = None
        if self.best is not None:
            best = {"epoch": self.best["epoch"], "metric": self.monitor, "value": self.best[self.monitor]} | self.best
        return {
            "name": name,
            "status": self.status,
            "reason": self.reason,
            "epochs": self.epochs,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "final": self.final or {},
            "best": best or {},
            "test": {},
            "greater_is_better": list(self.growing),
            "diverged_at": self.diverged_at,
            "notes": list(self.notes),
            "error": None,
        }


def _losses(row: Row) -> list[str]:
    return [key for key in row if key.endswith("/loss")]
