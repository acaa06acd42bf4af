"""Hydra finds ``hydra/sweeper=grid`` here. Every start of Hydra imports this file, so that it imports little."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser


@dataclass
class GridSweeperConfig(BasicSweeperConf):  # type: ignore[misc]
    """What ``hydra/sweeper=grid`` stands for."""

    _target_: str = "hydra_plugins.nnlab_sweeper.GridSweeper"


ConfigStore.instance().store("grid", GridSweeperConfig, group="hydra/sweeper", provider="nnlab")


class GridSweeper(BasicSweeper):  # type: ignore[misc]
    """Hydra's basic sweeper, that composes one member for each choice of groups to validate all of them."""

    def sweep(self, arguments: list[str]) -> Any:
        """Launch every combination of the values that are given as lists."""
        if getattr(self.launcher, "planning", None) is None:
            return super().sweep(arguments)
        # The launcher composes all members before anything is written, multirun.yaml too.
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        (batch,) = self.split_arguments(parser.parse_overrides([*self._parse_config(), *arguments]), None)
        return [self.launcher.launch(batch, initial_job_idx=0)]

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose what has to be composed to know that all of it can be."""
        from nnlab.sweep.composing import Composer

        super().validate_batch_is_legal(Composer(self.hydra_context.config_loader, self.config).one_of_each(batch))
