"""Profiles, times to a target, and what tuning is worth."""

import numpy as np
import pytest

from nnlab.figure import performance_profile, png, time_to_target, tuning_budget

TAUS = np.array([1.0, 1.5, 4.0])
RHO = np.array([[0.5, 1.0, 1.0], [0.5, 0.5, 0.75]])


def points(line):
    return np.stack([line.get_xdata(), line.get_ydata()])


def test_performance_profile_steps_hold_until_the_next_tau():
    axes = performance_profile(["adam", "sgd"], TAUS, RHO).axes[0]
    for line, share in zip(axes.lines, RHO, strict=True):
        np.testing.assert_array_equal(points(line), [TAUS, share])
        assert line.get_drawstyle() == "steps-post"
    assert axes.get_xlim() == (1, 4)
    low, high = axes.get_ylim()
    assert -0.1 < low < 0 < 1 < high < 1.1


def test_performance_profile_groups_differ_without_colour():
    axes = performance_profile([f"g{k}" for k in range(4)], TAUS, np.ones((4, 3))).axes[0]
    assert len({str(line._dash_pattern) for line in axes.lines}) == 4


def test_time_to_target_share_grows_at_every_arrival_and_counts_runs_that_never_arrive():
    axes = time_to_target(["a", "b"], [[30, 10, np.inf, np.nan], [20, 40]], "valid/loss <= 0.1").axes[0]
    first, second = (points(line) for line in axes.lines)
    np.testing.assert_allclose(first, [[0, 10, 30, 41.6], [0, 0.25, 0.5, 0.5]])
    np.testing.assert_allclose(second, [[0, 20, 40, 41.6], [0, 0.5, 1, 1]])
    assert "target: valid/loss <= 0.1" in [text.get_text() for text in axes.figure.texts]


@pytest.mark.parametrize("times", [[[np.inf] * 3], [[]], [[0.0]]], ids=["never", "no run", "at once"])
def test_time_to_target_degenerate_times_are_drawn(times):
    png(time_to_target(["a"], times, "target"))


def test_tuning_budget_lines_are_the_given_values_over_the_trials():
    axes = tuning_budget(["a", "b"], np.array([[3.0, 2.0, 1.0], [4.0, 3.0, np.nan]]), "valid/loss").axes[0]
    np.testing.assert_array_equal(points(axes.lines[0]), [[1, 2, 3], [3, 2, 1]])
    np.testing.assert_array_equal(points(axes.lines[1]), [[1, 2, 3], [4, 3, np.nan]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("trials", "valid/loss (less is better)")
    assert axes.get_yscale() == "linear"


@pytest.mark.parametrize("values", [[[0.5]], [[np.nan, np.nan]], np.ones((60, 9))], ids=["one", "none", "60 groups"])
def test_tuning_budget_degenerate_values_are_drawn(values):
    figure = tuning_budget([f"g{k}" for k in range(len(values))], np.array(values), "m")
    png(figure)
    assert figure.get_figheight() < 8
