"""What a command asks of a search."""

from dataclasses import dataclass
from typing import final

from nnlab.config import ConfigError

DIRECTIONS = ("minimize", "maximize")


@final
@dataclass(frozen=True)
class Asked:
    """What ``hydra.sweeper`` says of a search.

    Args:
        sampler: one of ``nnlab.sweep.study.SAMPLERS``.
        n_trials: in all, those of earlier processes included; None for every cell of a grid.
        seed: of the suggestions.
        metric: the objectives, such as ``valid/loss``; empty for ``trainer.monitor``.
        direction: of each; empty for what each metric says of itself.
        batch_size: trials that are suggested together; None to choose by a rule.
        num_seeds: runs of each trial, whose mean it comes to: ``seed`` and those that follow it.
        startup_trials: random ones before the sampler learns.
        storage: of the copy for Optuna's own tools; None for ``study.db`` in the sweep's folder.
        study_name: there; None for the folder's name.
    """

    sampler: str
    n_trials: int | None
    seed: int
    metric: tuple[str, ...]
    direction: tuple[str, ...]
    batch_size: int | None
    num_seeds: int
    startup_trials: int
    storage: str | None
    study_name: str | None

    def check(self) -> None:
        """Refuse what means nothing.

        Raises:
            ConfigError: with every problem.
        """
        least = {"n_trials": 1, "batch_size": 1, "num_seeds": 1, "startup_trials": 0, "seed": 0}
        problems = [
            f"hydra.sweeper.{key}: expected at least {number}, found {getattr(self, key)}"
            for key, number in least.items()
            if getattr(self, key) is not None and getattr(self, key) < number
        ]
        if self.n_trials is None and self.sampler != "grid":
            problems.append("hydra.sweeper.n_trials: expected how many trials there are to be, found null")
        problems += [
            f"hydra.sweeper.direction: expected minimize or maximize, found {one!r}"
            for one in self.direction
            if one not in DIRECTIONS
        ]
        if self.direction and len(self.direction) != max(1, len(self.metric)):
            problems.append(f"hydra.sweeper.direction: expected one for each metric, found {len(self.direction)}")
        problems += [
            f"hydra.sweeper.metric: expected train/… or valid/…, found {name!r}"
            + ("; what the test split has chosen is not tested by it" if name.startswith("test/") else "")
            for name in self.metric
            if not name.startswith(("train/", "valid/"))
        ]
        if problems:
            raise ConfigError(*problems)
