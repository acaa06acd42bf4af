"""Hydra finds ``hydra/sweeper=halving`` here. Every start of Hydra imports this file, so that it imports little."""

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
class HalvingSweeperConfig:
    """What ``hydra/sweeper=halving`` stands for."""

    _target_: str = "hydra_plugins.nnlab_halving_sweeper.HalvingSweeper"
    #: random points of the space; null for all of them
    n_trials: int | None = None
    #: one trial of so many goes on at each rung, which is so many times as far as the one before
    reduction_factor: int = 3
    #: optimizer steps of the first rung, at least; null for as few as evaluations allow
    min_steps: int | None = None
    #: 1 for successive halving; more begin at higher rungs with fewer trials each, as in Hyperband
    brackets: int = 1
    #: of the random points
    seed: int = 0
    #: what decides, such as valid/accuracy; null for trainer.monitor
    metric: str | None = None
    #: minimize or maximize; null for what the metric says of itself
    direction: str | None = None
    #: runs of each trial, with the seed and those that follow it; the trial is their mean
    num_seeds: int = 1
    #: what is searched, beside what is typed: {optim.lr: "tag(log, interval(1e-4, 1e-1))"}
    params: dict[str, str] = field(default_factory=dict)


ConfigStore.instance().store("halving", HalvingSweeperConfig, group="hydra/sweeper", provider="nnlab")


class HalvingSweeper(Sweeper):  # type: ignore[misc]
    """Searches by successive halving or Hyperband: the launcher trains each rung as a sweep."""

    def __init__(
        self,
        n_trials: int | None,
        reduction_factor: int,
        min_steps: int | None,
        brackets: int,
        seed: int,
        metric: str | None,
        direction: str | None,
        num_seeds: int,
        params: dict[str, str],
    ) -> None:
        self.params = params
        self.asked = (n_trials, reduction_factor, min_steps, brackets, seed, metric, direction, num_seeds)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Look at the sweep as a whole."""
        self.context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: Sequence[str]) -> Any:
        """Search."""
        from nnlab.sweep.search_command import halve

        parser = OverridesParser.create(config_loader=self.context.config_loader)
        words = [*(f"{key}={text}" for key, text in self.params.items()), *arguments]
        halve(parser.parse_overrides(words), self.asked, self.launcher)
