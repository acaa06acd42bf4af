"""Performance profiles, scores and times to a target in closed form."""

import math
from fractions import Fraction

import numpy as np
import pytest

from nnlab.report.profile import profile, ratios, score, time_to_target


@pytest.mark.parametrize(
    ("values", "target", "grows", "expected"),
    [
        ([0.9, 0.5, 0.6, 0.4], 0.5, False, 20),
        ([0.9, 0.5, 0.6, 0.4], 0.55, False, 20),
        ([0.9, 0.5, 0.6, 0.4], 0.39, False, None),
        ([0.9, 0.5, 0.6, 0.4], 0.9, True, 10),
        ([0.1, 0.5, 0.6, 0.4], 0.6, True, 30),
        ([math.nan, math.nan, 0.2, 0.1], 0.5, False, 30),
        ([math.nan, 0.9, math.inf, 0.6], 0.5, False, None),
    ],
)
def test_time_to_target_is_the_first_evaluation_at_or_past_it(values, target, grows, expected):
    assert time_to_target([10, 20, 30, 40], values, target, grows) == expected


def test_time_to_target_of_no_evaluations_is_none():
    assert time_to_target([], [], 0.5, grows=False) is None


def test_ratios_are_to_the_best_method_of_each_problem():
    found = ratios([[10, 300, None, None], [20, 100, 7, None], [None, 400, 14, None]])
    inf = math.inf
    assert found.tolist() == [[1, 3, inf, inf], [2, 1, 1, inf], [inf, 4, 2, inf]]


@pytest.mark.parametrize("times", [[[0.0, 1.0]], [[-1.0, 1.0]], [[math.nan, 1.0]]])
def test_ratios_of_times_that_are_none_are_refused(times):
    with pytest.raises(ValueError, match="above 0"):
        ratios(times)


@pytest.mark.parametrize("times", [[], [[1.0, 2.0], [1.0]]])
def test_ratios_of_rows_of_unequal_length_are_refused(times):
    with pytest.raises(ValueError, match="for every problem"):
        ratios(times)


def test_profile_is_the_share_solved_within_tau():
    ratio = [1.0, 1.0, 2.5, 4.0, math.inf]
    assert profile(ratio, [1.0, 2.49, 2.5, 3.99, 4.0, 1e9]).tolist() == [0.4, 0.4, 0.6, 0.6, 0.8, 0.8]


RATIOS = [
    [Fraction(1)],
    [Fraction(4)],
    [Fraction(9, 2)],
    [Fraction(1), Fraction(5, 4), Fraction(5, 2), Fraction(5, 2), Fraction(15, 4), Fraction(7)],
]


@pytest.mark.parametrize("with_a_miss", [False, True])
@pytest.mark.parametrize("ratio", RATIOS)
def test_score_is_the_integral_of_the_profile_over_its_range(ratio, with_a_miss):
    """ρ is constant between the ratios: the integral is a finite sum, exact in fractions."""
    misses = [math.inf] * with_a_miss
    num = len(ratio) + len(misses)
    edges = [Fraction(1), *sorted({r for r in ratio if 1 < r < 4}), Fraction(4)]
    rho = profile([*map(float, ratio), *misses], [float(edge) for edge in edges[:-1]])
    shares = [Fraction(round(value * num), num) for value in rho]
    assert [float(share) for share in shares] == rho.tolist()
    steps = zip(edges, edges[1:], shares, strict=False)
    integral = sum(((end - start) * share for start, end, share in steps), Fraction(0)) / 3
    by_problem = sum((max(Fraction(0), (4 - r) / 3) for r in ratio), Fraction(0)) / num
    assert integral == by_problem
    assert score([*map(float, ratio), *misses]) == pytest.approx(float(integral), rel=1e-15)


@pytest.mark.parametrize(
    ("ratio", "expected"), [([1.0, 1.0], 1.0), ([math.inf, 4.0], 0.0), ([1.0, math.inf], 0.5), ([2.5], 0.5)]
)
def test_score_lies_between_never_and_always_the_fastest(ratio, expected):
    assert score(ratio) == expected


def test_score_to_another_ratio_is_that_integral():
    assert score([1.0, 2.0, 5.0], largest=3.0) == pytest.approx((1 + 0.5 + 0) / 3)


def test_problems_that_no_method_solves_lower_every_score_alike():
    found = ratios([[10, None], [20, None]])
    assert [score(row) for row in found] == pytest.approx([0.5, 1 / 3])
    assert np.isinf(found[:, 1]).all()
