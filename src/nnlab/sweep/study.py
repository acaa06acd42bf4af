"""Optuna behind a search: what to try next, given what earlier trials came to.

A search asks and tells in memory, batch by batch, and is built up again from the sweep's own files.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from nnlab.config import ConfigError
from nnlab.folder import FolderError
from nnlab.report.search_record import Head, Trial
from nnlab.seeding import derive
from nnlab.sweep.space import Choice, Dimension, Real, Space, values_of

SAMPLERS = ("tpe", "random", "qmc", "cmaes", "grid", "gp")
#: those whose suggestions do not depend on what trials come to, so that all of them may be one batch
LEARNS_NOT = ("random", "qmc", "grid")
#: those whose next suggestion depends on having been asked for the earlier ones
_REMEMBERS = ("qmc", "cmaes", "grid")


@final
class Study:
    """A search's memory.

    Args:
        head: what the search goes by.
        space: what is chosen from.
    """

    def __init__(self, head: Head, space: Space) -> None:
        self.head = head
        self.space = space
        self.distributions = {key: _distribution(one) for key, one in space.dimensions.items()}
        self._num_batches = 0
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(directions=list(head.direction))

    def ask(self, size: int) -> list[Trial]:
        """Suggest the next batch.

        Args:
            size: of it.

        Returns:
            The trials; what they come to is told all together.
        """
        with _quiet():
            self._study.sampler = self._sampler()
            asked = [self._study.ask(self.distributions) for _ in range(size)]
        self._num_batches += 1
        dimensions = self.space.dimensions
        return [
            Trial(trial.number, {key: dimensions[key].text(trial.params[key]) for key in dimensions}) for trial in asked
        ]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn what a batch came to.

        Args:
            trials: all of the batch, ended, in the order of their numbers.
        """
        with _quiet():
            for trial in trials:
                try:
                    if trial.state == "failed":
                        self._study.tell(trial.number, state=TrialState.FAIL)
                    else:
                        self._study.tell(trial.number, self.objectives(trial))
                except RuntimeError:
                    # The grid sampler stops the study after its last cell, which only an optimize() can be.
                    if self.head.sampler != "grid":
                        raise

    def repeat(self, trials: Sequence[Trial]) -> None:
        """Take over a batch that an earlier process has suggested, to go on as if it had been this one.

        Args:
            trials: all of it, in the order of their numbers.

        Raises:
            FolderError: if this Optuna would have suggested something else.
        """
        if self.head.sampler not in _REMEMBERS:
            for trial in trials:
                self._study.add_trial(self.frozen(trial, TrialState.RUNNING))
            self._num_batches += 1
            return
        for was, now in zip(trials, self.ask(len(trials)), strict=True):
            if dict(was.values) != dict(now.values):
                raise FolderError(
                    f"trial {was.number}: Optuna {optuna.__version__} suggests {_shown(now)}, and the one that began "
                    f"this search suggested {_shown(was)}; go on with that version, or start a new search"
                )

    def objectives(self, trial: Trial) -> list[float]:
        """What a trial that has not failed came to; one that diverged is infinitely bad.

        Args:
            trial: ended.
        """
        if trial.state == "completed":
            return list(trial.objectives)
        return [math.inf if direction == "minimize" else -math.inf for direction in self.head.direction]

    def frozen(self, trial: Trial, state: TrialState) -> FrozenTrial:
        """A trial as Optuna keeps it.

        Args:
            trial: any.
            state: to keep it in.
        """
        dimensions = self.space.dimensions
        params = {key: dimensions[key].value(text) for key, text in trial.values.items()}
        values = self.objectives(trial) if state == TrialState.COMPLETE else None
        return create_trial(state=state, params=params, distributions=self.distributions, values=values)

    def importances(self, trials: Sequence[Trial]) -> list[dict[str, float]]:
        """How much each key decides of each objective; empty where too few trials tell.

        By functional ANOVA: F. Hutter, H. Hoos & K. Leyton-Brown, An Efficient Approach for Assessing Hyperparameter
        Importance, ICML 2014, as Optuna computes it.

        Args:
            trials: that have ended; those that diverged or failed say nothing.
        """
        study = optuna.create_study(directions=list(self.head.direction))
        study.add_trials([self.frozen(one, TrialState.COMPLETE) for one in trials if one.state == "completed"])
        return [self._importance(study, place) for place in range(len(self.head.metric))]

    def _importance(self, study: optuna.Study, place: int) -> dict[str, float]:
        def objective(trial: FrozenTrial) -> float:
            return float(trial.values[place])

        if len({objective(trial) for trial in study.trials}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.head.seed % 2**32)
        with _quiet():
            try:
                found = optuna.importance.get_param_importances(study, evaluator=evaluator, target=objective)
            except (ValueError, RuntimeError):  # every value of a key was the same
                return {}
        return {key: float(value) for key, value in found.items()}

    def _sampler(self) -> optuna.samplers.BaseSampler:
        name, startup = self.head.sampler, self.head.startup_trials
        # A stream for each batch: what a resumed search suggests depends on the trials alone.
        seed = derive(self.head.seed, "batch", self._num_batches) % 2**32
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)
        if name == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=startup)
        if name == "qmc":  # one sequence, whatever the batches
            return optuna.samplers.QMCSampler(seed=self.head.seed % 2**32, scramble=True)
        if name == "grid":
            cells = {key: values_of(one) for key, one in self.space.dimensions.items()}
            return optuna.samplers.GridSampler(cells, seed=self.head.seed % 2**32)
        return optuna.samplers.RandomSampler(seed=seed)


def check_sampler(sampler: str, space: Space, num_objectives: int) -> None:
    """Refuse a sampler that cannot choose from a space.

    Raises:
        ConfigError: in that case.
    """
    if sampler not in SAMPLERS:
        raise ConfigError(f"hydra.sweeper.sampler: expected one of {', '.join(SAMPLERS)}, found {sampler!r}")
    if num_objectives > 1 and sampler == "cmaes":
        raise ConfigError("hydra.sweeper.sampler=cmaes has one objective; the other samplers take several")
    if sampler == "grid" and space.num_cells is None:
        keys = [key for key, one in space.dimensions.items() if isinstance(one, Real) and one.step is None]
        raise ConfigError(
            f"hydra.sweeper.sampler=grid: {', '.join(keys)} has real numbers between any two; give values, or "
            "range(low, high, step=…)"
        )
    if sampler == "cmaes" and all(isinstance(one, Choice) for one in space.dimensions.values()):
        raise ConfigError("hydra.sweeper.sampler=cmaes: expected an interval or a range of numbers, found choices only")


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if isinstance(dimension, Real):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.is_log, step=dimension.step)
    return IntDistribution(dimension.low, dimension.high, log=dimension.is_log, step=dimension.step)


@contextmanager
def _quiet() -> Iterator[None]:
    """While it lasts, Optuna does not warn of what is experimental or sampled independently: the page says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _shown(trial: Trial) -> str:
    return " ".join(f"{key}={text}" for key, text in trial.values.items())
