"""The state of a stack under way: one checkpoint for all its members, under the sweep's ``stacks/``."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from nnlab.durable import sync_file_system
from nnlab.folder import FolderError
from nnlab.trainer.checkpoint import Checkpoints
from nnlab.trainer.fitting import Fitting

log = logging.getLogger("nnlab")

FOLDER = "stacks"
#: no stack's state is larger
MOST_BYTES = 16 << 30


@final
class StackStore:
    """Writes the states of the members of one stack.

    Args:
        sweep: the sweep's folder.
        name: of the stack; no other of the sweep has had it.
    """

    def __init__(self, sweep: Path, name: str) -> None:
        self.folder = sweep / FOLDER / name
        self._has_failed = False

    def save(self, live: Mapping[int, Fitting]) -> None:
        """Write the states of those that are still in the stack; a full disk costs the checkpoint, not the training.

        Args:
            live: by the members' numbers.
        """
        members: dict[str, Any] = {}
        for number, fitting in live.items():
            best = None if fitting.best is None else fitting.best.state
            members[str(number)] = {"step": fitting.progress.step, "state": fitting.snapshot(), "best": best}

        def sync() -> None:
            for fitting in live.values():
                fitting.sinks.sync()
            sync_file_system(self.folder)

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            step = max(fitting.progress.step for fitting in live.values())
            Checkpoints(self.folder).save(step, {"members": members}, None, sync)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                log.warning("the state of a stack could not be written (%s); training goes on", error.strerror or error)

    def delete(self) -> None:
        """Once every member has a folder that says all."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read_states(sweep: Path) -> dict[int, tuple[Path, dict[str, Any]]]:
    """What earlier processes left of the members of their stacks.

    Args:
        sweep: the sweep's folder.

    Returns:
        For each member's number, where it was found and ``{"step": …, "state": …, "best": …}``, the one with the most
        steps. A stack whose files are damaged is named in the log; its members begin anew.
    """
    found: dict[int, tuple[Path, dict[str, Any]]] = {}
    for folder in sorted((sweep / FOLDER).glob("*/")):
        try:
            newest, problems = Checkpoints(folder).newest(MOST_BYTES)
            for problem in problems:
                log.warning("%s; the state before it is used", problem)
            members = {} if newest is None else {int(key): one for key, one in newest[1]["members"].items()}
            for number, one in members.items():
                if number not in found or one["step"] > found[number][1]["step"]:
                    found[number] = (folder / f"{newest[0] if newest else 0}.safetensors", one)
        except (FolderError, KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("%s; its members go on from checkpoints of their own, or begin anew", error)
    return found
