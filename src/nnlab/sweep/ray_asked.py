"""What ``hydra/launcher=ray`` is asked for, checked before Ray is looked for or a cluster is touched."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, final

from omegaconf import DictConfig, OmegaConf

from nnlab.config import ConfigError
from nnlab.sweep.crew import Crew, count_problem, own_paths


@final
@dataclass(frozen=True)
class RayAsked:
    """The keys of ``hydra.launcher``; ``hydra_plugins/nnlab_ray_launcher.py`` says what each means.

    Raises:
        ConfigError: with every value that is none.
    """

    address: str | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    resources: Mapping[str, float] | None = None
    max_retries: int = 3
    num_workers: int | None = None
    shared_folder: bool = True
    runtime_env: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        problems = [
            f"hydra.launcher.{key}: {problem}"
            for key, problem in (
                ("address", "expected an address such as auto, or null" if self.address == "" else None),
                ("num_cpus", _amount_problem(self.num_cpus)),
                ("num_gpus", _amount_problem(self.num_gpus)),
                ("resources", _resources_problem(self.resources)),
                ("max_retries", count_problem(self.max_retries, 0)),
                ("num_workers", None if self.num_workers is None else count_problem(self.num_workers, 1)),
                ("runtime_env", _environment_problem(self.runtime_env)),
            )
            if problem is not None
        ]
        if problems:
            raise ConfigError(*problems)

    @property
    def needs(self) -> dict[str, float]:
        """What a task takes of its node, under Ray's names."""
        own = {"CPU": self.num_cpus, "GPU": self.num_gpus, **(self.resources or {})}
        return {name: float(amount) for name, amount in own.items() if amount > 0}

    @property
    def num_threads(self) -> int:
        """Threads that a task may use."""
        return max(1, int(self.num_cpus))


def crew_of(asked: RayAsked, config: DictConfig) -> Crew:
    """Who trains a sweep on Ray.

    Args:
        asked: what for.
        config: the sweep's own, with ``hydra``.

    Raises:
        ConfigError: if Ray is not installed, no cluster answers, or none of its nodes has what a task needs.
    """
    if find_spec("ray") is None:
        raise ConfigError("hydra/launcher=ray needs Ray: pip install 'nnlab[ray]'")
    from nnlab.sweep.on_ray import RayCrew

    environment = OmegaConf.to_container(config.hydra.job.env_set, resolve=False)
    assert isinstance(environment, dict)
    return RayCrew(asked, {str(name): str(value) for name, value in environment.items()})


def surroundings(asked: RayAsked, environment: Mapping[str, str]) -> dict[str, Any]:
    """What tasks find around them: the packages that this process finds, and no GPU unless they asked for one.

    Args:
        asked: what for.
        environment: variables that tasks find, by name; those that ``runtime_env`` names come from there.

    Returns:
        A runtime environment, as Ray calls it.
    """
    variables = {"PYTHONPATH": os.pathsep.join(own_paths())} if own_paths() else {}
    if asked.num_gpus == 0:
        variables["CUDA_VISIBLE_DEVICES"] = ""  # Ray itself shows all of them to such a task
    theirs = dict(asked.runtime_env or {})
    given = {str(name): str(value) for name, value in theirs.get("env_vars", {}).items()}
    return {**theirs, "env_vars": {**variables, **environment, **given}}


def _amount_problem(amount: float) -> str | None:
    if not (math.isfinite(amount) and amount >= 0):
        return f"expected a number from 0 on, found {amount}"
    if amount > 1 and amount != int(amount):
        return f"expected a share up to 1, or a whole number, as Ray wants it, found {amount}"
    return None


def _resources_problem(resources: Any) -> str | None:
    if resources is None:
        return None
    if not isinstance(resources, Mapping):
        return f"expected names and amounts, such as {{big_memory: 1}}, or null, found {resources!r}"
    for name, amount in resources.items():
        if name in ("CPU", "GPU"):
            return f"{name} is hydra.launcher.num_{name.lower()}s"
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not amount > 0:
            return f"{name}: expected an amount above 0, found {amount!r}"
        problem = _amount_problem(amount)
        if problem is not None:
            return f"{name}: {problem}"
    return None


def _environment_problem(environment: Any) -> str | None:
    if environment is None:
        return None
    if not isinstance(environment, Mapping):
        return f"expected such as {{env_vars: {{NAME: value}}}}, or null, found {environment!r}"
    variables = environment.get("env_vars", {})
    if not isinstance(variables, Mapping):
        return f"env_vars: expected names and values, found {variables!r}"
    if any(value is None or isinstance(value, Mapping | list) for value in variables.values()):
        return "env_vars: expected a text for each name"
    return None
