"""Hydra finds ``hydra/launcher=vectorized`` here. Every start of Hydra imports this file, so that it imports little."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class VectorizedLauncherConfig:
    """What ``hydra/launcher=vectorized`` stands for."""

    _target_: str = "hydra_plugins.nnlab_launcher.VectorizedLauncher"
    #: processes that train at a time; null for one a core, or none beside this one where there is little to do
    num_workers: int | None = None


ConfigStore.instance().store("vectorized", VectorizedLauncherConfig, group="hydra/launcher", provider="nnlab")


class VectorizedLauncher(Launcher):  # type: ignore[misc]
    """Plans all members of a sweep before the first begins, and has them trained together."""

    def __init__(self, num_workers: int | None = None) -> None:
        self.num_workers = num_workers
        self.planning: Any = None
        self._launcher: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Look at the sweep as a whole."""
        from nnlab.sweep.crew import Processes
        from nnlab.sweep.launching import Launching, launcher

        self._launcher = launcher(hydra_context, task_function, config, Processes(self.num_workers))
        #: what composes members, and so validates them, before anything is written; None for Hydra's own launcher
        self.planning = self._launcher if isinstance(self._launcher, Launching) else None

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train the members."""
        found: Sequence[JobReturn] = self._launcher.launch(job_overrides, initial_job_idx)
        return found
