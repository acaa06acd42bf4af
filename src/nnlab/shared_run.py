"""One run on several processes that torchrun has started: who writes where, and what a restart goes on with."""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from nnlab.folder import RUN_FILE
from nnlab.resume_command import resume
from nnlab.run_record import read_record
from nnlab.world import World, joined

#: begins a run in a folder of its own; the exit code
Begin = Callable[[Path], int]
#: goes on with the run in a folder; the exit code
GoOn = Callable[[Path], int]


def run_shared(device: str, place: Callable[[World], Path], begin: Begin, go_on: GoOn) -> int:
    """Begin a run, or go on with the one that is there: the first process in its folder, the others in passing ones.

    Args:
        device: as ``device`` has it.
        place: the run's folder, for the first process.
        begin: begins a run; the folder is empty.
        go_on: goes on with the run in a folder.

    Returns:
        The exit code.
    """
    with joined(device) as world:
        folder = Path(world.tell(str(place(world).absolute()) if world.is_first else ""))
        is_there = world.tell(str((folder / RUN_FILE).exists()) if world.is_first else "") == "True"
        if world.is_first:
            world.wait()  # until the others have their copies
            return _unless_failed(go_on(folder) if is_there else begin(folder))
        with TemporaryDirectory(prefix="nnlab-") as name, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            own = Path(name) / "run"
            if is_there:
                shutil.copytree(folder, own, ignore=shutil.ignore_patterns(".lock", "figures", "events.*"))
            world.wait()
            return _unless_failed(go_on(own) if is_there else begin(own))


def _unless_failed(code: int) -> int:
    """The exit code of a process that waits for the others.

    Args:
        code: of its run.

    Raises:
        SystemExit: if the run failed: the others may be in the middle of a step, and what they wait for never comes.
    """
    if code:
        raise SystemExit(code)
    return code


def resume_shared(folder: Path, overrides: Sequence[str]) -> int:
    """Go on with a run on the processes that torchrun has started.

    Args:
        folder: the run's.
        overrides: what may change.

    Returns:
        The exit code.

    Raises:
        FolderError: if there is no run.
    """
    device = str(read_record(folder).config.get("device"))

    def begin(folder: Path) -> int:
        raise AssertionError(f"{folder} was there a moment ago")

    return run_shared(device, lambda world: folder, begin, lambda own: resume(own, overrides))
