"""`nnlab resume`: a run, or what is unfinished of a sweep, goes on where it stopped."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from nnlab.config import ConfigError
from nnlab.console import Terminal
from nnlab.folder import RUN_FILE, FolderError
from nnlab.lock import RunLock
from nnlab.one_run import train_member
from nnlab.restore import members_of
from nnlab.resume import Request, prepare_again, read_request
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
