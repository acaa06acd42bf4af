"""What a fair comparison shows beside the table: scores, profile, sensitivity, the worth of tuning."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nnlab.report.budget import expected_best
from nnlab.report.comparison import Comparison, Row
from nnlab.report.drawings import Sketch, sensitivity_sketch
from nnlab.report.groups import as_number
from nnlab.report.profile import LARGEST_RATIO, profile, ratios, score
from nnlab.report.runs import Replicate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUM_TAUS = 301


def scores(final: Comparison) -> dict[str, float]:
    """Each group's score: the mean over the seeds of max(0, (4 − r) / 3), r the steps over the fastest group's.

    Args:
        final: compared with a target; each seed is a problem.

    Returns:
        From 0 to 1 by group, best first.
    """
    found = {name: score(row) for name, row in _ratios(final).items()}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def fairness_sketches(tuned: Comparison, final: Comparison) -> Iterator[Sketch]:
    """The figures of a protocol.

    Args:
        tuned: the tuning runs, grouped by option and the values that were tried.
        final: the fresh runs, compared with a target.
    """
    over, *keys = tuned.keys
    # Options keep their colours from figure to figure.
    order = [next(iter(row.group.label.values())) for row in final.rows]
    tuned = replace(tuned, rows=tuple(sorted(tuned.rows, key=lambda row: order.index(row.group.label[over]))))
    target = final.asked.target
    sign = ">=" if final.grows else "<="
    yield Sketch(
        "performance_profile",
        f"Who reaches {final.metric} {sign} {target:.4g} first",
        f"The share of the seeds on which an option needs at most τ times the steps of the fastest one; the area up to "
        f"τ = {LARGEST_RATIO:g} is its score.",
        lambda: _profile(final),
    )
    for key in keys:
        if len({row.group.label[key] for row in tuned.rows}) > 1 and all(_is_number(row, key) for row in tuned.rows):
            yield sensitivity_sketch(tuned, key)
    yield Sketch(
        "tuning_budget",
        "What tuning was worth",
        f"The best {tuned.metric} that so many trials would have found, on average over every order of the trials.",
        lambda: _budget(tuned, over),
    )


def _is_number(row: Row, key: str) -> bool:
    return as_number(row.group.label[key]) is not None


def _ratios(final: Comparison) -> dict[str, np.ndarray]:
    """For each group the steps to the target over the fastest group's, seed by seed."""
    steps: dict[str, dict[Replicate, float]] = {}
    for row in final.rows:
        name = next(iter(row.group.label.values()))
        steps[name] = {run.replicate: time for run, time in zip(row.timed, row.times_to_target, strict=True)}
    seeds = sorted({seed for times in steps.values() for seed in times})
    rows = [[times.get(seed, math.inf) for seed in seeds] for times in steps.values()]
    known = ratios([[time if math.isfinite(time) else None for time in row] for row in rows])
    return dict(zip(steps, known, strict=True))


def _profile(final: Comparison) -> "Figure":
    from nnlab import figure

    found: Mapping[str, np.ndarray] = _ratios(final)
    taus = np.linspace(1, LARGEST_RATIO, _NUM_TAUS)
    return figure.performance_profile(list(found), taus, np.stack([profile(row, taus) for row in found.values()]))


def _budget(tuned: Comparison, over: str) -> "Figure":
    from nnlab import figure

    trials: dict[str, list[float]] = {}
    for row in tuned.rows:
        whole = row.interval is not None and len(row.values) == row.num_runs
        trials.setdefault(row.group.label[over], []).append(row.interval.mean if whole and row.interval else math.nan)
    longest = max(map(len, trials.values()))
    best = np.full((len(trials), longest), math.nan)
    for line, values in zip(best, trials.values(), strict=True):
        found = expected_best(values, tuned.grows)
        line[: len(found)] = np.where(np.isfinite(found), found, math.nan)
    return figure.tuning_budget(list(trials), best, tuned.metric, tuned.grows)
