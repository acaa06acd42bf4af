"""Hydra finds ``hydra/launcher=submitit_local`` and ``submitit_slurm`` here.

Every start of Hydra imports this file, so that it imports little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class SubmititLocalConfig:
    """What ``hydra/launcher=submitit_local`` stands for."""

    _target_: str = "hydra_plugins.nnlab_submitit_launcher.SubmititLocalLauncher"
    #: minutes that a job may take at a time
    timeout_min: int = 60
    #: cores of a job, and the threads that it uses
    cpus_per_task: int = 1
    #: GPUs of a job; with 0 it sees none
    gpus_per_node: int = 0
    #: memory of a job in GB; null for what the cluster gives, and without effect on one machine
    mem_gb: float | None = None
    #: of the jobs in the queue
    name: str = "nnlab"
    #: jobs of the queue among which a sweep is divided; null for as many as this machine has room for
    num_workers: int | None = None
    #: times that a job whose minutes are up goes on in a place of its own
    max_num_timeout: int = 3
    #: seconds before its minutes are up at which a job is told to save
    signal_delay_s: int = 90
    #: times that a job which was lost begins again, from what its members have saved
    max_retries: int = 1


@dataclass
class SubmititSlurmConfig(SubmititLocalConfig):
    """What ``hydra/launcher=submitit_slurm`` stands for."""

    _target_: str = "hydra_plugins.nnlab_submitit_launcher.SubmititSlurmLauncher"
    #: jobs of the queue among which a sweep is divided
    num_workers: int = 8
    #: SLURM's own
    partition: str | None = None
    qos: str | None = None
    account: str | None = None
    constraint: str | None = None
    #: lines of shell before the training begins
    setup: Any = None
    #: of sbatch, such as {mail-type: END}
    additional_parameters: Any = None


ConfigStore.instance().store("submitit_local", SubmititLocalConfig, group="hydra/launcher", provider="nnlab")
ConfigStore.instance().store("submitit_slurm", SubmititSlurmConfig, group="hydra/launcher", provider="nnlab")


#: timeout_min, cpus_per_task, gpus_per_node, mem_gb, name, num_workers, max_num_timeout, signal_delay_s, max_retries
_Common = tuple[int, int, int, float | None, str, int | None, int, int, int]


class _SubmititLauncher(Launcher):  # type: ignore[misc]
    """Plans all members of a sweep before the first begins, and has them trained by jobs of submitit.

    Args:
        asked: the keys that both have.
        slurm: those that SLURM alone has; None without it.
    """

    def __init__(self, asked: _Common, slurm: tuple[Any, ...] | None) -> None:
        self.asked = asked
        self.slurm = slurm
        self.planning: Any = None
        self._launcher: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Look at the sweep as a whole."""
        from nnlab.sweep.launching import Launching, launcher
        from nnlab.sweep.submitit_asked import Slurm, SubmititAsked, crew_of

        crew = crew_of(SubmititAsked(*self.asked, None if self.slurm is None else Slurm(*self.slurm)))
        self._launcher = launcher(hydra_context, task_function, config, crew)
        #: what composes members, and so validates them, before anything is written; None for Hydra's own launcher
        self.planning = self._launcher if isinstance(self._launcher, Launching) else None

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train the members."""
        found: Sequence[JobReturn] = self._launcher.launch(job_overrides, initial_job_idx)
        return found


@final
class SubmititLocalLauncher(_SubmititLauncher):
    """Jobs are processes of this machine."""

    def __init__(
        self,
        timeout_min: int,
        cpus_per_task: int,
        gpus_per_node: int,
        mem_gb: float | None,
        name: str,
        num_workers: int | None,
        max_num_timeout: int,
        signal_delay_s: int,
        max_retries: int,
    ) -> None:
        asked = (timeout_min, cpus_per_task, gpus_per_node, mem_gb, name, num_workers, max_num_timeout)
        super().__init__((*asked, signal_delay_s, max_retries), None)


@final
class SubmititSlurmLauncher(_SubmititLauncher):
    """Jobs are SLURM's."""

    def __init__(
        self,
        timeout_min: int,
        cpus_per_task: int,
        gpus_per_node: int,
        mem_gb: float | None,
        name: str,
        num_workers: int,
        max_num_timeout: int,
        signal_delay_s: int,
        max_retries: int,
        partition: str | None,
        qos: str | None,
        account: str | None,
        constraint: str | None,
        setup: Any,
        additional_parameters: Any,
    ) -> None:
        asked = (timeout_min, cpus_per_task, gpus_per_node, mem_gb, name, num_workers, max_num_timeout)
        slurm = (partition, qos, account, constraint, plain(setup), plain(additional_parameters))
        super().__init__((*asked, signal_delay_s, max_retries), slurm)


def plain(value: Any) -> Any:
    """Without OmegaConf's types."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
