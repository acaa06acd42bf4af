"""Which of two groups of runs is better, and whether that is sure."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from nnlab.report.interval import Interval, certain, check, estimate, limits, size, unbounded
from nnlab.report.permutation import num_needed_without_spread, p_without_spread
from nnlab.report.pivot import StudentT
from nnlab.report.power import num_each_needed, num_pairs_needed
from nnlab.report.resampling import pivot_of_two
from nnlab.report.sample import Sample, sample
from nnlab.report.sentence import sentence

Verdict = Literal["better", "worse", "not told apart"]


@dataclass(frozen=True)
class Replicates:
    """One group's values of a metric, a run each.

    Args:
        name: what the group is called.
        values: by what makes two runs of different groups a pair, such as the seed; finite, at least one.
    """

    name: str
    values: Mapping[Any, float]


@dataclass(frozen=True)
class Question:
    """What is asked about two groups.

    Args:
        metric: what the values are, such as ``valid/loss``.
        grows: whether more of it is better.
        interval: how intervals and p values are made, ``student`` or ``bootstrap_t``.
        level: of the intervals, in (0, 1).
    """

    metric: str
    grows: bool
    interval: str = "student"
    level: float = 0.95


@dataclass(frozen=True)
class Difference:
    """How a first group stands to a second one.

    Args:
        first: the name of the group that is spoken of.
        second: the name of the group that it is held against.
        asked: the question.
        interval: of the first mean − the second mean, in the metric's unit.
        is_paired: whether runs with equal seeds were subtracted from each other.
        num_runs: runs of the first and of the second group that were used.
        num_left_out: runs of the first and of the second group that found no partner.
        p_value: the probability of a difference at least as far from 0 if there were none.
        alpha: what the p value was held against: 1 − level, less where many groups are compared.
        num_pairs: pairs of groups that ``alpha`` allows for.
        verdict: of the first group.
        num_needed: runs of each group, in all, that would tell this difference apart in four cases of five; None if
            more than 1,000 would be needed, if nothing can be said, and where the groups are told apart.
        caveat: what the values do not show and the sentence ends with, such as runs that diverged; empty for nothing.
        noun: what a value is called: a seed, or a run where a seed has several.
    """

    first: str
    second: str
    asked: Question
    interval: Interval
    is_paired: bool
    num_runs: tuple[int, int]
    num_left_out: tuple[int, int]
    p_value: float
    alpha: float
    num_pairs: int
    verdict: Verdict
    num_needed: int | None
    caveat: str = ""
    noun: str = "seed"

    @property
    def sentence(self) -> str:
        """Which group is better, by how much, and how sure that is, without a full stop."""
        return f"{sentence(self)}; {self.caveat}" if self.caveat else sentence(self)

    def to_json(self) -> dict[str, Any]:
        """The difference as plain values; a limit that does not exist is None."""
        low, high = (end if math.isfinite(end) else None for end in (self.interval.low, self.interval.high))
        return {
            "first": self.first,
            "second": self.second,
            "difference": self.interval.mean,
            "low": low,
            "high": high,
            "paired": self.is_paired,
            "runs": list(self.num_runs),
            "left_out": list(self.num_left_out),
            "p_value": self.p_value,
            "alpha": self.alpha,
            "verdict": self.verdict,
            "runs_needed": self.num_needed,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class _Contrast:
    """Two groups subtracted; what of them went into it: the differences within pairs, or both samples."""

    first: Replicates
    second: Replicates
    samples: tuple[Sample, ...]
    num_runs: tuple[int, int]
    interval: Interval
    p_value: float
    is_constant: bool

    @property
    def is_without_spread(self) -> bool:
        """Whether there is a difference, and it is the same every time."""
        return self.interval.low == self.interval.high != 0


def difference(first: Replicates, second: Replicates, asked: Question) -> Difference:
    """Hold one group against another.

    The runs are paired where at least two seeds are common to both groups and these are all seeds of the smaller
    group; runs of the larger group without a partner are then left out, and counted. In all other cases the groups are
    independent samples: Welch's t test, or each group resampled by itself. What rounding explains is no difference.
    Where the differences, or all values of each group, are equal, t would be infinite, though two runs whose accuracy
    is one row of 500 apart twice prove little: the p value is then that of the permutation test.

    How many runs would be needed follows from the t test, for ``bootstrap_t`` too.

    Args:
        first: the group that the verdict is about.
        second: the group that it is held against.
        asked: the question.

    Returns:
        The difference. The two are told apart where the p value is at most 1 − level, that is where 0 lies outside the
        interval, if that has a width.

    Raises:
        ValueError: if a group has no values, some are not finite, or the interval or the level is none.

    Source: B. L. Welch, The generalization of Student's problem, Biometrika 34 (1947); the bootstrap of two samples:
    A. C. Davison & D. V. Hinkley, Bootstrap Methods and their Application, 1997, chapter 5.
    """
    check(asked.interval, asked.level)
    contrast, alpha = _contrast(first, second, asked), size(asked.level)
    return _judged(contrast, asked, alpha, contrast.p_value <= alpha, num_pairs=1)


def differences(
    groups: Mapping[str, Mapping[Any, float]],
    grows: bool,
    metric: str,
    interval: str = "student",
    level: float = 0.95,
    eligible: Container[str] | None = None,
) -> list[Difference]:
    """Hold the group with the best mean against each of the others.

    Which group is best was chosen by the same values, so every pair of groups had its chance: K groups make
    M = K (K − 1) / 2 pairs. Holm's method is applied to all of them: the i-th smallest p value, i from 0, is held
    against (1 − level) / (M − i), and from the first that is too large on nothing is told apart. The pairs without the
    best group are placed last, which can only make the verdicts more careful. To allow for the K − 1 comparisons alone
    would find a better one among ten equal groups in more than 10 cases of 100, where 5 are promised. The intervals
    are not widened: each covers by itself.

    Args:
        groups: the values by name and seed. A group without values is left out, in which case nothing is said of it.
        grows: whether more of the metric is better.
        metric: what the values are, such as ``valid/loss``.
        interval: ``student`` or ``bootstrap_t``. No p value of ``bootstrap_t`` is below 0.0002 where its resamples are
            drawn: among more than 22 groups it tells nothing apart.
        level: of each interval, in (0, 1).
        eligible: the names of those of which one is the best, if any of them has values; None for all. A group of
            one lucky run would hide how all others stand to each other.

    Returns:
        The best group against each other one, in the order of ``groups``; the first of equally good ones is best.

    Raises:
        ValueError: if values are not finite, or the interval or the level is none.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6
    (1979).
    """
    check(interval, level)
    asked = Question(metric, grows, interval, level)
    known = [Replicates(name, values) for name, values in groups.items() if values]
    if len(known) < 2:
        return []
    fit = [group for group in known if group.name in eligible] or known if eligible is not None else known
    best = max(fit, key=lambda group: sample(list(group.values.values())).mean * (1 if grows else -1))
    contrasts = [_contrast(best, group, asked) for group in known if group is not best]
    num_pairs = len(known) * (len(known) - 1) // 2
    num_told, alpha = _holm([contrast.p_value for contrast in contrasts], num_pairs, size(level))
    told = sorted(contrasts, key=lambda contrast: contrast.p_value)[:num_told]
    return [_judged(found, asked, alpha, any(found is one for one in told), num_pairs) for found in contrasts]


def _holm(p_values: Sequence[float], num_tests: int, alpha: float) -> tuple[int, float]:
    """How many of the smallest p values are small enough, and what the last one was held against.

    Whatever is not told apart has a p value above the number where Holm's method stopped.
    """
    reached = alpha
    for rank, p_value in enumerate(sorted(p_values)):
        reached = alpha / (num_tests - rank)
        if p_value > reached:
            return rank, reached
    return len(p_values), reached


def _contrast(first: Replicates, second: Replicates, asked: Question) -> _Contrast:
    common = [seed for seed in first.values if seed in second.values]
    if 2 <= len(common) == min(len(first.values), len(second.values)):
        within = _within_pairs(*([group.values[seed] for seed in common] for group in (first, second)))
        found = estimate(within, asked.interval, asked.level)
        is_constant = all(len({group.values[seed] for seed in common}) == 1 for group in (first, second))
        return _in_doubt(
            _Contrast(first, second, (within,), (len(common), len(common)), *found, is_constant=is_constant)
        )
    samples = sample(list(first.values.values())), sample(list(second.values.values()))
    found = _unpaired(*samples, asked)
    num_runs = samples[0].num, samples[1].num
    return _in_doubt(_Contrast(first, second, samples, num_runs, *found, is_constant=True))


def _in_doubt(contrast: _Contrast) -> _Contrast:
    """The contrast; where it has no spread, with a p value that a few equal differences bear."""
    if not contrast.is_without_spread:
        return contrast
    is_paired = len(contrast.samples) == 1
    return replace(contrast, p_value=p_without_spread(contrast.num_runs, is_paired, contrast.is_constant))


def _within_pairs(first: Sequence[float], second: Sequence[float]) -> Sample:
    """The differences; 0.98 − 0.97 and 0.99 − 0.98 count as equal, and 0.1 + 0.2 − 0.3 as none."""
    found = sample(np.subtract(first, second).tolist())
    rounding = _rounding(*first, *second)
    if found.scale > rounding:
        return found
    return Sample(found.mean if abs(found.mean) > rounding else 0.0, 0.0, np.zeros(found.num))


def _rounding(*values: float) -> float:
    return 8 * float(np.finfo(np.float64).eps) * max(map(abs, values))


def _unpaired(first: Sample, second: Sample, asked: Question) -> tuple[Interval, float]:
    mean, scale = first.mean - second.mean, max(first.scale, second.scale)
    if min(first.num, second.num) == 1:
        return unbounded(mean)
    if scale == 0:
        return certain(mean if abs(mean) > _rounding(first.mean, second.mean) else 0.0)
    errors = np.array([first.error, second.error]) / scale
    error = float(scale * np.hypot(*errors))
    if asked.interval == "bootstrap_t":
        pivot = pivot_of_two(first.deviations * (first.scale / scale), second.deviations * (second.scale / scale))
        return limits(mean, error, pivot, asked.level)
    squares = errors**2
    degrees = squares.sum() ** 2 / (squares**2 / [first.num - 1, second.num - 1]).sum()
    return limits(mean, error, StudentT(float(degrees)), asked.level)


def _judged(contrast: _Contrast, asked: Question, alpha: float, is_told: bool, num_pairs: int) -> Difference:
    first, second = contrast.first, contrast.second
    is_better = (contrast.interval.mean > 0) == asked.grows
    return Difference(
        first=first.name,
        second=second.name,
        asked=asked,
        interval=contrast.interval,
        is_paired=len(contrast.samples) == 1,
        num_runs=contrast.num_runs,
        num_left_out=(len(first.values) - contrast.num_runs[0], len(second.values) - contrast.num_runs[1]),
        p_value=contrast.p_value,
        alpha=alpha,
        num_pairs=num_pairs,
        verdict=("better" if is_better else "worse") if is_told else "not told apart",
        num_needed=None if is_told else _num_needed(contrast, alpha),
    )


def _num_needed(contrast: _Contrast, alpha: float) -> int | None:
    """Runs of each group in all; never as few as there are, for these did not do."""
    if min(contrast.num_runs) < 2:
        return None
    if contrast.is_without_spread:
        return num_needed_without_spread(len(contrast.samples) == 1, contrast.is_constant, alpha)
    if not any(values.scale for values in contrast.samples):
        return None
    mean, deviations = contrast.interval.mean, [values.deviation for values in contrast.samples]
    if len(deviations) == 1:
        needed = num_pairs_needed(mean, deviations[0], alpha)
    else:
        needed = num_each_needed(mean, (deviations[0], deviations[1]), alpha)
    return None if needed is None else max(needed, min(contrast.num_runs) + 1)
