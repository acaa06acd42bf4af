"""What a trial came to, and which ones are best; a search by any sampler, or none, goes by it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from nnlab.experiment import Result
from nnlab.report.search_record import Head, Trial


def came_to(head: Head, trial: Trial, results: Sequence[Result]) -> Trial:
    """What a trial came to.

    Args:
        head: what the search goes by.
        trial: the one.
        results: of its members.

    Returns:
        The trial, ended: the means over its members of what each had at its best epoch. One diverged member makes it
        diverged, and one that failed, failed.
    """
    statuses = {result.status for result in results}
    best = [result.content["best"] for result in results]
    if "failed" in statuses:
        return replace(trial, state="failed")
    rows = [[row.get(name) for name in head.metric] for row in best]
    if "diverged" in statuses or any(x is None or not math.isfinite(x) for row in rows for x in row):
        return replace(trial, state="diverged")
    means = tuple(statistics.fmean(column) for column in zip(*rows, strict=True))
    return replace(trial, state="completed", objectives=means)


def best_of(head: Head, trials: Sequence[Trial]) -> list[int]:
    """The numbers of the best trials: one, or for several objectives all that no other one beats.

    Args:
        head: what the search goes by.
        trials: that have ended.
    """
    signs = [1 if direction == "minimize" else -1 for direction in head.direction]
    points = {
        trial.number: tuple(sign * value for sign, value in zip(signs, trial.objectives, strict=True))
        for trial in trials
        if trial.state == "completed"
    }
    if len(signs) == 1:
        return [min(points, key=lambda number: (points[number], number))] if points else []
    return [number for number, one in points.items() if not any(_beats(other, one) for other in points.values())]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
