"""The expected best of b trials against every order of the trials, and in closed form."""

import itertools
import math

import numpy as np
import pytest

from nnlab.report.budget import expected_best


def one_by_one(values, grows, reported):
    """Over all orders: what is reported of the trial that is best so far; equal trials take turns."""
    num = len(values)
    found = np.zeros(num)
    for order in itertools.permutations(range(num)):
        for b in range(1, num + 1):
            best = (max if grows else min)(values[trial] for trial in order[:b])
            found[b - 1] += np.mean([reported[trial] for trial in range(num) if values[trial] == best])
    return found / math.factorial(num)


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize(
    ("values", "reported"),
    [
        ([0.3], [0.4]),
        ([0.3, 0.1, 0.2], [0.35, 0.25, 0.15]),
        ([0.3, 0.1, 0.2, 0.1, 0.3, 0.15], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    ],
)
def test_expected_best_equals_the_mean_over_all_orders(values, reported, grows):
    assert expected_best(values, grows) == pytest.approx(one_by_one(values, grows, values))
    assert expected_best(values, grows, reported) == pytest.approx(one_by_one(values, grows, reported))


@pytest.mark.parametrize("num", [1, 10, 500])
def test_expected_largest_of_the_first_whole_numbers_is_known(num):
    """The largest of b of the numbers 1 … B has the mean b (B + 1) / (b + 1)."""
    b = np.arange(1, num + 1)
    numbers = np.random.default_rng(0).permutation(num) + 1.0
    assert expected_best(numbers, grows=True) == pytest.approx(b * (num + 1) / (b + 1), rel=1e-9)
    assert expected_best(numbers, grows=False) == pytest.approx((num + 1) / (b + 1), rel=1e-9)


def test_expected_best_ends_at_the_mean_and_at_the_best():
    values = [0.3, 0.7, 0.2]
    assert expected_best(values, grows=False)[[0, -1]] == pytest.approx([0.4, 0.2])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_diverged_trials_are_never_preferred(bad):
    found = expected_best([bad, 0.4, bad, 0.2], grows=False, reported=[9.0, 0.5, 9.0, 0.3])
    # one of two trials: 1/6 both diverged, 2/6 the first one left, 3/6 the best one
    assert found[1] == pytest.approx(9.0 / 6 + 0.5 * 2 / 6 + 0.3 * 3 / 6)
    assert found[2:] == pytest.approx([0.5 / 4 + 0.3 * 3 / 4, 0.3])
    assert expected_best([bad, 0.4, bad, 0.2], grows=False).tolist() == pytest.approx([math.inf, math.inf, 0.25, 0.2])


def test_diverged_trials_of_a_growing_metric_are_the_worst():
    assert expected_best([math.nan, 0.4], grows=True).tolist() == [-math.inf, 0.4]


@pytest.mark.parametrize(("values", "reported"), [([], None), ([1.0], [1.0, 2.0])])
def test_trials_without_values_are_refused(values, reported):
    with pytest.raises(ValueError, match="a value for each trial"):
        expected_best(values, True, reported)
