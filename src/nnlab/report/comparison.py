"""What a comparison of runs comes to: a row for each group, and whatever forbids to take it at face value."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnlab.folder import FolderError
from nnlab.report.difference import Difference, differences
from nnlab.report.groups import Group, as_number, differing_keys, group_runs
from nnlab.report.interval import Interval, interval
from nnlab.report.kind import Kind, kind_notes, kind_of
from nnlab.report.notes import averaged_over, edges, left_out, overlap, too_coarse, unlike
from nnlab.report.profile import time_to_target
from nnlab.report.runs import Replicate, RunData
from nnlab.report.spacing import spacing_notes
from nnlab.words import counted

#: what the rows may be sorted by
SORTS = ("best", "test", "group", "steps", "seconds")
#: statuses of a run that might have got further
_UNFINISHED = ("running", "killed", "interrupted", "preempted")


@dataclass(frozen=True)
class Asked:
    """What is asked about the runs.

    Args:
        metric: such as ``valid/loss``, or ``test/loss`` at the best epoch; None for what the runs were selected by.
        by: keys to group by; None for those in which the runs differ.
        target: a value of the metric to be reached, or None.
        sort: one of ``SORTS``.
        interval: the method of the means' intervals, one of ``nnlab.report.interval.METHODS``.
    """

    metric: str | None = None
    by: Sequence[str] | None = None
    target: float | None = None
    sort: str = "best"
    interval: str = "student"


@dataclass(frozen=True)
class Row:
    """A group in the comparison.

    Args:
        group: its runs, and what they have in common.
        values: the best value of the metric by replicate, of the runs that came to their end.
        interval: the mean of the values with its 95 % interval; None without values.
        median: of the values; NaN without any.
        test: the mean of the metric on the test split at the best epoch; NaN where a run has none.
        steps: the median of the optimizer steps that the counted runs did.
        seconds: the median of their training times.
        steps_to_target: the median over the timed runs, infinite for those that miss it; None without a target.
        seconds_to_target: likewise.
        times_to_target: the steps of each timed run, infinite for one that missed it; empty without a target.
        num_reached: runs that reached the target.
        num_diverged: runs that diverged.
        num_failed: runs that failed.
        num_unfinished: runs that go on or were cut off.
    """

    group: Group
    values: Mapping[Replicate, float]
    interval: Interval | None
    median: float
    test: float
    steps: float
    seconds: float
    steps_to_target: float | None
    seconds_to_target: float | None
    times_to_target: tuple[float, ...]
    num_reached: int
    num_diverged: int
    num_failed: int
    num_unfinished: int

    @property
    def num_runs(self) -> int:
        """All runs of the group."""
        return len(self.group.runs)

    @property
    def num_lost(self) -> int:
        """Runs that diverged or failed: those that are left are not a fair sample of the group."""
        return self.num_diverged + self.num_failed

    @property
    def has_folds(self) -> bool:
        """Whether some of its values come from different folds of the same rows."""
        return len({(data_seed, fold) for _, data_seed, fold in self.values}) > len({one[1] for one in self.values})

    @property
    def timed(self) -> tuple[RunData, ...]:
        """The runs whose time to a target is known: of one that goes on, or was cut off, nobody knows it."""
        return _timed(self.group)


@dataclass(frozen=True)
class Comparison:
    """Runs compared.

    Args:
        metric: what was compared.
        grows: whether more of it is better.
        keys: what the groups differ in.
        rows: the groups, sorted.
        asked: what was asked.
        differences: between the best group and each of the others, for each kind of figures by itself.
        notes: sentences on everything that the table does not show.
    """

    metric: str
    grows: bool
    keys: tuple[str, ...]
    rows: tuple[Row, ...]
    asked: Asked
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare(runs: Sequence[RunData], asked: Asked) -> Comparison:
    """Compare runs.

    Args:
        runs: any runs.
        asked: what is asked.

    Raises:
        FolderError: if they have no metric in common, or a key is unknown.
    """
    metric, notes = _metric(runs, asked)
    keys = differing_keys(runs) if asked.by is None else list(dict.fromkeys(asked.by))
    groups = [_without_repeats(group, notes) for group in group_runs(runs, keys)]
    grows = any(run.grows(metric) for run in runs)
    rows = [_row(group, metric, grows, asked) for group in groups]
    kinds = _kinds(rows, metric)
    by_quality = [_sorted(part, "best", grows) for part in kinds.values()]
    best_first = [row for part in by_quality for row in part]
    found = [one for part in by_quality for one in _differences(part, metric, grows, asked)]
    notes += [
        *kind_notes(list(kinds), metric, _other_metrics(runs, metric)),
        *(note for part in by_quality for note in left_out(part, metric, grows)),
        *unlike(rows, metric),
        *overlap(rows),
        *averaged_over(groups, keys),
        *edges(best_first, keys),
        *([] if asked.target is None else spacing_notes([row.timed for row in rows], metric, asked.target)),
        *too_coarse(found, asked.interval),
    ]
    ordered = best_first if asked.sort == "best" else _sorted(rows, asked.sort, grows)
    return Comparison(metric, grows, tuple(keys), tuple(ordered), asked, tuple(found), tuple(notes))


def _kinds(rows: Sequence[Row], metric: str) -> dict[Kind, list[Row]]:
    """The rows whose figures can be held against each other."""
    parts: dict[Kind, list[Row]] = {}
    for row in rows:
        parts.setdefault(kind_of(row.group, metric), []).append(row)
    return parts


def _differences(rows: Sequence[Row], metric: str, grows: bool, asked: Asked) -> list[Difference]:
    """The best of some groups against the others; runs that were lost are part of what is said."""
    values: dict[str, Mapping[Hashable, float]] = {row.group.name: dict(row.values.items()) for row in rows}
    whole = {row.group.name for row in rows if not row.num_lost}
    several = {row.group.name for row in rows if len(row.values) > 1}
    found = differences(values, grows, metric, asked.interval, eligible=(whole & several) or several or whole)
    by_name = {row.group.name: row for row in rows}
    if any(row.has_folds for row in rows):
        found = [replace(one, noun="run") for one in found]
    return [_with_caveat(one, by_name[one.first if (one.interval.mean > 0) == grows else one.second]) for one in found]


def _with_caveat(difference: Difference, ahead: Row) -> Difference:
    """A group that looks better by the runs that are left of it may owe it to that."""
    if not ahead.num_lost:
        return difference
    lost = "failed" if not ahead.num_diverged else "diverged or failed" if ahead.num_failed else "diverged"
    return replace(difference, caveat=f"but {ahead.num_lost} of {ahead.num_runs} runs of {ahead.group.name} {lost}")


def _other_metrics(runs: Sequence[RunData], metric: str) -> list[str]:
    split = metric.partition("/")[0]
    return [column for column in _common(runs) if column.startswith(f"{split}/") and not column.endswith("/loss")]


def _common(runs: Sequence[RunData]) -> list[str]:
    """The metrics that all runs have that got as far as an evaluation."""
    evaluated = [run for run in runs if run.columns]
    columns = evaluated[0].columns if evaluated else ()
    return [
        column
        for column in columns
        if column.startswith(("train/", "valid/")) and all(column in run.columns for run in evaluated)
    ]


def _metric(runs: Sequence[RunData], asked: Asked) -> tuple[str, list[str]]:
    """The metric to compare by; with a sentence if it is none of a validation split."""
    offered = _common(runs)
    if asked.metric is not None:
        metric = asked.metric
        known = {name: None for run in runs for name in run.metrics}
        if metric not in known:
            raise FolderError(f"--metric: no run has {metric!r}; there are {', '.join(sorted(known)) or 'none'}")
        if asked.target is not None and metric.startswith("test/"):
            raise FolderError(f"--target: {metric} is computed once, at the end of a run; take the one of valid/")
    else:
        monitors = {run.monitor for run in runs if run.monitor}
        metric = monitors.pop() if len(monitors) == 1 else "valid/loss" if "valid/loss" in offered else "train/loss"
        if metric not in offered and not any(metric in run.columns for run in runs):
            raise FolderError("none of the runs got as far as an evaluation: there is nothing to compare")
    notes = []
    if metric.startswith("train/"):
        notes.append(f"{metric} is of the rows that were trained on: it does not show what is learnt for other rows")
    elif any(run.monitor.startswith("train/") for run in runs):
        notes.append("some runs have no validation split: their test figures belong to the best training loss")
    return metric, notes


def _without_repeats(group: Group, notes: list[str]) -> Group:
    """A group in which each replicate stands once: the same seed with the same settings is the same run again."""
    if differing_keys(group.runs):
        return group
    kept: dict[tuple[Replicate, str], RunData] = {}
    for run in group.runs:
        # A finished one rather than one that was cut off.
        place = (run.replicate, run.data)
        if place not in kept or (run.is_counted and not kept[place].is_counted):
            kept[place] = run
    num_repeats = len(group.runs) - len(kept)
    if num_repeats:
        runs = counted(num_repeats, "run")
        notes.append(f"{group.name}: {runs} of a seed that is there already, counted once")
    return Group(group.label, tuple(kept.values()))


def _row(group: Group, metric: str, grows: bool, asked: Asked) -> Row:
    counted = [run for run in group.runs if run.is_counted and math.isfinite(run.best(metric))]
    # Where other settings differ inside a group, a replicate is its mean over these.
    by_replicate: dict[Replicate, list[float]] = {}
    for run in counted:
        by_replicate.setdefault(run.replicate, []).append(run.best(metric))
    values = {replicate: sum(found) / len(found) for replicate, found in by_replicate.items()}
    tests = [run.test(metric) for run in counted]
    timed = _timed(group) if asked.target is not None else ()
    reached = [_time_to(run, metric, asked.target, grows) for run in timed] if asked.target is not None else []
    return Row(
        group=group,
        values=values,
        interval=interval(list(values.values()), asked.interval) if values else None,
        median=_median(list(values.values())),
        test=sum(tests) / len(tests) if tests else math.nan,
        steps=_median([run.steps for run in counted]),
        seconds=_median([float(run.result.get("seconds", math.nan)) for run in counted]),
        steps_to_target=None if asked.target is None else _median([steps for steps, _ in reached]),
        seconds_to_target=None if asked.target is None else _median([seconds for _, seconds in reached]),
        times_to_target=tuple(steps for steps, _ in reached),
        num_reached=sum(math.isfinite(steps) for steps, _ in reached),
        num_diverged=sum(run.status == "diverged" for run in group.runs),
        num_failed=sum(run.status == "failed" for run in group.runs),
        num_unfinished=sum(run.status in _UNFINISHED for run in group.runs),
    )


def _timed(group: Group) -> tuple[RunData, ...]:
    return tuple(run for run in group.runs if run.status not in _UNFINISHED)


def _time_to(run: RunData, metric: str, target: float, grows: bool) -> tuple[float, float]:
    """Steps and seconds until a run reached the target; infinite if it never did."""
    curve = run.curve(metric)
    if curve is None:
        return math.inf, math.inf
    times = [
        time_to_target(axis.tolist(), curve.values.tolist(), target, grows) for axis in (curve.steps, curve.seconds)
    ]
    steps, seconds = (math.inf if time is None else float(time) for time in times)
    return steps, seconds


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan


def _sorted(rows: Sequence[Row], by: str, grows: bool) -> list[Row]:
    """The rows, best first; those without a figure last."""
    figures: Mapping[str, Callable[[Row], float]] = {
        "best": lambda row: math.nan if row.interval is None else row.interval.mean,
        "test": lambda row: row.test,
        "steps": lambda row: row.steps if row.steps_to_target is None else row.steps_to_target,
        "seconds": lambda row: row.seconds if row.seconds_to_target is None else row.seconds_to_target,
    }
    if by == "group":
        return sorted(rows, key=lambda row: [_natural(value) for value in row.group.label.values()])
    sign = -1 if grows and by in ("best", "test") else 1

    def place(row: Row) -> tuple[bool, bool, float]:
        figure = figures[by](row)
        # What is left where the others diverged is no fair sample: it comes after all groups that are whole.
        is_lucky = by in ("best", "test") and row.num_lost > 0
        return (True, True, 0.0) if math.isnan(figure) else (False, is_lucky, sign * figure)

    return sorted(rows, key=place)


def _natural(value: str) -> tuple[bool, float, str]:
    """Numbers in the order of their size, before words."""
    number = as_number(value)
    return (number is None or math.isnan(number), number or 0.0, value)
