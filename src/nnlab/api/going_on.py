"""``nnlab.resume``: a run, or what is unfinished of a sweep, goes on where it stopped."""

import os
from collections.abc import Sequence
from pathlib import Path

from nnlab.api.guest import raise_late, signals, undisturbed
from nnlab.api.one_run import say_aloud, trained
from nnlab.api.result import Result
from nnlab.api.several_runs import Sweep, as_sweep
from nnlab.api.words import as_path, read_words
from nnlab.callback.live_line import ProgressConsole
from nnlab.config import ConfigError
from nnlab.folder import RUN_FILE, FolderError
from nnlab.lock import RunLock
from nnlab.restore import members_of
from nnlab.resume import Request, prepare_again, read_request
from nnlab.resume_command import granted_to_sweep
from nnlab.sweep.foreign import check_foreign
from nnlab.sweep.member_log import member_logs
from nnlab.sweep.plan import PLAN_FILE, read_plan
from nnlab.sweep.run_plan import run_plan


def resume(path: str | os.PathLike[str], overrides: Sequence[str] = (), progress: bool = True) -> Result | Sweep:
    """Go on with a run or a sweep, as ``nnlab resume`` does, to the bits that it would have without a break.

    Args:
        path: the folder of a run, or of a sweep.
        overrides: what may change, such as ``["trainer.max_epochs=200"]``.
        progress: whether to show how far it is.

    Returns:
        What it came to; what there was already if nothing is left to do.

    Raises:
        nnlab.ConfigError: for overrides that would make it another experiment.
        nnlab.FolderError: for a folder that cannot be gone on with, or that another process works on.
    """
    arguments = read_words(overrides, "nnlab.resume", '["trainer.max_epochs=200"]')
    folder = as_path(path)
    with signals() as interrupt, undisturbed():
        found = _gone_on(folder, arguments.overrides, progress)
    raise_late(interrupt, found.status, found)
    return found


def _gone_on(folder: Path, overrides: Sequence[str], progress: bool) -> Result | Sweep:
    if (folder / PLAN_FILE).exists() and not (folder / RUN_FILE).exists():
        return _sweep(folder, overrides, progress)
    if members_of(folder):
        raise FolderError(f"{folder} is a sweep without a plan: nnlab.resume goes on with one of its runs at a time")
    request = read_request(folder, overrides)
    return Result.read(folder, request.plugins) if request.is_over else _go_on(request, progress)


def _sweep(folder: Path, overrides: Sequence[str], progress: bool) -> Sweep:
    plan = read_plan(folder)
    plugins = granted_to_sweep(plan, overrides)
    if plugins is None:
        raise ConfigError(
            f"{folder} is a sweep, which goes on as it was planned; what may change of a run goes with its own folder"
        )
    console = ProgressConsole(quiet=not progress)
    with RunLock(folder) as lock:
        if lock.note:
            console.print(lock.note, soft_wrap=True)
        outcome = run_plan(plan, console, plugins, check_foreign)
        return as_sweep(plan, outcome, plugins)


def _go_on(request: Request, progress: bool) -> Result:
    folder = request.record.folder
    with RunLock(folder) as lock, member_logs(say_aloud) as logs, logs.of(folder):
        member = prepare_again(request)
        if lock.note:
            member.built.trainer.sinks.note(lock.note)
        result = trained(member, progress, resume=True)
    if result is None:
        kind = FolderError if any("checkpoint" in problem for problem in member.refused) else ConfigError
        raise kind("; ".join(member.refused))
    return Result(result.folder, result.content, tuple(request.plugins))
