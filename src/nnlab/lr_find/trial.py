"""The run whose learning rate is looked for, freed of everything that has no part in it."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnlab.config import ConfigError

#: the schedule that leaves the rate alone
_CONSTANT = {"_target_": "nnlab.schedule.Constant", "unit": "epoch", "warmup_steps": 0}


@dataclass(frozen=True)
class Trial:
    """A run's config with what concerns the learning rate alone.

    Args:
        config: resolved, plain values; to be copied before a rate is put in.
        choices: the option chosen for each group.
        lr: the run's own rate.
        notes: one sentence for everything that was set aside or means something else than usual.
    """

    config: Mapping[str, Any]
    choices: Mapping[str, Any]
    lr: float
    notes: list[str] = field(default_factory=list)

    @property
    def optimizer(self) -> str:
        """The class of the optimizer, such as ``Adam``."""
        return str(self.config["optim"]["_target_"]).rpartition(".")[2]

    def at(self, lr: float, max_steps: int, seed: int | None = None, eval_every: int = 1) -> dict[str, Any]:
        """The config of a short training; it ends no later than the run itself would.

        Args:
            lr: its learning rate.
            max_steps: its length, optimizer steps.
            seed: of weights and orders; None for the run's own.
            eval_every: epochs between evaluations.
        """
        config = copy.deepcopy(dict(self.config))
        config["optim"]["lr"] = lr
        config["seed"] = config["seed"] if seed is None else seed
        own = config["trainer"]["max_steps"]
        steps = max_steps if own is None else min(own, max_steps)
        config["trainer"] |= {"max_steps": steps, "eval_every": eval_every}
        return config


def trial_of(config: Mapping[str, Any], choices: Mapping[str, Any]) -> Trial:
    """Take a run's config for short trainings at constant rates that leave nothing on disk.

    Args:
        config: resolved, plain values.
        choices: the option chosen for each group.

    Returns:
        The trial.

    Raises:
        ConfigError: for an optimizer that has no learning rate, or a run of no steps.
    """
    kept = copy.deepcopy(dict(config))
    lr = kept["optim"].get("lr")
    if not isinstance(lr, int | float) or isinstance(lr, bool):
        raise ConfigError(f"optim={choices['optim']}: it has no optim.lr, so there is nothing to find")
    trainer = kept["trainer"]
    for key in ("max_epochs", "max_steps"):
        if trainer[key] == 0:
            raise ConfigError(f"trainer.{key}: expected a run of at least one step, found 0")
    notes = []
    if kept["schedule"]["_target_"] != _CONSTANT["_target_"] or kept["schedule"].get("warmup_steps"):
        notes.append(f"schedule={choices['schedule']} and its warm-up are set aside: every rate is tried as a constant")
    if kept["callback"]:
        notes.append(f"callbacks are set aside: {', '.join(kept['callback'])}")
    kept["schedule"], kept["metric"], kept["callback"], kept["logger"] = dict(_CONSTANT), {}, {}, {}
    trainer |= {"monitor": "valid/loss", "dry_run": False, "profile": False}
    trial = Trial(kept, choices, float(lr), notes)
    if trial.optimizer in MEANS:
        notes.append(f"optim={choices['optim']}: lr is {MEANS[trial.optimizer]}")
    return trial


#: what the rate is to optimizers that have another idea of it
MEANS = {
    "LBFGS": "a factor of a whole quasi-Newton step, and 1 with optim.line_search_fn=strong_wolfe is usually right",
    "Rprop": "the size of its first step only: it finds every later one by itself",
    "Adadelta": "a factor of a step whose size it finds by itself, and 1 in its paper",
}
