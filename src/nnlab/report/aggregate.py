"""One curve for each group of a sweep in TensorBoard: mean and interval over its runs, as a run of its own.

TensorBoard gets slow and unreadable with hundreds of runs; `nnlab dashboard SWEEP/aggregate` shows only these.
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from nnlab.folder import FolderError
from nnlab.logger.custom_scalars import LOWER, MEAN, UPPER, group_layout
from nnlab.logger.event_file import PATTERN, EventFile
from nnlab.logger.text_summary import text_summary
from nnlab.report.groups import Group
from nnlab.report.interval import student
from nnlab.report.runs import Curve, RunData
from nnlab.words import counted

#: the folder in a sweep's folder; what is in it is no member
AGGREGATE = "aggregate"
#: characters of a folder's name, each of which may take four of the 255 bytes that file systems allow
_MOST = 60


def write_aggregates(folder: Path, groups: Sequence[Group], metrics: Sequence[str]) -> list[Path]:
    """Write one run of events for each group, in place of those that are there.

    For each metric it has the mean over the group's runs, and the limits of its 95 % Student interval, at every step at
    which all of them have a finite value: where the shortest run ends, so does the mean, which would be one of other
    runs from there on. Runs that did not come to their end are left out; a text in the run says how many were. A
    single run has no interval: its limits are NaN, and no band is drawn.

    Args:
        folder: the sweep's.
        groups: its groups; one without a value to show gets no run.
        metrics: such as ``valid/loss``.

    Returns:
        The folders of the groups, in their order.

    Raises:
        FolderError: if the place is taken by something that is not nnlab's; nothing is deleted then.
        OSError: if they cannot be written; what was there before remains.
    """
    target = folder / AGGREGATE
    _check_is_ours(target)
    for stale in folder.glob(f".{AGGREGATE}.*.tmp"):
        _remove(stale)
    fresh, old = (folder / f".{AGGREGATE}.{os.getpid()}.{part}.tmp" for part in ("new", "old"))
    written = []
    try:
        fresh.mkdir()
        for group in groups:
            if points := _points(group, metrics):
                name = _free_name(group.name, fresh)
                (fresh / name).mkdir()
                _write(fresh / name, group, points)
                written.append(target / name)
        _exchange(target, fresh if written else None, old)
    finally:
        for left in (fresh, old):
            _remove(left)
    return written


def _exchange(target: Path, fresh: Path | None, old: Path) -> None:
    if target.exists():
        target.rename(old)
    try:
        if fresh is not None:
            fresh.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


def _points(group: Group, metrics: Sequence[str]) -> dict[str, dict[int, tuple[float, list[float]]]]:
    """For each metric that all counted runs have: the seconds (mean over the runs) and the values, by step."""
    found = {}
    for metric in metrics:
        curves = [run.curve(metric) for run in group.runs if run.is_counted]
        if curves and (common := _common([curve for curve in curves if curve is not None], len(curves))):
            found[metric] = common
    return found


def _common(curves: Sequence[Curve], num_runs: int) -> dict[int, tuple[float, list[float]]]:
    points: dict[int, list[tuple[float, float]]] = {}
    for curve in curves:
        is_finite = np.isfinite(curve.values)
        for step, second, value in zip(*(x[is_finite].tolist() for x in _columns(curve)), strict=True):
            points.setdefault(int(step), []).append((second, value))
    return {
        step: (float(np.mean([second for second, _ in here])), [value for _, value in here])
        for step, here in sorted(points.items())
        if len(here) == num_runs
    }


def _columns(curve: Curve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return curve.steps, curve.seconds, curve.values


def _write(folder: Path, group: Group, points: Mapping[str, Mapping[int, tuple[float, list[float]]]]) -> None:
    events = EventFile(folder, flush_every_s=3600)
    began = time.time()
    # A dashboard that runs meanwhile has the run's earlier file in mind: this withdraws it.
    events.write(Event(wall_time=began, step=0, session_log=SessionLog(status=SessionLog.START)))
    about = Summary(value=[group_layout(list(points)), text_summary("group", _said_of(group))])
    events.write(Event(wall_time=began, step=0, summary=about))
    for step in sorted({step for steps in points.values() for step in steps}):
        here = {metric: steps[step] for metric, steps in points.items() if step in steps}
        values = [value for metric, (_, sample) in here.items() for value in _three(metric, sample)]
        seconds = next(seconds for seconds, _ in here.values())
        events.write(Event(wall_time=began + seconds, step=step, summary=Summary(value=values)))
    events.flush()


def _three(metric: str, values: Sequence[float]) -> list[Summary.Value]:
    interval = student(values)
    limits = (interval.low, interval.high) if len(values) > 1 else (np.nan, np.nan)
    three = zip((MEAN, LOWER, UPPER), (interval.mean, *limits), strict=True)
    return [Summary.Value(tag=f"{metric}/{name}", simple_value=value) for name, value in three]


def _said_of(group: Group) -> list[str]:
    counted = [run for run in group.runs if run.is_counted]
    left_out = [run for run in group.runs if not run.is_counted]
    return [
        group.name.replace("\n", " "),
        f"mean over {_number(counted)}, with its 95 % Student interval, as far as all of them have values",
        *([f"left out: {_number(left_out)} ({_statuses(left_out)})"] if left_out else []),
    ]


def _number(runs: Sequence[RunData]) -> str:
    return counted(len(runs), "run")


def _statuses(runs: Sequence[RunData]) -> str:
    return ", ".join(sorted({run.status for run in runs}))


def _free_name(name: str, folder: Path) -> str:
    """A group's name as that of a folder: short, legal, and not taken."""
    legal = re.sub(r"[^\w.,=+-]+", "-", name.replace(", ", ",")).strip("-.")[:_MOST].rstrip("-.,=") or "group"
    names = [legal, *(f"{legal}_{number}" for number in range(2, len(list(folder.iterdir())) + 3))]
    return next(free for free in names if not (folder / free).exists())


def _check_is_ours(folder: Path) -> None:
    stranger = _not_ours(folder) if os.path.lexists(folder) else None
    if stranger is not None:
        raise FolderError(f"{stranger} is not of nnlab's making, and {folder} would be replaced: move it elsewhere")


def _not_ours(folder: Path) -> Path | None:
    """The first thing in an aggregate's folder that nnlab does not write there."""
    if folder.is_symlink() or not folder.is_dir():
        return folder
    for group in folder.iterdir():
        if group.is_symlink() or not group.is_dir():
            return group
        for file in group.iterdir():
            if file.is_symlink() or not file.is_file() or not file.match(PATTERN):
                return file
    return None


def _remove(folder: Path) -> None:
    """Delete an aggregate's folder that is there, file by file: never anything else."""
    if not os.path.lexists(folder) or _not_ours(folder) is not None:
        return
    for group in folder.iterdir():
        for file in group.iterdir():
            file.unlink()
        group.rmdir()
    folder.rmdir()
