"""Hydra finds ``hydra/launcher=ray`` here. Every start of Hydra imports this file, so that it imports little."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class RayLauncherConfig:
    """What ``hydra/launcher=ray`` stands for."""

    _target_: str = "hydra_plugins.nnlab_ray_launcher.RayLauncher"
    #: of a cluster, such as auto or 10.0.0.1:6379; null for a cluster of this machine alone
    address: str | None = None
    #: of each task
    num_cpus: float = 1
    #: of each task; a fraction lets several share one
    num_gpus: float = 0
    #: other resources that each task takes, by name
    resources: dict[str, float] = field(default_factory=dict)
    #: how often a job is begun again whose worker or node was lost
    max_retries: int = 3
    #: tasks at a time; null for as many as the cluster has room for
    num_workers: int | None = None


ConfigStore.instance().store("ray", RayLauncherConfig, group="hydra/launcher", provider="nnlab")


class RayLauncher(Launcher):  # type: ignore[misc]
    """Plans all members of a sweep before the first begins, and has them trained by a Ray cluster."""

    def __init__(
        self,
        address: str | None,
        num_cpus: float,
        num_gpus: float,
        resources: dict[str, float],
        max_retries: int,
        num_workers: int | None,
    ) -> None:
        self.asked = (address, num_cpus, num_gpus, dict(resources), max_retries, num_workers)
        self.planning: Any = None
        self._launcher: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Look at the sweep as a whole."""
        from nnlab.sweep.launchers import need_ray

        need_ray()
        from nnlab.sweep.launching import Launching, launcher
        from nnlab.sweep.on_ray import RayAsked, RayCrew

        self._launcher = launcher(hydra_context, task_function, config, RayCrew(RayAsked(*self.asked)))
        #: what composes members, and so validates them, before anything is written; None for Hydra's own launcher
        self.planning = self._launcher if isinstance(self._launcher, Launching) else None

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train the members."""
        found: Sequence[JobReturn] = self._launcher.launch(job_overrides, initial_job_idx)
        return found
