"""Sentences on whatever forbids to take a comparison's table at face value."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnlab.report.difference import Difference
from nnlab.report.groups import Group, as_number, varying_inside
from nnlab.report.interval import size
from nnlab.report.kind import data_of
from nnlab.report.resampling import smallest_p
from nnlab.report.runs import Replicate, RunData

if TYPE_CHECKING:
    from nnlab.report.comparison import Row

#: values of a key that a note names
_FEW = 6


def left_out(rows: "Sequence[Row]", metric: str, grows: bool) -> list[str]:
    """Runs that a mean is without.

    Args:
        rows: groups that are held against each other.
        metric: what is compared.
        grows: whether more of it is better.
    """
    notes = []
    whole = [row.interval.mean for row in rows if row.interval is not None and not row.num_lost]
    for row in rows:
        kinds = {"diverged": row.num_diverged, "failed": row.num_failed, "not finished": row.num_unfinished}
        empty = sum(run.is_counted and not math.isfinite(run.best(metric)) for run in row.group.runs)
        said = [f"{count} {kind}" for kind, count in (kinds | {f"without {metric}": empty}).items() if count]
        if said and row.values:
            is_moved = row.num_lost and row.interval and any((row.interval.mean > mean) == grows for mean in whole)
            place = "; so it stands behind the groups without such runs" if is_moved else ""
            notes.append(f"{row.group.name}: the mean is without {', '.join(said)} of {row.num_runs} runs{place}")
        elif said:
            notes.append(f"{row.group.name}: there is no mean: {', '.join(said)} of {row.num_runs} runs")
    return notes


def unlike(rows: "Sequence[Row]", metric: str) -> list[str]:
    """Whatever makes groups unlike beside what they differ in: numbers of runs, budgets, data, devices.

    Args:
        rows: all groups.
        metric: what is compared.
    """
    notes = []
    runs = [run for row in rows for run in row.group.runs]
    sizes = {len(row.values) for row in rows if row.values}
    if len(sizes) > 1:
        notes.append(f"the groups have unequal numbers of seeds: {min(sizes)} to {max(sizes)}")
    elif sizes == {1} and sum(bool(row.values) for row in rows) > 1:
        notes.append("one seed for each group: nothing tells a difference from chance; add 'seed=range(5)'")
    notes += _budgets(runs)
    drawn = {(data_of(run), *run.replicate[1:]) for run in runs}
    if len({(data_of(run), *run.replicate[1:], run.data) for run in runs}) > len(drawn):
        notes.append("the runs did not all have the same data: differences may come from the rows")
    places = dict.fromkeys(_place(run) for run in runs)
    if len(places) > 1:
        notes.append(f"the times are not of equal terms: the runs were on {', '.join(places)}")
    if any(run.record["choices"].get("engine") == "stack" for run in runs):
        notes.append("the times are of whole stacks: they do not tell how long one run takes")
    monitors = {run.monitor for run in runs if run.monitor}
    if len(monitors) > 1:
        notes.append(f"the runs were selected by different metrics: {', '.join(sorted(monitors))}")
    elif monitors and metric not in monitors and not metric.startswith("test/"):
        notes.append(
            f"the test figures are those at the best {monitors.pop()}, which chose the epoch, not at the best {metric}"
        )
    return notes


def overlap(rows: "Sequence[Row]") -> list[str]:
    """Where values are of folds of the same rows, each of which was trained on most of the rows of any other.

    Args:
        rows: all groups.

    Source: Y. Bengio & Y. Grandvalet, No unbiased estimator of the variance of k-fold cross-validation, Journal of
    Machine Learning Research 5 (2004).
    """
    if not any(row.has_folds for row in rows):
        return []
    return [
        "folds overlap in the rows that they train on, so that their figures are not independent: the intervals are "
        "somewhat too narrow (Bengio and Grandvalet, No Unbiased Estimator of the Variance of K-Fold Cross-Validation, "
        "JMLR 2004)"
    ]


def _budgets(runs: Sequence[RunData]) -> list[str]:
    """An epoch of another data set has other steps: only with the same one are unequal steps unequal terms."""
    budgets: dict[str, set[int]] = {}
    for run in runs:
        if run.status == "completed":
            budgets.setdefault(data_of(run), set()).add(run.steps)
    return [
        f"unequal budgets{f' on {data}' if len(budgets) > 1 else ''}: "
        f"the runs trained for {min(steps):,} to {max(steps):,} steps"
        for data, steps in budgets.items()
        if len(steps) > 1
    ]


def _place(run: RunData) -> str:
    choices = run.record["choices"]
    return f"{choices.get('device')} with {choices.get('threads')} thread{'s' * (choices.get('threads') != 1)}"


def averaged_over(groups: Sequence[Group], keys: Sequence[str]) -> list[str]:
    """Settings that differ inside groups.

    Args:
        groups: all of them.
        keys: what the groups differ in.
    """
    inside = {key: values for key, values in varying_inside(groups).items() if key not in keys}
    shown = {key: ", ".join([*values[:_FEW], *["…"][: len(values) > _FEW]]) for key, values in inside.items()}
    notes = [f"averaged over {key} ({values}), which differs inside groups" for key, values in shown.items()]
    if notes and any(_is_patchy(group, list(inside)) for group in groups):
        notes.append("not every seed has all of what is averaged over: its mean is one of other settings")
    return notes


def _is_patchy(group: Group, keys: Sequence[str]) -> bool:
    """Whether the counted runs of some seed are of other settings than those of another one."""
    found: dict[Replicate, set[tuple[str, ...]]] = {}
    for run in group.runs:
        if run.is_counted:
            found.setdefault(run.replicate, set()).add(tuple(run.settings.get(key, "") for key in keys))
    return len(set(map(frozenset, found.values()))) > 1


def edges(rows: "Sequence[Row]", keys: Sequence[str]) -> list[str]:
    """Where the best learning rate is the smallest or the largest that was tried.

    Args:
        rows: all groups, best first.
        keys: what they differ in.
    """
    if "optim.lr" not in keys:
        return []
    notes = []
    others = [key for key in keys if key != "optim.lr"]
    cells: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        cells.setdefault(tuple(row.group.label[key] for key in others), []).append(row)
    for values, cell in cells.items():
        rated = [row for row in cell if row.interval is not None and as_number(row.group.label["optim.lr"]) is not None]
        rates = sorted({rate for row in cell if (rate := as_number(row.group.label["optim.lr"])) is not None})
        if len(rates) < 2 or not rated:
            continue
        best = float(rated[0].group.label["optim.lr"])
        if best in (rates[0], rates[-1]):
            where = ", ".join(f"{key}={value}" for key, value in zip(others, values, strict=True))
            side, beyond = ("smallest", "smaller") if best == rates[0] else ("largest", "larger")
            prefix = f"{where}: " if where else ""
            notes.append(f"{prefix}the best optim.lr, {best:g}, is the {side} that was tried; try {beyond} ones too")
    return notes


def too_coarse(differences: Sequence[Difference], interval: str) -> list[str]:
    """Where resamples are too few for the number of groups, however far these are apart.

    Args:
        differences: all of them.
        interval: how their p values were made.
    """
    known = [one for one in differences if min(one.num_runs) > 1]
    if interval != "bootstrap_t" or not known:
        return []
    if any(smallest_p(one.num_runs, one.is_paired) * one.num_pairs <= size(one.asked.level) for one in known):
        return []
    least = min(smallest_p(one.num_runs, one.is_paired) for one in known)
    return [
        f"bootstrap_t tells nothing apart here: its p values are {least:.2g} or more, above 0.05 / "
        f"{known[0].num_pairs:,} for so many pairs of groups; take --interval student, or more seeds, or fewer groups"
    ]
