"""Hydra finds ``hydra/launcher=ray`` here. Every start of Hydra imports this file, so that it imports little."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class RayLauncherConfig:
    """What ``hydra/launcher=ray`` stands for."""

    _target_: str = "hydra_plugins.nnlab_ray_launcher.RayLauncher"
    #: of a cluster, such as auto, host:6379 or ray://host:10001; null for one on this machine, for this sweep alone
    address: str | None = None
    #: cores of a task, and the threads that it uses
    num_cpus: float = 1.0
    #: GPUs of a task, or a share of one; with 0 it sees none
    num_gpus: float = 0.0
    #: what else a task needs of its node, such as {big_memory: 1}
    resources: Any = None
    #: times that a job whose worker or node is lost begins again, from what its members have saved
    max_retries: int = 3
    #: tasks at a time; null for as many as the cluster has room for
    num_workers: int | None = None
    #: whether the nodes see the sweep's folder under the same path; false to send run folders there and back
    shared_folder: bool = True
    #: Ray's own, such as {env_vars: {NAME: value}}
    runtime_env: Any = None


ConfigStore.instance().store("ray", RayLauncherConfig, group="hydra/launcher", provider="nnlab")


class RayLauncher(Launcher):  # type: ignore[misc]
    """Plans all members of a sweep before the first begins, and has them trained together, as tasks of Ray."""

    def __init__(
        self,
        address: str | None,
        num_cpus: float,
        num_gpus: float,
        resources: Any,
        max_retries: int,
        num_workers: int | None,
        shared_folder: bool,
        runtime_env: Any,
    ) -> None:
        self.asked = (
            address, num_cpus, num_gpus, plain(resources), max_retries, num_workers, shared_folder, plain(runtime_env)
        )  # fmt: skip
        self.planning: Any = None
        self._launcher: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Look at the sweep as a whole."""
        from nnlab.sweep.launching import Launching, launcher
        from nnlab.sweep.ray_asked import RayAsked, crew_of

        crew = crew_of(RayAsked(*self.asked), config)
        self._launcher = launcher(hydra_context, task_function, config, crew)
        #: what composes members, and so validates them, before anything is written; None for Hydra's own launcher
        self.planning = self._launcher if isinstance(self._launcher, Launching) else None

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train the members."""
        found: Sequence[JobReturn] = self._launcher.launch(job_overrides, initial_job_idx)
        return found


def plain(value: Any) -> Any:
    """Without OmegaConf's types."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
