"""`nnlab resume`: a run, or what is unfinished of a sweep, goes on where it stopped."""

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnlab.check.override import parse
from nnlab.config import ConfigError, Library
from nnlab.console import Terminal
from nnlab.folder import RUN_FILE, FolderError
from nnlab.lock import RunLock
from nnlab.one_run import train_member
from nnlab.report.search_record import SEARCH_FILE
from nnlab.report.text import shown
from nnlab.restore import members_of
from nnlab.resume import Request, prepare_again, read_request
from nnlab.sweep.ending import print_ending
from nnlab.sweep.foreign import check_foreign
from nnlab.sweep.plan import PLAN_FILE, Plan, read_plan
from nnlab.sweep.run_plan import run_plan
from nnlab.trainer.interrupt import Interrupt


def resume(folder: Path, overrides: Sequence[str]) -> int:
    """Go on with a run folder, or with the members of a sweep folder that are not done.

    Args:
        folder: the folder.
        overrides: what may change, such as ``trainer.max_epochs=200``.

    Returns:
        The exit code.

    Raises:
        ConfigError: for overrides that would make it another experiment.
        FolderError: for a folder that cannot be gone on with, or that another process works on.
    """
    logging.raiseExceptions = False  # a train.log that cannot be written must not bury the terminal in tracebacks
    if (folder / PLAN_FILE).exists() and not (folder / RUN_FILE).exists():
        plan = read_plan(folder)
        plugins = granted_to_sweep(plan, overrides)
        if plugins is not None:
            return _resume_sweep(plan, plugins)
        _check_all_begun(plan)
    members = [path for path in members_of(folder) if (path / RUN_FILE).exists()]
    requests = [read_request(path, overrides) for path in members] or [read_request(folder, overrides)]
    console = Terminal(markup=False)  # a run's name is a stranger's, and no markup
    for request in requests:
        if request.is_over:
            how = "to extend it: trainer.max_epochs=…" if request.status == "completed" else "nothing is left to do"
            text = f"{request.record.folder}: {request.status.replace('_', ' ')}; {how}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    codes = [_go_on(console, request, is_member=bool(members)) for request in requests if not request.is_over]
    return max(codes, default=0)


def granted_to_sweep(plan: Plan, overrides: Sequence[str]) -> list[str] | None:
    """The packages that the members of a plan may use, which may come from a stranger.

    Args:
        plan: the sweep's.
        overrides: as typed.

    Returns:
        The packages; None if something else is typed, which a sweep does not take.

    Raises:
        ConfigError: if the members use others.
        FolderError: if what is missing of the sweep is a search's to choose.
    """
    if (plan.folder / SEARCH_FILE).exists():
        place = f" hydra.sweep.dir={shlex.quote(str(plan.folder))}" if "hydra.sweep.dir=" not in plan.command else ""
        raise FolderError(
            f"{plan.folder} holds a search, which the command that began it goes on with: "
            f"{shown(plan.command, 2000)}{place}"
        )
    plugins = _only_plugins(overrides)
    if plugins is None:
        return None
    lacking = sorted({str(name) for member in plan.members for name in _plugins(member.config)} - set(plugins))
    if lacking:
        way = f"nnlab resume {shlex.quote(str(plan.folder))} 'plugins=[{','.join(lacking)}]'"
        raise ConfigError(f"{plan.folder}: its members use {', '.join(lacking)}, which its plan cannot grant: {way}")
    return plugins


def _only_plugins(overrides: Sequence[str]) -> list[str] | None:
    """The packages that are granted, if nothing else is typed."""
    granted: list[str] = []
    for text in overrides:
        one = parse(text, Library())
        if one.key != "plugins" or not isinstance(one.value, list):
            return None
        granted = [str(name) for name in one.value]
    return granted


def _resume_sweep(plan: Plan, plugins: Sequence[str]) -> int:
    """What is not done of a plan."""
    console = Terminal(markup=False)
    with RunLock(plan.folder) as lock:
        if lock.note:
            console.print(lock.note, highlight=False, markup=False, soft_wrap=True)
        outcome = run_plan(plan, console, plugins, check_foreign)
    if outcome.results:
        print_ending(console, outcome.results)
    return outcome.code


def _plugins(config: Mapping[str, Any]) -> list[Any]:
    found = config.get("plugins")
    return found if isinstance(found, list) else []


def _check_all_begun(plan: Plan) -> None:
    waiting = [member.folder.name for member in plan.members if not (member.folder / RUN_FILE).exists()]
    if waiting:
        others = f" and {len(waiting) - 1:,} more" if len(waiting) > 1 else ""
        raise ConfigError(
            f"{waiting[0]}{others}: not begun yet, and to begin as planned; finish the sweep first, with "
            f"nnlab resume {shlex.quote(str(plan.folder))}"
        )


def _go_on(console: Terminal, request: Request, is_member: bool) -> int:
    with Interrupt() as interrupt:
        code = _go_on_with(console, request, is_member)
    interrupt.obey()
    return code


def _go_on_with(console: Terminal, request: Request, is_member: bool) -> int:
    folder = request.record.folder
    handler = logging.FileHandler(folder / "train.log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log, before = logging.getLogger("nnlab"), logging.getLogger("nnlab").level
    with RunLock(folder) as lock:
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        try:
            member = prepare_again(request)
            if lock.note:
                member.built.trainer.sinks.note(lock.note)
            result = train_member(console, member, is_member, resume=True)
        finally:
            log.removeHandler(handler)
            log.setLevel(before)
            try:
                handler.close()
            except OSError as error:
                print(f"{handler.baseFilename} is not whole: {error.strerror}", file=sys.stderr)
    if result is None:
        if any("checkpoint" in problem for problem in member.refused):
            raise FolderError("; ".join(member.refused))
        raise ConfigError(*member.refused)
    return 1 if result.status == "failed" else 0
