"""Runs a checked command through Hydra: folders before, results and exit code after."""

import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nnlab import collector
from nnlab.arguments import Arguments
from nnlab.check import Command, check
from nnlab.check.composition import Composition, chosen, in_one_line
from nnlab.config import ConfigError, Library, config_folder
from nnlab.folder import FolderError, claim_folder, make_folder, member_name
from nnlab.lock import RunLock
from nnlab.sweep.plan import PLANNING_LAUNCHERS, Plan, plan_lines, relative
from nnlab.torchrun import is_silent, is_told_to_share

if TYPE_CHECKING:
    from nnlab.sweep.crew import Crew  # knows torch
    from nnlab.sweep.rung import Rung
    from nnlab.world import World

log = logging.getLogger("nnlab")

OUTPUTS = Path("outputs")
#: what a run's status means for the exit code; signals have codes of their own
FAILED = ("failed",)


def train(arguments: Arguments) -> int:
    """`nnlab train`: one run, or a sweep.

    Args:
        arguments: what was typed after the verb.

    Returns:
        The exit code.

    Raises:
        ConfigError: with every mistake in the command.
    """
    # A train.log that cannot be written must not bury the terminal in tracebacks; what could not be written is noted.
    logging.raiseExceptions = False
    multirun = "--multirun" in arguments.flags
    command = checked(arguments, multirun)
    flags = arguments.as_hydra_wants()
    if arguments.flags.keys() & {"--cfg", "--info", "--hydra-help", "--shell-completion"}:
        if is_silent():
            return 0
        try:
            return _through_hydra([*flags, *arguments.overrides], Session(command, None))
        except SystemExit as ending:
            # Hydra says what is wrong, such as an unknown --package, and ends with its own code.
            return 2 if ending.code else 0
    if is_told_to_share():
        if multirun or command.choices.get("compare"):
            raise ConfigError(
                "torchrun: its processes train one run together; a sweep starts workers of its own: leave torchrun out"
            )
        return _shared(arguments, command)
    if command.choices.get("compare"):
        if multirun:
            raise ConfigError(f"-m: compare={command.choices['compare'][0]} makes its own sweeps; leave -m out")
        return _fair_comparison(arguments, command)
    if multirun:
        return _sweep(arguments, command)
    folder, is_new = _run_folder(command, arguments.config_dirs)
    session = Session(command, folder if is_new else None)
    return _through_hydra([*flags, *arguments.overrides, f"hydra.run.dir={quoted(folder)}"], session)


def _shared(arguments: Arguments, command: Command) -> int:
    """One run on the processes that torchrun has started."""
    from nnlab.resume_command import resume
    from nnlab.run_record import read_record
    from nnlab.shared_run import run_shared

    def place(world: "World") -> Path:
        if "hydra.run.dir" in command.values:
            return Path(Composition(Library(arguments.config_dirs), command.overrides, resolve=True).run_dir)
        return OUTPUTS / command.name / world.run_id

    def begin(folder: Path) -> int:
        is_new = not folder.exists()
        claim_folder(folder)
        words = [word for word in arguments.overrides if not word.startswith("hydra.run.dir=")]
        session = Session(command, folder if is_new else None)
        return _through_hydra([*arguments.as_hydra_wants(), *words, f"hydra.run.dir={quoted(folder)}"], session)

    config, _ = composed(arguments.config_dirs, command.overrides)
    granted = [f"plugins=[{','.join(command.plugins)}]"] if command.plugins else []

    def go_on(folder: Path) -> int:
        if {**read_record(folder).config, "plugins": []} != {**config, "plugins": []}:
            raise FolderError(f"{folder} already holds a run of another command; another --rdzv-id starts a new one")
        return resume(folder, granted)

    return run_shared(str(config["device"]), place, begin, go_on)


def checked(arguments: Arguments, multirun: bool) -> Command:
    """The command, if there is no mistake in it.

    Raises:
        ConfigError: with every mistake; those that only building the parts can find are looked for as well.
    """
    command = check(arguments.overrides, Library(arguments.config_dirs), multirun)
    problems = list(command.problems)
    if problems and not multirun:
        found = _problems_of_values(arguments, command.good)
        # Beside an option that does not exist stands the default one: only what was typed can be judged then.
        problems += [text for text in found if not command.bad_groups or text.split(":")[0] in command.values]
    elif multirun and not problems:
        # What is wrong with a value that all members share ends the sweep before it begins.
        found = _problems_of_values(arguments, command.first_member)
        problems += [text for text in found if text.split(":")[0] in command.fixed]
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return command


def _problems_of_values(arguments: Arguments, overrides: list[str]) -> tuple[str, ...]:
    """What building the parts finds wrong with overrides that can be read."""
    from nnlab.build import build

    try:
        config, choices = composed(arguments.config_dirs, overrides)
        build(config, choices, None, "")
    except ConfigError as error:
        return error.problems
    return ()


def resolved_config(arguments: Arguments) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config and the choices that a command stands for, without running it.

    Raises:
        ConfigError: with every mistake in the command.
    """
    checked(arguments, multirun=False)
    return composed(arguments.config_dirs, arguments.overrides)


def composed(config_dirs: list[Path], overrides: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What Hydra composes from overrides, resolved to plain values.

    Args:
        config_dirs: the user's own folders of configs.
        overrides: checked ones.

    Returns:
        The config, and the option chosen for each group.

    Raises:
        ConfigError: if Hydra refuses something that the checks let through.
    """
    composition = Composition(Library(config_dirs), overrides, resolve=True)
    return composition.config, chosen(composition.choices)


class Session:
    """One invocation of Hydra: what its runs came to.

    Args:
        command: the checked command.
        new_folder: made for the single run, and removed if its config turns out to be wrong; None otherwise.
        arguments: what was typed for a sweep.
    """

    def __init__(self, command: Command, new_folder: Path | None, arguments: Arguments | None = None) -> None:
        with collector.resting():
            from nnlab.console import Terminal

        self.command = command
        self.new_folder = new_folder
        self.name = command.name
        self.plugins = command.plugins
        words = [*arguments.as_typed(), *arguments.overrides] if arguments is not None else command.overrides
        self.typed = shlex.join(["nnlab", "train", *words])
        self.shows_plan = arguments is not None and "--plan" in arguments.flags
        #: whether the process is another program's, with logging and settings of its own
        self.is_guest = False
        self.console = Terminal()
        self.results: list[Any] = []
        self.problems: tuple[str, ...] = ()
        self.exit_code = 0
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        """Print a line as it is."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, plan: Plan, crew: "Crew") -> None:
        """Print what a sweep would train, and what would go where and why: ``sweep``, without doing it."""
        from nnlab.sweep.jobs import plan_jobs
        from nnlab.sweep.run_plan import lines_of

        jobs = plan_jobs(plan.members, self.command.plugins, {}, crew.num_workers)
        for line in [*plan_lines(plan), *lines_of(jobs, crew)]:
            self.say(line)

    def sweep(self, plan: Plan, crew: "Crew", rung: "Rung | None" = None) -> Sequence[Any]:
        """Train the members of a plan that are not done: what the vectorized launcher calls.

        Args:
            plan: frozen.
            crew: who trains them.
            rung: how far, if not to their ends.

        Returns:
            What those came to that have begun.

        Raises:
            SystemExit: with the code of the signal that ended it.
        """
        from nnlab.sweep.run_plan import run_plan
        from nnlab.sweep.rung import WHOLE

        outcome = run_plan(plan, self.console, self.command.plugins, crew=crew, said=self._said, rung=rung or WHOLE)
        self.results = outcome.results
        self.exit_code = max(self.exit_code, outcome.code)
        if outcome.code > 1:
            raise SystemExit(outcome.code)
        return outcome.results

    def took(self, results: Sequence[Any]) -> None:
        """See ``nnlab.sweep.launching.Session``."""
        self.results = list(results)
        if any(result.status in FAILED for result in results):
            self.exit_code = max(self.exit_code, 1)

    def __call__(self, config: DictConfig) -> None:
        """Train one member, from config to result: what Hydra calls for each job.

        Raises:
            SystemExit: with the code of the signal that ended it.
        """
        from nnlab.trainer.interrupt import Interrupt

        with Interrupt() as interrupt:
            self._run(config)
        interrupt.obey()

    def _run(self, config: DictConfig) -> None:
        from nnlab import experiment
        from nnlab.one_run import train_member

        runtime = HydraConfig.get().runtime
        folder = relative(Path(runtime.output_dir))
        is_member = HydraConfig.get().mode is not None and HydraConfig.get().mode.name == "MULTIRUN"
        name = str(config.name or self.command.name)
        # As typed; a member has its own values in place of the lists.
        overrides = list(HydraConfig.get().overrides.task) if is_member else self.command.overrides
        problems: tuple[str, ...] = ()
        result = None
        with RunLock(folder) as lock:
            claim_folder(folder)  # once more: before it was locked, another process may have made a run of it
            try:
                member = experiment.prepare(plain(config), chosen(runtime.choices), overrides, folder, name)
            except ValueError as error:
                problems = error.problems if isinstance(error, ConfigError) else (str(error),)
            else:
                if lock.note:
                    member.built.trainer.sinks.note(lock.note)
                result = train_member(self.console, member, is_member)
                problems = member.refused
        if result is None:
            self._refused(folder, name, problems, is_member)
            return
        self.results.append(result)
        if result.status in FAILED:
            self.exit_code = 1

    def _refused(self, folder: Path, name: str, problems: tuple[str, ...], is_member: bool) -> None:
        if not is_member:
            self.problems = problems
            self.exit_code = 2
            return
        from nnlab.experiment import refused

        self.results.append(refused(folder, name, problems))
        self.exit_code = 1


def _fair_comparison(arguments: Arguments, command: Command) -> int:
    from nnlab.fair_comparison import compare_fairly
    from nnlab.sweep.protocol import read_protocol

    config, _ = composed(arguments.config_dirs, command.overrides)
    protocol = read_protocol(config)
    typed = [word for word in arguments.overrides if word.partition("=")[0] not in (protocol.over, "seed")]

    def members(overrides: Sequence[str]) -> Command:
        return checked(Arguments([*typed, *overrides], {**arguments.flags, "--multirun": ""}), multirun=True)

    def sweep(overrides: Sequence[str], folder: Path) -> int:
        found = members([*overrides, f"hydra.sweep.dir={quoted(folder)}"])
        words = [*arguments.as_hydra_wants(), "--multirun", *found.overrides, *short_names(found)]
        return _through_hydra(words, Session(found, None, arguments))

    for option in protocol.options:
        members(protocol.tuning(option, 0))
    folder, _ = _run_folder(command, arguments.config_dirs)
    return compare_fairly(
        protocol, int(config["seed"]), folder, sweep, f"nnlab train {shlex.join(arguments.overrides)}"
    )


def _sweep(arguments: Arguments, command: Command) -> int:
    session = Session(command, None, arguments)
    words = [*arguments.as_hydra_wants(), *command.overrides, *short_names(command)]
    launcher, sweeper = (command.values.get(f"hydra/{part}") for part in ("launcher", "sweeper"))
    if session.shows_plan:
        if launcher not in (None, *PLANNING_LAUNCHERS) or sweeper not in (None, "grid"):
            known = " or ".join(PLANNING_LAUNCHERS)
            raise ConfigError(f"--plan: only hydra/launcher={known} with hydra/sweeper=grid makes a plan")
        return _through_hydra(words, session)
    folder = None
    if "hydra.sweep.dir" not in command.values:
        folder = make_folder(OUTPUTS / command.name)
        words.append(f"hydra.sweep.dir={quoted(folder)}")
    elif launcher not in (None, *PLANNING_LAUNCHERS):
        _refuse_used_sweep(Path(str(command.values["hydra.sweep.dir"])))
    try:
        return _through_hydra(words, session)
    except ConfigError:
        if folder is not None and not any(folder.iterdir()):
            remove_new(folder)  # what only composing finds wrong with a member
        raise
    finally:
        if session.results:
            from nnlab.sweep.ending import print_ending

            print_ending(session.console, session.results)


def short_names(command: Command) -> list[str]:
    """Overrides that let members be called by what differs between them."""
    key = "hydra.job.config.override_dirname.exclude_keys"
    return [f"{key}={_quoted_list(command.fixed)}"] if command.fixed and key not in command.values else []


def _refuse_used_sweep(folder: Path) -> None:
    if (folder / "multirun.yaml").exists():
        raise FolderError(f"{folder} already holds a sweep; another hydra.sweep.dir starts a new one")


def _run_folder(command: Command, config_dirs: list[Path]) -> tuple[Path, bool]:
    """The folder of a single run, and whether nnlab made it just now."""
    if "hydra.run.dir" not in command.values:
        return make_folder(OUTPUTS / command.name), True
    folder = Path(Composition(Library(config_dirs), command.overrides, resolve=True).run_dir)
    is_new = not folder.exists()
    claim_folder(folder)
    return folder, is_new


def _through_hydra(words: list[str], session: Session) -> int:
    register_resolvers()
    main = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(session)
    before, sys.argv = sys.argv, ["nnlab", *words]
    try:
        with hydra_errors():
            main()
    except OSError as error:
        # Hydra's own files and run.json come before anything is trained; later writes are guarded one by one.
        raise FolderError(f"cannot write {error.filename or 'the run'}: {error.strerror or error}") from error
    finally:
        sys.argv = before
        _release_log_files()
    if session.problems:
        if session.new_folder is not None:
            remove_new(session.new_folder)
        raise ConfigError(*session.problems)
    return session.exit_code


@contextmanager
def hydra_errors() -> Iterator[None]:
    """Turns what Hydra and OmegaConf raise into a ConfigError with their words, without a traceback."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints and exits with code 1 by itself
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(in_one_line(error)) from error
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        if before is not None:
            os.environ["HYDRA_FULL_ERROR"] = before


def register_resolvers() -> None:
    """Make known to OmegaConf what nnlab's configs call."""
    OmegaConf.register_new_resolver(
        "nnlab.member",
        lambda number, overrides: member_name(int(number), [overrides] if overrides else []),
        replace=True,
    )


def plain(config: DictConfig) -> dict[str, Any]:
    """A resolved config as plain values."""
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def quoted(path: Path) -> str:
    """A path as Hydra reads it in an override."""
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


def _quoted_list(keys: list[str]) -> str:
    return "[" + ",".join(keys) + "]"


def _release_log_files() -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).name == "train.log":
            root.removeHandler(handler)
            try:
                handler.close()
            except OSError as error:
                print(f"{handler.baseFilename} is not whole: {error.strerror}", file=sys.stderr)


def remove_new(folder: Path) -> None:
    """Take back a folder that was made for a run which never began."""
    import shutil

    shutil.rmtree(folder)
    for parent in (folder.parent, OUTPUTS):
        with suppress(OSError):  # another run has begun in it
            parent.rmdir()


__all__ = ["FolderError", "checked", "composed", "resolved_config", "train"]
