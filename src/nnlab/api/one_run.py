"""``nnlab.train``: one run."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import final

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nnlab import experiment
from nnlab.api.guest import raise_late, signals, undisturbed
from nnlab.api.hydra_here import through_hydra
from nnlab.api.result import Result
from nnlab.api.words import as_path, checked_words, read_words
from nnlab.callback.progress import Progress, StackedProgress
from nnlab.check import Command
from nnlab.check.composition import Composition, chosen
from nnlab.command import OUTPUTS, plain, quoted, remove_new
from nnlab.config import ConfigError, Library
from nnlab.console import log_header
from nnlab.experiment import Member
from nnlab.folder import claim_folder, make_folder
from nnlab.lock import RunLock
from nnlab.sweep.member_log import member_logs
from nnlab.sweep.plan import relative

_EXAMPLE = '["data=rings", "optim=adam"]'


def train(overrides: Sequence[str] = (), folder: str | os.PathLike[str] | None = None, progress: bool = True) -> Result:
    """Train one run, as ``nnlab train`` does: the same checks, files and numbers.

    An interrupt from the keyboard ends it cleanly: the result has the status ``interrupted``, and ``nnlab.resume`` goes
    on with it.

    Args:
        overrides: what one would type, such as ``["data=rings", "optim.lr=0.1"]``; ``--config-dir DIR`` may be among
            them.
        folder: where the run goes; None for a new folder in ``./outputs``.
        progress: whether to show how far it is.

    Returns:
        What it came to. A run that failed is a result, too: its status says so.

    Raises:
        nnlab.ConfigError: with every mistake in the overrides.
        nnlab.FolderError: if the folder is another run's, or cannot be written.
    """
    arguments = read_words(overrides, "nnlab.train", _EXAMPLE)
    with signals() as interrupt, undisturbed():
        command = checked_words(arguments, "hydra.run.dir", folder, multirun=False)
        where, is_new = _folder(command, arguments.config_dirs, folder)
        at, one = where.absolute(), _One(command, progress)
        try:
            words = [*arguments.overrides, *([] if "hydra.run.dir" in command.values else _run_dir(where))]
            through_hydra("run", words, arguments.config_dirs, one)
        finally:
            if is_new and (one.is_refused or not any(at.iterdir())):
                remove_new(at)
    if one.error is not None:
        raise one.error
    assert one.result is not None
    result = Result(one.result.folder, one.result.content, tuple(command.plugins))
    raise_late(interrupt, result.status, result)
    return result


def _run_dir(folder: Path) -> list[str]:
    return [f"hydra.run.dir={quoted(folder)}"]


def _folder(command: Command, config_dirs: list[Path], wanted: str | os.PathLike[str] | None) -> tuple[Path, bool]:
    """The run's folder, and whether it was made just now."""
    if wanted is None and "hydra.run.dir" not in command.values:
        return make_folder(OUTPUTS / command.name), True
    if wanted is not None:
        folder = as_path(wanted)
    else:
        folder = Path(Composition(Library(config_dirs), command.overrides, resolve=True).run_dir)
    is_new = not folder.exists()
    claim_folder(folder)
    return folder, is_new


@final
class _One:
    """What Hydra calls with the run's config."""

    def __init__(self, command: Command, progress: bool) -> None:
        self.command = command
        self.progress = progress
        self.result: experiment.Result | None = None
        self.error: Exception | None = None
        #: whether what is wrong was found before anything was trained
        self.is_refused = False

    def __call__(self, config: DictConfig) -> None:
        try:
            self._run(config)
        except Exception as error:  # Hydra would print it
            self.error = error

    def _run(self, config: DictConfig) -> None:
        runtime = HydraConfig.get().runtime
        folder = relative(Path(runtime.output_dir))
        name = str(config.name or self.command.name)
        with RunLock(folder) as lock, member_logs(say_aloud) as logs, logs.of(folder):
            claim_folder(folder)  # once more: before it was locked, another process may have made a run of it
            try:
                member = experiment.prepare(
                    plain(config), chosen(runtime.choices), self.command.overrides, folder, name
                )
            except ValueError as error:
                self.is_refused = True
                raise error if isinstance(error, ConfigError) else ConfigError(str(error)) from error
            if lock.note:
                member.built.trainer.sinks.note(lock.note)
            self.result = trained(member, self.progress)
            if self.result is None:
                self.is_refused = True
                raise ConfigError(*member.refused)


def trained(member: Member, progress: bool, resume: bool = False) -> experiment.Result | None:
    """Bring a prepared run to its end.

    Args:
        member: prepared.
        progress: whether to show how far it is.
        resume: whether to go on from its newest checkpoint.

    Returns:
        What it came to; None if the trainer refused it, for the reasons in ``member.refused``.
    """
    log_header(member)
    if progress:
        member.built.trainer.watch(StackedProgress() if member.stack_width > 1 else Progress())
    experiment.fit([member], resume)
    if member.refused:
        member.built.trainer.close()
        return None
    return experiment.finish(member)


def say_aloud(text: str) -> None:
    """A warning or an error that was logged."""
    print(text, file=sys.stderr)
