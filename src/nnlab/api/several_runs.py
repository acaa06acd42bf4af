"""``nnlab.sweep``: all runs of a sweep, and what they came to."""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final, overload

from omegaconf import DictConfig

from nnlab.api.comparing import Comparison, compare
from nnlab.api.guest import raise_late, signals, undisturbed
from nnlab.api.hydra_here import through_hydra
from nnlab.api.page import table
from nnlab.api.result import Result, number
from nnlab.api.words import as_path, checked_words, read_words
from nnlab.arguments import Arguments
from nnlab.callback.live_line import ProgressConsole
from nnlab.check import Command
from nnlab.command import OUTPUTS, quoted, remove_new, short_names
from nnlab.config import ConfigError
from nnlab.experiment import Result as RunResult
from nnlab.folder import make_folder
from nnlab.report.conclusion import conclude
from nnlab.sweep.crew import Crew
from nnlab.sweep.plan import PLANNING_LAUNCHERS, Plan, relative
from nnlab.sweep.run_plan import Outcome, run_plan
from nnlab.sweep.rung import WHOLE, Rung
from nnlab.words import counted

_EXAMPLE = '["optim=sgd,adam", "seed=range(5)"]'


@final
class Sweep(Sequence[Result]):
    """The runs of a sweep, in the order of their numbers.

    Args:
        folder: the sweep's.
        results: of the runs that have begun.
        num_members: runs that were asked for.
    """

    def __init__(self, folder: Path, results: Sequence[Result], num_members: int) -> None:
        self.folder = folder
        self._at = folder.absolute()
        self.results = tuple(results)
        self.num_members = num_members

    @property
    def status(self) -> str:
        """``completed``, ``failed`` if a run has failed, or ``interrupted``: then ``nnlab.resume`` goes on with it."""
        statuses = {result.status for result in self.results}
        if len(self.results) < self.num_members or statuses & {"interrupted", "preempted"}:
            return "interrupted"
        return "failed" if "failed" in statuses else "completed"

    def compare(
        self,
        metric: str | None = None,
        by: str | Sequence[str] | None = None,
        target: float | None = None,
        where: Sequence[str] = (),
    ) -> Comparison:
        """The runs held against each other; the arguments are those of ``nnlab.compare``."""
        return compare(self._at, metric, by, target, where)

    @overload
    def __getitem__(self, place: int) -> Result: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Result]: ...
    def __getitem__(self, place: int | slice) -> Result | Sequence[Result]:
        return self.results[place]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __repr__(self) -> str:
        return f"Sweep({self.status}: {self._count()}, {self.folder})"

    def _repr_html_(self) -> str:
        metrics = {str(result.metrics.best["metric"]) for result in self.results if result.metrics.best}
        best = f"best {metrics.pop()}" if len(metrics) == 1 else "best"
        rows = [_row(result, names_metric=best == "best") for result in self.results]
        columns = ("member", "status", best, "epoch", "test loss")
        return table(columns, rows, 2, f"{self.status}: {self._count()}, {self.folder}")

    def _count(self) -> str:
        whole = len(self.results) == self.num_members
        return counted(len(self.results), "run") if whole else f"{len(self.results)} of {self.num_members} runs"


def sweep(overrides: Sequence[str], folder: str | os.PathLike[str] | None = None, progress: bool = True) -> Sweep:
    """Train a run for every combination of values, as ``nnlab train -m`` does: the same plan, files and numbers.

    An interrupt from the keyboard ends it cleanly: the sweep has the status ``interrupted``, and ``nnlab.resume`` goes
    on with it.

    Args:
        overrides: what one would type, such as ``["optim=sgd,adam", "seed=range(5)"]``.
        folder: where the runs go; None for a new folder in ``./outputs``. One that holds the same sweep unfinished is
            gone on with.
        progress: whether to show how far it is.

    Returns:
        The runs. One that failed ends no other: its status says so.

    Raises:
        nnlab.ConfigError: with every mistake in the overrides.
        nnlab.FolderError: if the folder holds something else, or cannot be written.
    """
    arguments = read_words(overrides, "nnlab.sweep", _EXAMPLE)
    arguments = Arguments(arguments.overrides, {**arguments.flags, "--multirun": ""})
    with signals() as interrupt, undisturbed():
        command = checked_words(arguments, "hydra.sweep.dir", folder, multirun=True)
        _check_launcher(command)
        words, new = [*command.overrides, *short_names(command)], None
        if folder is not None:
            words.append(f"hydra.sweep.dir={quoted(as_path(folder))}")
        elif "hydra.sweep.dir" not in command.values:
            new = make_folder(OUTPUTS / command.name)
            words.append(f"hydra.sweep.dir={quoted(new)}")
        session = _Session(command, arguments, progress)
        try:
            through_hydra("multirun", words, arguments.config_dirs, session)
        except ConfigError:
            if new is not None and not any(new.iterdir()):
                remove_new(new)
            raise
        assert session.plan is not None
        found = as_sweep(session.plan, session.outcome, command.plugins)
    raise_late(interrupt, found.status, found)
    return found


def _row(result: Result, names_metric: bool) -> tuple[str, ...]:
    best = result.metrics.best
    value = "-" if not best else f"{best['metric'] + ' ' if names_metric else ''}{number(best['value'])}"
    test = number(result.metrics.test.get("loss"))
    return (result.folder.name, result.status, value, str(best.get("epoch", "-")), test)


def as_sweep(plan: Plan, outcome: Outcome, plugins: Sequence[str]) -> Sweep:
    """What a plan came to; the comparison is written into its folder.

    Args:
        plan: the sweep's.
        outcome: of its members.
        plugins: packages that are granted.
    """
    if outcome.results:
        conclude(plan.folder)
    results = [Result(result.folder, result.content, tuple(plugins)) for result in outcome.results]
    return Sweep(relative(plan.folder), results, len(plan.members))


def _check_launcher(command: Command) -> None:
    launcher, sweeper = (command.values.get(f"hydra/{part}") for part in ("launcher", "sweeper"))
    if launcher not in (None, *PLANNING_LAUNCHERS) or sweeper not in (None, "grid"):
        raise ConfigError(
            f"nnlab.sweep: members are trained by hydra/launcher={' or '.join(PLANNING_LAUNCHERS)} with "
            "hydra/sweeper=grid; "
            f"`nnlab {shlex.join(['train', '-m', *command.overrides])}` takes any"
        )


@final
class _Session:
    """What the vectorized launcher asks of the program that started Hydra."""

    def __init__(self, command: Command, arguments: Arguments, progress: bool) -> None:
        self.name = command.name
        self.typed = shlex.join(["nnlab", "train", *arguments.as_typed(), *arguments.overrides])
        self.shows_plan = False
        self.is_guest = True
        self.plan: Plan | None = None
        self.outcome = Outcome()
        self.plugins = command.plugins
        self._console = ProgressConsole(quiet=not progress)

    def __call__(self, config: DictConfig) -> None:
        raise AssertionError("the launcher trains a whole plan")

    def say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def show(self, plan: Plan, crew: Crew) -> None:
        raise AssertionError("nobody can ask for it")

    def sweep(self, plan: Plan, crew: Crew, rung: Rung | None = None) -> Sequence[RunResult]:
        self.plan = plan
        self.outcome = run_plan(plan, self._console, self.plugins, crew=crew, rung=rung or WHOLE)
        return self.outcome.results

    def took(self, results: Sequence[RunResult]) -> None:
        self.outcome.results = list(results)
