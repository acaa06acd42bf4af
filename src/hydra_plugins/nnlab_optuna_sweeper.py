"""Hydra finds ``hydra/sweeper=optuna`` here. Every start of Hydra imports this file, so that it imports little."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class OptunaSweeperConfig:
    """What ``hydra/sweeper=optuna`` stands for."""

    _target_: str = "hydra_plugins.nnlab_optuna_sweeper.OptunaSweeper"
    #: tpe, random, qmc, cmaes, grid or gp
    sampler: str = "tpe"
    #: trials in all, those included that an interrupted search has done; null for every cell with sampler=grid
    n_trials: int | None = 100
    #: of the suggestions: the same seed, the same trials
    seed: int = 0
    #: a metric such as valid/accuracy, or a list of several; null for trainer.monitor
    metric: Any = None
    #: minimize or maximize, or a list with one for each metric; null for what each metric says of itself
    direction: Any = None
    #: trials that are suggested and trained together; null for as many as fit, in at least ten batches
    batch_size: int | None = None
    #: runs of each trial, with the seed and those that follow it; the trial is their mean
    num_seeds: int = 1
    #: random trials before the sampler learns
    startup_trials: int = 10
    #: where Optuna's own tools find the study, such as sqlite:///study.db; null for study.db in the sweep's folder
    storage: str | None = None
    #: the study's name there; null for the folder's
    study_name: str | None = None
    #: what is searched, beside what is typed: {optim.lr: "tag(log, interval(1e-4, 1e-1))"}
    params: dict[str, str] = field(default_factory=dict)


ConfigStore.instance().store("optuna", OptunaSweeperConfig, group="hydra/sweeper", provider="nnlab")


class OptunaSweeper(Sweeper):  # type: ignore[misc]
    """Searches by Optuna: batch by batch, each of them trained by the launcher as a sweep is."""

    def __init__(
        self,
        sampler: str,
        n_trials: int | None,
        seed: int,
        metric: Any,
        direction: Any,
        batch_size: int | None,
        num_seeds: int,
        startup_trials: int,
        storage: str | None,
        study_name: str | None,
        params: dict[str, str],
    ) -> None:
        self.params = params
        self.asked = (
            sampler, n_trials, seed, texts(metric), texts(direction), batch_size, num_seeds, startup_trials, storage,
            study_name,
        )  # fmt: skip

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Look at the sweep as a whole."""
        self.context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Search."""
        from nnlab.sweep.search_command import search

        parser = OverridesParser.create(config_loader=self.context.config_loader)
        words = [*(f"{key}={text}" for key, text in self.params.items()), *arguments]
        search(parser.parse_overrides(words), self.asked, self.launcher)


def texts(value: Any) -> tuple[str, ...]:
    """One text, several or none."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(map(str, value))
