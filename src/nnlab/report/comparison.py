"""What a comparison of runs comes to: a row for each group, and whatever forbids to take it at face value."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nnlab.folder import FolderError
from nnlab.report.difference import Difference, differences
from nnlab.report.groups import Group, as_number, differing_keys, group_runs, varying_inside
from nnlab.report.interval import Interval, interval
from nnlab.report.profile import time_to_target
from nnlab.report.runs import RunData

#: what the rows may be sorted by
SORTS = ("best", "test", "group", "steps", "seconds")
#: values of a key that a note names
_FEW = 6


@dataclass(frozen=True)
class Asked:
    """What is asked about the runs.

    Args:
        metric: such as ``valid/loss``; None for what the runs were selected by.
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
        values: the best value of the metric by replicate (seed, data.seed), of the runs that came to their end.
        interval: the mean of the values with its 95 % interval; None without values.
        median: of the values; NaN without any.
        test: the mean of the metric on the test split at the best epoch; NaN where a run has none.
        steps: the median of the optimizer steps that the counted runs did.
        seconds: the median of their training times.
        steps_to_target: the median over all runs of the group, infinite for those that miss it; None without a target.
        seconds_to_target: likewise.
        times_to_target: the steps of every run, infinite for one that missed it; empty without a target.
        num_reached: runs that reached the target.
        num_diverged: runs that diverged.
        num_failed: runs that failed.
        num_unfinished: runs that go on or were cut off.
    """

    group: Group
    values: Mapping[tuple[int, int], float]
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


@dataclass(frozen=True)
class Comparison:
    """Runs compared.

    Args:
        metric: what was compared.
        grows: whether more of it is better.
        keys: what the groups differ in.
        rows: the groups, sorted.
        asked: what was asked.
        differences: between the best group and each of the others.
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
    metric, notes = _metric(runs, asked.metric)
    keys = differing_keys(runs) if asked.by is None else list(asked.by)
    groups = [_without_repeats(group, notes) for group in group_runs(runs, keys)]
    grows = any(run.grows(metric) for run in runs)
    rows = [_row(group, metric, grows, asked) for group in groups]
    notes += [
        *_left_out(rows, metric),
        *_unlike(rows, metric),
        *_averaged_over(groups, keys),
        *_edges(rows, keys, grows),
    ]
    by_quality = _sorted(rows, "best", grows)
    values: dict[str, Mapping[Hashable, float]] = {row.group.name: dict(row.values.items()) for row in by_quality}
    found = differences(values, grows=grows, metric=metric, interval=asked.interval)
    return Comparison(
        metric, grows, tuple(keys), tuple(_sorted(rows, asked.sort, grows)), asked, tuple(found), tuple(notes)
    )


def _metric(runs: Sequence[RunData], wanted: str | None) -> tuple[str, list[str]]:
    """The metric to compare by; with a sentence if it is none of a validation split."""
    common = [column for column in runs[0].columns if "/" in column and all(column in run.columns for run in runs)]
    offered = [column for column in common if column.startswith(("train/", "valid/"))]
    if wanted is not None:
        if not any(wanted in run.columns for run in runs):
            known = sorted({c for run in runs for c in run.columns if c.startswith(("train/", "valid/"))})
            raise FolderError(f"--metric: no run has {wanted!r}; there are {', '.join(known) or 'none'}")
        metric = wanted
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
    kept: dict[tuple[int, int, str], RunData] = {}
    for run in group.runs:
        # A finished one rather than one that was cut off.
        place = (*run.replicate, run.data)
        if place not in kept or (run.is_counted and not kept[place].is_counted):
            kept[place] = run
    num_repeats = len(group.runs) - len(kept)
    if num_repeats:
        notes.append(f"{group.name}: {num_repeats} run{_s(num_repeats)} of a seed that is there already, counted once")
    return Group(group.label, tuple(kept.values()))


def _row(group: Group, metric: str, grows: bool, asked: Asked) -> Row:
    counted = [run for run in group.runs if run.is_counted and math.isfinite(run.best(metric))]
    # Where other settings differ inside a group, a replicate is its mean over these.
    by_replicate: dict[tuple[int, int], list[float]] = {}
    for run in counted:
        by_replicate.setdefault(run.replicate, []).append(run.best(metric))
    values = {replicate: sum(found) / len(found) for replicate, found in by_replicate.items()}
    tests = [run.test(metric) for run in counted]
    reached = [_time_to(run, metric, asked.target, grows) for run in group.runs] if asked.target is not None else []
    return Row(
        group=group,
        values=values,
        interval=interval(list(values.values()), asked.interval) if values else None,
        median=_median([run.best(metric) for run in counted]),
        test=sum(tests) / len(tests) if tests else math.nan,
        steps=_median([run.steps for run in counted]),
        seconds=_median([float(run.result.get("seconds", math.nan)) for run in counted]),
        steps_to_target=_median([steps for steps, _ in reached]) if reached else None,
        seconds_to_target=_median([seconds for _, seconds in reached]) if reached else None,
        times_to_target=tuple(steps for steps, _ in reached),
        num_reached=sum(math.isfinite(steps) for steps, _ in reached),
        num_diverged=sum(run.status == "diverged" for run in group.runs),
        num_failed=sum(run.status == "failed" for run in group.runs),
        num_unfinished=sum(run.status in ("running", "killed", "interrupted", "preempted") for run in group.runs),
    )


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
    figure = figures[by]
    return sorted(rows, key=lambda row: (math.isnan(figure(row)), 0 if math.isnan(figure(row)) else sign * figure(row)))


def _natural(value: str) -> tuple[bool, float, str]:
    """Numbers in the order of their size, before words."""
    number = as_number(value)
    return (number is None or math.isnan(number), number or 0.0, value)


def _left_out(rows: Sequence[Row], metric: str) -> list[str]:
    notes = []
    for row in rows:
        kinds = {"diverged": row.num_diverged, "failed": row.num_failed, "not finished": row.num_unfinished}
        empty = sum(run.is_counted and not math.isfinite(run.best(metric)) for run in row.group.runs)
        said = [f"{count} {kind}" for kind, count in (kinds | {f"without {metric}": empty}).items() if count]
        if said:
            notes.append(f"{row.group.name}: the mean is without {', '.join(said)} of {row.num_runs} runs")
    return notes


def _unlike(rows: Sequence[Row], metric: str) -> list[str]:
    """Whatever makes groups unlike beside what they differ in: numbers of runs, budgets, data."""
    notes = []
    sizes = {len(row.values) for row in rows}
    if len(sizes) > 1:
        notes.append(f"the groups have unequal numbers of seeds: {min(sizes)} to {max(sizes)}")
    elif sizes == {1} and len(rows) > 1:
        notes.append("one seed for each group: nothing tells a difference from chance; add 'seed=range(5)'")
    budgets = {run.steps for row in rows for run in row.group.runs if run.status == "completed"}
    if len(budgets) > 1:
        notes.append(f"unequal budgets: the runs trained for {min(budgets):,} to {max(budgets):,} steps")
    data = {run.data for row in rows for run in row.group.runs}
    if len(data) > len({run.replicate[1] for row in rows for run in row.group.runs}):
        notes.append("the runs did not all have the same data: differences may come from the rows")
    monitors = {run.monitor for row in rows for run in row.group.runs if run.monitor}
    if len(monitors) > 1:
        notes.append(f"the runs were selected by different metrics: {', '.join(sorted(monitors))}")
    elif monitors and metric not in monitors:
        notes.append(
            f"the test figures are those at the best {monitors.pop()}, which chose the epoch, not at the best {metric}"
        )
    return notes


def _averaged_over(groups: Sequence[Group], keys: Sequence[str]) -> list[str]:
    inside = {key: values for key, values in varying_inside(groups).items() if key not in keys}
    shown = {key: ", ".join([*values[:_FEW], *["…"][: len(values) > _FEW]]) for key, values in inside.items()}
    return [f"averaged over {key} ({values}), which differs inside groups" for key, values in shown.items()]


def _edges(rows: Sequence[Row], keys: Sequence[str], grows: bool) -> list[str]:
    """Where the best learning rate is the smallest or the largest that was tried."""
    if "optim.lr" not in keys:
        return []
    notes = []
    others = [key for key in keys if key != "optim.lr"]
    cells: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        cells.setdefault(tuple(row.group.label[key] for key in others), []).append(row)
    for values, cell in cells.items():
        rated = [row for row in cell if row.interval is not None and as_number(row.group.label["optim.lr"]) is not None]
        rates = sorted({float(row.group.label["optim.lr"]) for row in cell if as_number(row.group.label["optim.lr"])})
        if len(rates) < 2 or not rated:
            continue
        best = float(_sorted(rated, "best", grows)[0].group.label["optim.lr"])
        if best in (rates[0], rates[-1]):
            where = ", ".join(f"{key}={value}" for key, value in zip(others, values, strict=True))
            side, beyond = ("smallest", "smaller") if best == rates[0] else ("largest", "larger")
            prefix = f"{where}: " if where else ""
            notes.append(f"{prefix}the best optim.lr, {best:g}, is the {side} that was tried; try {beyond} ones too")
    return notes


def _s(count: int) -> str:
    return "s" * (count != 1)
