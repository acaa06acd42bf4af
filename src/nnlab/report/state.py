"""How a run stands: what its files say, and whether a process works on it."""

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab.folder import METRICS_FILE, RUN_FILE, FolderError, open_plain
from nnlab.lock import is_locked
from nnlab.report.record import read_result, read_run

#: statuses after which `nnlab resume` goes on
UNFINISHED = ("killed", "interrupted", "preempted", "failed")

#: bytes that are read from each end of metrics.csv
_END = 2**16


@dataclass(frozen=True)
class RunState:
    """How a run stands.

    Args:
        folder: the run's folder.
        run: the content of ``run.json``; None for a member of a sweep that was refused before it began.
        result: the content of ``result.json``; None before the first checkpoint.
        is_in_use: whether a process works on it.
    """

    folder: Path
    run: dict[str, Any] | None
    result: dict[str, Any] | None
    is_in_use: bool

    @property
    def status(self) -> str:
        """The status in ``result.json``, or ``killed`` where it says ``running`` and no process works on the run."""
        status = "running" if self.result is None else str(self.result["status"])
        return "killed" if status == "running" and not self.is_in_use else status


def read_state(folder: Path) -> RunState:
    """Read how a run stands.

    Args:
        folder: the run's folder.

    Raises:
        FolderError: if its files are damaged, of a newer nnlab, or say things of the wrong type.
    """
    in_use = is_locked(folder)
    result = read_result(folder)
    is_refused = result is not None and not os.path.lexists(folder / RUN_FILE)
    return RunState(folder, None if is_refused else read_run(folder), result, in_use)


def last_row(folder: Path) -> dict[str, str]:
    """The last whole row of ``metrics.csv``, however long the file is.

    Args:
        folder: the run's folder.

    Returns:
        The cells as text by column; empty if there is no row, or what there is makes none.
    """
    try:
        with open_plain(folder / METRICS_FILE) as file:
            head = file.read(_END)
            file.seek(max(0, os.fstat(file.fileno()).st_size - _END))
            tail = file.read(_END)
    except (OSError, FolderError):
        return {}
    columns = _cells(head.partition(b"\n")[0])
    lines = tail.rpartition(b"\n")[0].split(b"\n")
    cells = _cells(lines[-1])
    return dict(zip(columns, cells, strict=True)) if len(columns) == len(cells) and cells != columns else {}


def _cells(line: bytes) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(line.decode(errors="replace").replace("\r", " "))), [])
    except csv.Error:
        return []
