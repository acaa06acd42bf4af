"""The vectorized launcher: from the members' overrides to a frozen plan, and on to what trains it."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus, env_override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from nnlab.check.composition import chosen
from nnlab.config import ConfigError, config_folder, load_yaml
from nnlab.experiment import Result
from nnlab.folder import RUN_FILE, FolderError
from nnlab.lock import RunLock
from nnlab.report.search_record import SEARCH_FILE
from nnlab.sweep.composing import Composed, Composer
from nnlab.sweep.crew import Crew
from nnlab.sweep.hydra_files import HydraFiles
from nnlab.sweep.plan import MOST_WITH_FIGURES, PLAN_FILE, Plan, PlannedMember, differences, read_plan, relative
from nnlab.sweep.plan_check import is_plain_name
from nnlab.sweep.rung import Rung

SWEEP_FILE = "multirun.yaml"
#: sweepers that hand over all members at once
_WHOLE = ("grid", "basic")
#: those that freeze the plan batch by batch, and go on with one
_SEARCHES = ("optuna", "halving")
#: differences of two plans that are shown
_MOST_SHOWN = 8


@runtime_checkable
class Session(Protocol):
    """What the launcher asks of the program that started Hydra."""

    name: str
    typed: str
    plugins: Sequence[str]
    shows_plan: bool
    is_guest: bool

    def __call__(self, config: DictConfig) -> None:
        """Train one member, as Hydra's basic launcher wants it."""

    def say(self, text: str) -> None:
        """Print a line."""

    def show(self, plan: Plan, crew: Crew) -> None:
        """Print a plan, and do nothing."""

    def sweep(self, plan: Plan, crew: Crew, rung: Rung | None = None) -> Sequence[Result]:
        """Train all members of a plan that are not done; what those came to that have begun.

        The caller holds the sweep's lock.
        """

    def took(self, results: Sequence[Result]) -> None:
        """What all members of a sweep came to that was trained in several goes, or by earlier processes."""


@final
class Launching:
    """One sweep.

    Args:
        context: Hydra's.
        session: the program.
        config: the sweep's own, with ``hydra``.
        folder: the sweep's.
        crew: who trains the members.
    """

    def __init__(self, context: HydraContext, session: Session, config: DictConfig, folder: Path, crew: Crew) -> None:
        self.context = context
        self.session = session
        self.config = config
        self.folder = folder
        self.crew = crew
        self._composer = Composer(context.config_loader, config)

    def launch(self, batch: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Freeze the plan of all members and have it trained, or go on with the one that is there.

        Args:
            batch: the overrides of each member.
            first: the number of the first one.

        Returns:
            What Hydra's sweepers ask for; how the members ended is in their folders.

        Raises:
            ConfigError: for members that cannot be composed, or that have no folder of their own.
            FolderError: if another plan is there, or another process works on the sweep.
        """
        assert first == 0
        members = self._composer.compose(batch)
        plan = self._plan(members, len(members) <= MOST_WITH_FIGURES)
        if self.session.shows_plan:
            try:
                self.session.show(plan, self.crew)
            finally:
                self.crew.close()
            return []
        with self.held():
            plan = self._frozen(plan, members)
            self.session.sweep(plan, self.crew)
        return [_returned(member) for member in plan.members]

    def freeze(self, batch: Sequence[Sequence[str]]) -> Plan:
        """Write the plan of all members, or find that it is there already. The lock is held.

        Args:
            batch: the overrides of each.

        Raises:
            ConfigError: for members that cannot be composed, or that have no folder of their own.
            FolderError: if another plan is there.
        """
        members = self._composer.compose(batch)
        return self._frozen(self._plan(members, has_figures=False), members)

    def _frozen(self, plan: Plan, members: Sequence[Composed]) -> Plan:
        if (self.folder / PLAN_FILE).exists():
            return _same(read_plan(self.folder), plan)
        self._write(plan, members)
        return plan

    @contextmanager
    def held(self) -> Iterator[None]:
        """While it lasts, no other process works on the sweep.

        Raises:
            FolderError: if another one does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with RunLock(self.folder), env_override(self.config.hydra.job.env_set):
            try:
                yield
            finally:
                self.crew.close()

    def planned(self, batch: Sequence[Sequence[str]]) -> tuple[PlannedMember, ...]:
        """Members as they would be; nothing is written.

        Args:
            batch: the overrides of each.

        Raises:
            ConfigError: for members that cannot be composed.
        """
        return self._plan(self._composer.compose(batch), has_figures=False).members

    def compare(self, batch: Sequence[Sequence[str]]) -> None:
        """Refuse what the plan has otherwise, from its first member on.

        Args:
            batch: the overrides of each.

        Raises:
            FolderError: in that case.
        """
        new = Plan(self.folder, "", self.planned(batch))
        _same(Plan(self.folder, "", read_plan(self.folder).members[: len(batch)]), new)

    def train(self, batch: Sequence[Sequence[str]], first: int) -> Sequence[Result]:
        """Add members to the plan, if they are not in it, and train those that are not done. The lock is held.

        They draw no figures of their own, unless that is among the overrides.

        Args:
            batch: the overrides of each.
            first: the number of the first one.

        Returns:
            What those came to that have begun: all, unless a signal ended it.

        Raises:
            ConfigError: for members that cannot be composed, or that have no folder of their own.
            FolderError: if the plan has other members under these numbers.
        """
        members = self._composer.compose(batch, first)
        new = self._plan(members, has_figures=False)
        old = read_plan(self.folder).members if (self.folder / PLAN_FILE).exists() else ()
        known = Plan(self.folder, new.command, old[first : first + len(members)])
        if known.members:
            new = _same(known, new)
        else:
            self._write(new, members, Plan(self.folder, new.command, (*old, *new.members)))
        return self.session.sweep(new, self.crew)

    def _plan(self, members: Sequence[Composed], has_figures: bool) -> Plan:
        taken: dict[str, int] = {}
        for member in members:
            name, number = member.subdir, member.number
            if not is_plain_name(name):
                raise ConfigError(
                    f"hydra.sweep.subdir: expected a plain name, since members lie directly in their sweep's folder, "
                    f"found {name!r} for member {number}; hydra/launcher=basic takes any path"
                )
            if taken.setdefault(name, number) != number:
                raise ConfigError(
                    f"hydra.sweep.subdir: members {taken[name]} and {number} would share {name!r}; "
                    "${hydra.job.num} tells them apart"
                )
        typed = any(override.lstrip("+").startswith("figures=") for override in members[0].overrides)
        has_figures = has_figures or typed
        planned = (
            PlannedMember(
                member.number,
                self.folder / member.subdir,
                str(member.config["name"] or self.session.name),
                member.overrides,
                member.config if has_figures else {**member.config, "figures": []},
                chosen(member.choices),
            )
            for member in members
        )
        return Plan(self.folder, self.session.typed, tuple(planned))

    def _write(self, plan: Plan, members: Sequence[Composed], whole: Plan | None = None) -> None:
        """The plan last, or the whole that it is part of: until it is there, the same command begins anew."""
        whole = whole or plan
        whole.payload()  # too many members are refused before any of them has a folder
        OmegaConf.save(self.config, self.folder / SWEEP_FILE)
        files = HydraFiles()
        for planned, composed in zip(plan.members, members, strict=True):
            try:
                files.write(composed, planned.folder)
            except OSError as error:
                # Its own run says what it comes to; nobody else's depends on it.
                self.session.say(f"note: {error.filename or planned.folder} could not be written: {error.strerror}")
        whole.write()


def launcher(context: HydraContext, task: Any, config: DictConfig, crew: Crew) -> Launching | BasicLauncher:
    """What launches the members of a sweep: all of them as one plan, or Hydra's basic launcher where that has to be.

    Args:
        context: Hydra's.
        task: the program that started Hydra.
        config: the sweep's own, with ``hydra``.
        crew: who trains the members.

    Raises:
        HydraException: if the program is not nnlab.
        FolderError: if the sweep's folder holds something that is not to be gone on with.
    """
    if not isinstance(task, Session):
        raise HydraException("hydra/launcher=vectorized trains the runs of `nnlab train -m`, and nothing else")
    folder = relative(Path(str(config.hydra.sweep.dir)))
    why = _why_basic(config, context)
    if why is None:
        if not task.shows_plan:
            _check_folder(folder, str(config.hydra.runtime.choices["hydra/sweeper"]))
        return Launching(context, task, config, folder, crew)
    if task.shows_plan:
        raise ConfigError(f"--plan: there is none to show: {why}, so members run one after another")
    if task.is_guest:  # for each member, Hydra would configure logging and change what belongs to the whole process
        raise ConfigError(f"nnlab.sweep: members would run one after another, since {why}: that does `nnlab train -m`")
    if (folder / PLAN_FILE).exists() or (folder / SWEEP_FILE).exists():
        raise FolderError(f"{folder} already holds a sweep, which is not to be gone on with here: {why}")
    task.say(f"members run one after another, as with hydra/launcher=basic: {why}")
    basic = BasicLauncher()
    basic.setup(hydra_context=context, task_function=task, config=config)
    return basic


def _why_basic(config: DictConfig, context: HydraContext) -> str | None:
    """Why each member has to be a job of Hydra's own, if it has to be."""
    job, sweeper = config.hydra.job, str(config.hydra.runtime.choices["hydra/sweeper"])
    if job.chdir:
        return "hydra.job.chdir lets each work in a folder of its own"
    if "${" in str(OmegaConf.to_container(job.env_set)):
        return "hydra.job.env_set depends on what it is set for"
    logging_now = OmegaConf.to_container(config.hydra.job_logging)
    if logging_now != load_yaml(config_folder() / "hydra" / "job_logging" / "nnlab.yaml") or config.hydra.verbose:
        return "hydra.job_logging or hydra.verbose is not nnlab's"
    for callback in context.callbacks.callbacks:
        kind = type(callback)
        if any(getattr(kind, name, None) is not getattr(Callback, name) for name in ("on_job_start", "on_job_end")):
            return f"the callback {kind.__name__} is called for each"
    if sweeper not in (*_WHOLE, *_SEARCHES) or config.hydra.sweeper.get("max_batch_size") is not None:
        return f"hydra/sweeper={sweeper} hands over some at a time"
    return None


def _check_folder(folder: Path, sweeper: str) -> None:
    if (folder / PLAN_FILE).exists():
        if sweeper not in ("grid", *_SEARCHES):
            raise FolderError(f"{folder} already holds a sweep; hydra/sweeper={sweeper} does not go on with one")
        if (sweeper in _SEARCHES) != (folder / SEARCH_FILE).exists():
            kind = "search" if (folder / SEARCH_FILE).exists() else "sweep"
            raise FolderError(f"{folder} already holds a {kind}; another hydra.sweep.dir starts a new one")
        return
    if (folder / RUN_FILE).exists():
        raise FolderError(f"{folder} already holds a run; another hydra.sweep.dir starts a new sweep")
    if folder.is_dir() and any(path for name in ("run", "result") for path in folder.glob(f"*/{name}.json")):
        raise FolderError(
            f"{folder} already holds a sweep, and no {PLAN_FILE} says what is missing of it; another hydra.sweep.dir "
            "starts a new one"
        )


def _same(old: Plan, new: Plan) -> Plan:
    """The plan that is there, if it is the command's."""
    found = differences(old, new)
    if not found:
        return old
    more = [f"… and {len(found) - _MOST_SHOWN} more differences"] if len(found) > _MOST_SHOWN else []
    way = f"`nnlab resume {shlex.quote(str(old.folder))}` goes on with its plan as it was"
    raise FolderError(
        "\n  ".join(
            [
                f"{old.folder} already holds a sweep, with another plan than this command and the configs make now:",
                *found[:_MOST_SHOWN],
                *more,
                f"{way}; another hydra.sweep.dir starts a new sweep",
            ]
        )
    )


def _returned(member: PlannedMember) -> JobReturn:
    found = JobReturn(overrides=list(member.overrides), working_dir=str(Path.cwd()), status=JobStatus.COMPLETED)
    found.return_value = None
    return found
