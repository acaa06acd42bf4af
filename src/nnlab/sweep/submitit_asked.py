"""What ``hydra/launcher=submitit_local`` and ``submitit_slurm`` are asked for, checked before anything is submitted."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, final

from nnlab.config import ConfigError
from nnlab.sweep.crew import Crew, count_problem


@final
@dataclass(frozen=True)
class Slurm:
    """The keys of ``hydra.launcher`` that SLURM alone has."""

    partition: str | None = None
    qos: str | None = None
    account: str | None = None
    constraint: str | None = None
    setup: Sequence[str] | None = None
    additional_parameters: Mapping[str, Any] | None = None


@final
@dataclass(frozen=True)
class SubmititAsked:
    """The keys of ``hydra.launcher``; ``hydra_plugins/nnlab_submitit_launcher.py`` says what each means.

    Raises:
        ConfigError: with every value that is none.
    """

    timeout_min: int
    cpus_per_task: int
    gpus_per_node: int
    mem_gb: float | None
    name: str
    num_workers: int | None
    max_num_timeout: int
    signal_delay_s: int
    max_retries: int
    slurm: Slurm | None = None

    def __post_init__(self) -> None:
        counts = {
            "timeout_min": (self.timeout_min, 1),
            "cpus_per_task": (self.cpus_per_task, 1),
            "gpus_per_node": (self.gpus_per_node, 0),
            "num_workers": (1 if self.num_workers is None else self.num_workers, 1),
            "max_num_timeout": (self.max_num_timeout, 0),
            "signal_delay_s": (self.signal_delay_s, 1),
            "max_retries": (self.max_retries, 0),
        }
        found = {key: count_problem(number, least) for key, (number, least) in counts.items()}
        found["mem_gb"] = None if self.mem_gb is None else _memory_problem(self.mem_gb)
        found["name"] = _name_problem(self.name)
        if found["signal_delay_s"] is None and found["timeout_min"] is None:
            found["signal_delay_s"] = _delay_problem(self.signal_delay_s, self.timeout_min)
        if self.slurm is not None:
            found["setup"] = _setup_problem(self.slurm.setup)
            found["additional_parameters"] = _parameters_problem(self.slurm.additional_parameters)
        problems = [f"hydra.launcher.{key}: {problem}" for key, problem in found.items() if problem is not None]
        if problems:
            raise ConfigError(*problems)

    @property
    def launcher(self) -> str:
        """Its option in Hydra."""
        return "submitit_local" if self.slurm is None else "submitit_slurm"


def crew_of(asked: SubmititAsked) -> Crew:
    """Who trains a sweep through submitit.

    Args:
        asked: what for.

    Raises:
        ConfigError: if submitit is not installed, or SLURM is asked for where it is not.
    """
    if find_spec("submitit") is None:
        raise ConfigError(f"hydra/launcher={asked.launcher} needs submitit: pip install 'nnlab[slurm]'")
    missing = [name for name in ("sbatch", "srun", "squeue", "scancel") if shutil.which(name) is None]
    if asked.slurm is not None and missing:
        raise ConfigError(
            f"hydra/launcher=submitit_slurm: this machine has no {missing[0]}, a command of SLURM; start it where "
            "jobs are submitted, or train here by hydra/launcher=submitit_local"
        )
    from nnlab.sweep.by_submitit import SubmititCrew

    return SubmititCrew(asked)


def _memory_problem(amount: float) -> str | None:
    return None if 0 < amount < float("inf") else f"expected GB, above 0, or null, found {amount}"


def _name_problem(name: str) -> str | None:
    is_plain = bool(name) and all(sign.isalnum() or sign in "-_." for sign in name)
    return None if is_plain else f"expected letters, digits, '-', '_' and '.', found {name!r}"


def _delay_problem(delay_s: int, timeout_min: int) -> str | None:
    limit = 60 * timeout_min
    return None if delay_s < limit else f"expected less than the {limit} seconds of timeout_min, found {delay_s}"


def _setup_problem(setup: Any) -> str | None:
    if setup is None:
        return None
    if isinstance(setup, Sequence) and not isinstance(setup, str) and all(isinstance(line, str) for line in setup):
        return None
    return f"expected lines of shell, such as ['module load cuda'], or null, found {setup!r}"


def _parameters_problem(parameters: Any) -> str | None:
    if parameters is None:
        return None
    if not isinstance(parameters, Mapping):
        return f"expected sbatch's own, such as {{mail-type: END}}, or null, found {parameters!r}"
    for name, value in parameters.items():
        if not isinstance(value, str | int | float | bool):
            return f"{name}: expected a text, a number or true, found {value!r}"
    return None
