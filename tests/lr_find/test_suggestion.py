"""What a curve of losses speaks for, against sums written here."""

import itertools
import math

import numpy as np
import pytest

from nnlab.config import ConfigError
from nnlab.lr_find.options import Options, read_options
from nnlab.lr_find.range_test import smoothed, suggest
from nnlab.lr_find.rates import USUAL, grid
from nnlab.lr_find.suggestion import smoothed_scores, valley

NAN = math.nan


def test_scores_are_the_mean_log_loss_of_each_rate_and_its_neighbours():
    losses = np.array([[1.0, 0.5, 0.1, 0.2], [1.0, 0.25, 0.1, 0.8]])
    log = np.log([1.0, math.sqrt(0.5 * 0.25), 0.1, 0.4])  # geometric means
    expected = [
        (3 * log[0] + log[1]) / 4,
        (log[0] + 2 * log[1] + log[2]) / 4,
        (log[1] + 2 * log[2] + log[3]) / 4,
        (log[2] + 3 * log[3]) / 4,
    ]
    np.testing.assert_allclose(smoothed_scores(losses), expected, rtol=1e-12)


#: seeds by rates -> the place of the rate that is best
CHOICES = {
    "the smallest mean": ([[1, 0.5, 0.1, 0.5, 1]], 2),
    "good with one seed only": ([[1, 0.3, 0.2, 0.25, 0.02], [1, 0.3, 0.2, 0.25, 4.0]], 2),
    "beside a rate that diverges": ([[1, 0.5, 0.2, 0.18, NAN]], 2),
    "diverges with one seed of three": ([[1, 0.3, 0.2, 0.3, 0.002, 1]] * 2 + [[1, 0.3, 0.2, 0.3, NAN, 1]], 3),
    "the smallest rate diverged with one seed": ([[NAN, 0.5, 0.2, 0.9], [1, 0.5, 0.2, 0.9]], 2),
    # a thousandth of the first loss is as good as none: the smallest rate that solves it, and not on its edge
    "several solve it": ([[1, 1e-1, 1e-4, 1e-5, 1e-6, 1e-9, 1]], 3),
}


@pytest.mark.parametrize(("losses", "best"), CHOICES.values(), ids=CHOICES)
def test_best_rate_of_a_sweep(losses, best):
    assert int(np.argmin(smoothed_scores(np.array(losses, dtype=float)))) == best


def test_scores_where_everything_diverged_are_refused():
    with pytest.raises(ValueError, match="every training diverged"):
        smoothed_scores(np.full((3, 4), NAN))


def longest_descent(values):
    """By looking at every subsequence, from the longest down."""
    for length in range(len(values), 0, -1):
        for places in itertools.combinations(range(len(values)), length):
            chosen = [values[place] for place in places]
            if all(one > two for one, two in itertools.pairwise(chosen)):
                return length
    raise AssertionError


def test_valley_is_the_longest_falling_subsequence():
    generator = np.random.default_rng(0)
    for _ in range(30):
        values = generator.integers(0, 8, size=9).astype(float)
        length, last = valley(values)
        assert length == longest_descent(values.tolist())
        # it ends there: with one number less it is shorter, or there was another one before
        assert longest_descent(values[: last + 1].tolist()) == length
        assert last == 0 or longest_descent(values[:last].tolist()) == length - 1


def test_smoothed_is_the_weighted_mean_of_what_came_before():
    losses = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    expected = []
    for num in range(1, 6):
        weights = 0.9 ** np.arange(num)[::-1]
        expected.append(float((weights * losses[:num]).sum() / weights.sum()))
    np.testing.assert_allclose(smoothed(losses.tolist()), expected, rtol=1e-12)


def test_range_test_of_a_falling_loss_suggests_the_middle_of_its_fall():
    rates = np.geomspace(1e-4, 1e-1, 90).tolist()
    losses = [1.0] * 30 + np.linspace(1.0, 0.0, 30).tolist() + [0.0] * 30
    # The running mean falls from step 31 to the last one, more and more slowly: 60 numbers, a few more by rounding.
    suggested = suggest(rates, losses)
    assert suggested is not None
    assert rates[89 - 34] < suggested < rates[89 - 28]


#: losses of a range test that speak for no rate
SILENT = {
    "diverged at once": [2.0, 9.0, math.inf],
    "rises": [*np.linspace(1, 3, 50)],
    "noise around a line": [*(1 + 0.1 * np.random.default_rng(1).standard_normal(60))],
    "no step": [],
}


@pytest.mark.parametrize("losses", SILENT.values(), ids=SILENT)
def test_range_test_without_a_fall_suggests_nothing(losses):
    assert suggest(np.geomspace(1e-4, 1, 100).tolist(), losses) is None


def test_grid_has_three_rates_in_each_power_of_ten_and_both_ends():
    assert grid(0.01, 1.0, None) == [0.01, 0.022, 0.046, 0.1, 0.22, 0.46, 1.0]
    assert grid(0.003, 0.3, 3) == [0.003, 0.03, 0.3]
    assert grid(1e-6, 10, 2) == [1e-6, 10]
    assert grid(0.5, 0.51, 9) == [0.5, 0.51]  # two digits tell no more apart


@pytest.mark.parametrize("optimizer", [*USUAL, "Own"])
def test_usual_limits_hold_an_optimizers_default_of_torchs(optimizer):
    import inspect

    import torch

    low, high = Options().limits(optimizer)
    if optimizer != "Own":
        assert low < inspect.signature(getattr(torch.optim, optimizer)).parameters["lr"].default <= high


#: flags -> what is said of them
WRONG = {
    ("--min-lr", "abc"): "--min-lr: expected a number > 0 such as 1e-4, found 'abc'",
    ("--min-lr", "0"): "--min-lr: expected a number > 0 such as 1e-4, found '0'",
    ("--max-lr", "inf"): "--max-lr: expected a number > 0",
    ("--max-lr", "nan"): "--max-lr: expected a number > 0",
    ("--rates", "1"): "--rates: expected a whole number of at least 2, found '1'",
    ("--rates", "2.5"): "--rates: expected a whole number of at least 2, found '2.5'",
    ("--seeds", "0"): "--seeds: expected a whole number of at least 1, found '0'",
    ("--steps", "-3"): "--steps: expected a whole number of at least 1, found '-3'",
    ("--rates", "500", "--seeds", "3"): "--rates, --seeds: expected at most 1,000 trainings in all",
    ("--method", "range", "--steps", "19"): "--steps: expected a whole number of at least 20, found '19'",
    ("--method", "range", "--seeds", "3"): "--seeds: only --method sweep has it",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_flag_is_said_with_what_was_expected(words):
    with pytest.raises(ConfigError) as caught:
        read_options(dict(zip(words[::2], words[1::2], strict=True)))
    assert WRONG[words] in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (Options(low=1.0, high=0.1), "--min-lr 1 and --max-lr 0.1: expected --min-lr below --max-lr"),
        (Options(low=5.0), "found 5 and 1 (what Adam has if nothing is said)"),
        (Options(high=1e-9), "--max-lr 1e-09: expected --min-lr below --max-lr"),
    ],
)
def test_limits_the_wrong_way_round_are_refused(options, text):
    with pytest.raises(ConfigError) as caught:
        options.limits("Adam")
    assert text in str(caught.value)
