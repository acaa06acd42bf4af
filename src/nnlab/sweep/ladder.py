"""Rungs and brackets of successive halving.

K. Jamieson & A. Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS 2016; L. Li
et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization, JMLR 2018.
"""

import math
from collections.abc import Sequence
from itertools import pairwise


def ladder(num_steps: int, least: int, factor: int, most: int) -> list[int]:
    """The steps at which trials are compared, the last of them the whole training.

    Args:
        num_steps: of a whole training.
        least: the fewest steps after which there is something to compare.
        factor: between two rungs.
        most: rungs, at most.

    Returns:
        Rising steps, at least one.

    Example:
        >>> ladder(900, 50, 3, 9), ladder(900, 50, 3, 2)
        ([100, 300, 900], [300, 900])
    """
    rungs = [num_steps]
    while len(rungs) < most and (below := math.ceil(num_steps / factor ** len(rungs))) >= least:
        rungs.insert(0, below)
    return rungs


def kept(number: int, factor: int) -> int:
    """How many of the trials on a rung go on: one of each ``factor``, and at least one."""
    return max(1, number // factor)


def brackets(num_trials: int, num_rungs: int, num_brackets: int, factor: int) -> list[list[int]]:
    """Divide trials among brackets, each of which begins a rung higher than the one before it.

    Args:
        num_trials: in all.
        num_rungs: of the ladder.
        num_brackets: at most as many as there are rungs.
        factor: between two rungs.

    Returns:
        The numbers of each bracket's trials: the higher it begins, the fewer, as in Hyperband, so that the brackets
        cost about the same.

    Example:
        >>> [len(numbers) for numbers in brackets(49, 4, 4, 3)]
        [27, 12, 6, 4]
    """
    top = num_rungs - 1
    weights = [math.ceil((top + 1) / (top - place + 1) * factor ** (top - place)) for place in range(num_brackets)]
    edges = [round(num_trials * sum(weights[:place]) / sum(weights)) for place in range(num_brackets + 1)]
    return [list(range(start, end)) for start, end in pairwise(edges)]


def cost(numbers: Sequence[Sequence[int]], rungs: Sequence[int], factor: int) -> int:
    """Optimizer steps that brackets take, those of all trials together.

    Args:
        numbers: of each bracket's trials.
        rungs: the ladder.
        factor: between two rungs.
    """
    total = 0
    for place, trials in enumerate(numbers):
        live, before = len(trials), 0
        for step in rungs[place:]:
            total += live * (step - before)
            live, before = kept(live, factor), step
    return total
