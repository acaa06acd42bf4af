"""Differences of groups: against SciPy, all pairs of resamples one by one, and simulation; what the sentences say."""

import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats

from nnlab.report.difference import Question, Replicates, difference, differences

METHOD = pytest.mark.parametrize("method", ["student", "bootstrap_t"])


def group(values, first_seed=0):
    return {first_seed + place: float(value) for place, value in enumerate(values)}


def held(first, second, method="student", grows=True, level=0.95):
    asked = Question("valid/accuracy", grows, method, level)
    return difference(Replicates("a", first), Replicates("b", second), asked)


def draw(num, mean=0.0, spread=1.0, seed=0):
    return mean + spread * np.random.default_rng([num, seed]).exponential(size=num)


@pytest.mark.parametrize("num", [2, 5, 20])
def test_paired_difference_equals_scipy(num):
    first, second = draw(num), draw(num, 0.5, seed=1)
    found = held(group(first), group(second), level=0.9)
    expected = stats.ttest_rel(first, second)
    assert found.is_paired
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(expected.confidence_interval(0.9)))
    assert found.interval.mean == pytest.approx(first.mean() - second.mean())


@pytest.mark.parametrize(("num", "other"), [(2, 2), (5, 3), (4, 30)])
def test_unpaired_difference_equals_welch_of_scipy(num, other):
    first, second = draw(num), draw(other, 0.5, 3.0, seed=1)
    found = held(group(first), group(second, first_seed=100), level=0.99)
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert not found.is_paired
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(expected.confidence_interval(0.99)))


def test_pairs_are_by_seed_whatever_the_order():
    first, second = group(draw(6)), group(draw(6, seed=1))
    turned = {seed: second[seed] for seed in reversed(second)}
    assert held(first, turned) == held(first, second)


@pytest.mark.parametrize(
    ("seeds", "others", "is_paired", "num_runs", "num_left_out"),
    [
        ([0, 1, 2], [0, 1, 2], True, (3, 3), (0, 0)),
        ([0, 1, 2], [2, 0, 1, 7, 8], True, (3, 3), (0, 2)),
        ([0, 1, 2, 3], [3, 1], True, (2, 2), (2, 0)),
        ([0, 1, 2], [0, 1, 9], False, (3, 3), (0, 0)),
        ([0, 1, 2], [3, 4, 5], False, (3, 3), (0, 0)),
        ([0, 1, 2], [0], False, (3, 1), (0, 0)),
        ([0], [0], False, (1, 1), (0, 0)),
    ],
)
def test_runs_are_paired_where_the_smaller_group_is_common(seeds, others, is_paired, num_runs, num_left_out):
    first = {seed: 1.0 + seed**2 for seed in seeds}
    second = {seed: 2.0 + math.sqrt(seed) for seed in others}
    found = held(first, second)
    assert (found.is_paired, found.num_runs, found.num_left_out) == (is_paired, num_runs, num_left_out)
    if is_paired:
        common = sorted(set(seeds) & set(others))
        assert found.interval.mean == pytest.approx(sum(first[seed] - second[seed] for seed in common) / len(common))


def resampled_one_by_one(values):
    """Mean and squared standard error of every ordered resample."""
    every = np.array(list(itertools.product(values, repeat=len(values))))
    return every.mean(axis=1), every.var(axis=1, ddof=1) / len(values)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1.0, 2.0, 4.0, 4.5], [0.0, 0.5, 0.75, 3.0]),
        ([1.0, 2.0, 4.0], [0.0, 0.5, 0.75, 3.0, 3.5]),
        ([2.0, 2.0, 2.0, 2.0], [0.0, 0.5, 0.75, 3.0, 3.5]),
    ],
)
def test_unpaired_bootstrap_of_few_runs_equals_all_resamples_one_by_one(first, second):
    (mean, square), (other, other_square) = resampled_one_by_one(first), resampled_one_by_one(second)
    shift = np.subtract.outer(mean - np.mean(first), other - np.mean(second)).ravel()
    square = np.add.outer(square, other_square).ravel()
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.sort(np.where(square > 1e-20, shift / np.sqrt(square), np.copysign(np.inf, shift)))
    rank = math.ceil(0.025 * len(t))
    estimate, error = (
        np.mean(first) - np.mean(second),
        np.hypot(*(np.std(v, ddof=1) / len(v) ** 0.5 for v in (first, second))),
    )
    found = held(group(first), group(second, first_seed=50), "bootstrap_t")
    assert found.interval.low == pytest.approx(estimate - t[-rank] * error, rel=1e-9)
    assert found.interval.high == pytest.approx(estimate - t[rank - 1] * error, rel=1e-9)
    tails = (t >= estimate / error).sum(), (t <= estimate / error).sum()
    assert found.p_value == pytest.approx(2 * min(tails) / len(t))


@pytest.mark.parametrize(("num", "other"), [(7, 12), (10, 10), (3, 20)])
def test_unpaired_bootstrap_of_many_runs_agrees_with_independent_resamples(num, other):
    first, second = draw(num), draw(other, 0.3, 2.0, seed=1)
    generator = np.random.default_rng(5)
    a, b = generator.choice(first, size=(200_000, num)), generator.choice(second, size=(200_000, other))
    shift = a.mean(axis=1) - b.mean(axis=1) - (first.mean() - second.mean())
    t = shift / np.hypot(stats.sem(a, axis=1), stats.sem(b, axis=1))
    below, above = np.quantile(t, [0.025, 0.975])
    error = np.hypot(stats.sem(first), stats.sem(second))
    found = held(group(first), group(second, first_seed=50), "bootstrap_t").interval
    assert found.low == pytest.approx(found.mean - above * error, abs=0.08 * above * error)
    assert found.high == pytest.approx(found.mean - below * error, abs=0.08 * -below * error)


@METHOD
@pytest.mark.parametrize("first_seed", [0, 50])
@pytest.mark.parametrize("num", [5, 12])
def test_difference_moves_and_mirrors_with_its_values(method, first_seed, num):
    first, second = draw(num), draw(num, 0.2, seed=1)
    one = held(group(first), group(second, first_seed), method).interval
    other = held(group(7 - 3 * first), group(7 - 3 * second, first_seed), method).interval
    assert (other.low, other.high) == pytest.approx((-3 * one.high, -3 * one.low), rel=1e-9)


@METHOD
@pytest.mark.parametrize(("grows", "verdict"), [(True, "better"), (False, "worse")])
def test_verdict_follows_what_is_better(method, grows, verdict):
    first, second = group([0.91, 0.93, 0.90, 0.92, 0.94]), group([0.80, 0.82, 0.79, 0.83, 0.81])
    opposite = {"better": "worse", "worse": "better"}[verdict]
    assert held(first, second, method, grows).verdict == verdict
    assert held(second, first, method, grows).verdict == opposite


@METHOD
def test_equal_groups_are_told_apart_as_often_as_the_level_says(method):
    generator = np.random.default_rng(0)
    told = [
        held(group(generator.normal(size=6)), group(generator.normal(size=6)), method).verdict != "not told apart"
        for _ in range(1500)
    ]
    assert np.mean(told) == pytest.approx(0.05, abs=0.02)


def test_best_group_is_held_against_each_other_one():
    groups = {"a": group([3.0, 3.1, 3.2]), "b": group([1.0, 1.2, 1.1]), "none": {}, "c": group([2.0, 2.2, 2.3])}
    assert [(d.first, d.second) for d in differences(groups, True, "m")] == [("a", "b"), ("a", "c")]
    assert [(d.first, d.second) for d in differences(groups, False, "m")] == [("b", "a"), ("b", "c")]
    assert {d.num_pairs for d in differences(groups, True, "m")} == {3}


@pytest.mark.parametrize("groups", [{}, {"a": {0: 1.0}}, {"a": {0: 1.0}, "b": {}}])
def test_fewer_than_two_groups_with_values_have_no_differences(groups):
    assert differences(groups, True, "m") == []


def with_p_values(wanted):
    """Groups of five paired seeds: the first, all 0, against others whose paired t tests have these p values."""
    pattern = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    error = pattern.std(ddof=1) / math.sqrt(5)
    others = {f"p={p}": group(stats.t.isf(p / 2, 4) * error + pattern) for p in wanted}
    return {"best": group(np.zeros(5)), **others}


@pytest.mark.parametrize(
    ("p_values", "told"),
    [
        # four groups are six pairs: 0.05 / 6 = 0.00833, 0.05 / 5 = 0.01, 0.05 / 4 = 0.0125
        ([0.0080, 0.0095, 0.0120], [True, True, True]),
        ([0.0120, 0.0080, 0.0095], [True, True, True]),
        ([0.0080, 0.0105, 0.0120], [True, False, False]),
        ([0.0090, 0.0095, 0.0120], [False, False, False]),
        # two groups are one pair
        ([0.049], [True]),
        ([0.051], [False]),
    ],
)
def test_many_groups_are_told_apart_by_holms_method(p_values, told):
    found = differences(with_p_values(p_values), grows=False, metric="valid/loss")
    assert [d.p_value for d in found] == pytest.approx(p_values)
    assert [d.verdict == "better" for d in found] == told
    for one in found:
        assert (one.p_value <= one.alpha) == (one.verdict == "better")


def test_runs_needed_among_many_groups_are_those_at_the_level_where_holms_method_stopped():
    p_values = [0.0080, 0.0105, 0.0120]
    found = differences(with_p_values(p_values), grows=False, metric="valid/loss")
    effects = [stats.t.isf(p_value / 2, 4) / math.sqrt(5) for p_value in p_values]
    assert [one.num_needed for one in found] == [None, *(fewest(effect, 0.05 / 5, 1) for effect in effects[1:])]


def test_equal_groups_seldom_have_a_best_that_is_told_apart():
    """The best was chosen by the same values: correcting for five comparisons instead of fifteen gives 8 in 100."""
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(800):
        groups = {str(number): group(generator.normal(size=8)) for number in range(6)}
        wrong += any(found.verdict != "not told apart" for found in differences(groups, True, "m"))
    assert wrong / 800 <= 0.05


@METHOD
@pytest.mark.parametrize("first_seed", [0, 50])
@pytest.mark.parametrize(
    ("num", "verdict", "needed"), [(2, "not told apart", 4), (3, "not told apart", 4), (4, "better", None)]
)
def test_runs_without_any_spread_are_told_apart_where_exchanging_them_could_hardly_part_them_so(
    method, first_seed, num, verdict, needed
):
    found = held(group([0.5] * num), group([0.25] * num, first_seed), method)
    assert (found.interval.low, found.interval.high) == (0.25, 0.25)
    # SciPy finds no exact p value for ties alone: 2 of all ways to part the runs
    assert found.p_value == pytest.approx(2 / len(list(itertools.combinations(range(2 * num), num))))
    assert (found.verdict, found.num_needed) == (verdict, needed)


@METHOD
@pytest.mark.parametrize("num", [2, 5, 6])
def test_equal_differences_of_unequal_runs_have_the_p_value_of_their_signs(method, num):
    values = np.arange(num) / 8
    found = held(group(values + 0.25), group(values), method)
    assert found.p_value == pytest.approx(stats.binomtest(num, num).pvalue)
    assert found.verdict == ("better" if num == 6 else "not told apart")
    assert found.num_needed == (None if num == 6 else 6)


@METHOD
@pytest.mark.parametrize("first_seed", [0, 50])
def test_differences_that_rounding_explains_are_none(method, first_seed):
    found = held(group([0.1 + 0.2] * 3), group([0.3] * 3, first_seed), method)
    assert (found.interval.mean, found.interval.low, found.interval.high) == (0, 0, 0)
    assert (found.verdict, found.p_value, found.num_needed) == ("not told apart", 1, None)


@METHOD
def test_equal_differences_up_to_rounding_have_no_spread(method):
    found = held(group([0.98, 0.99, 0.97]), group([0.97, 0.98, 0.96]), method)
    assert found.interval.low == found.interval.high == pytest.approx(0.01)


@METHOD
@pytest.mark.parametrize(("first", "second"), [([1.0], [2.0]), ([1.0], [2.0, 3.0]), ([1.0, 1.5, 1.25], [2.0])])
def test_groups_of_one_run_are_never_told_apart(method, first, second):
    found = held(group(first), group(second), method)
    assert (found.interval.low, found.interval.high) == (-math.inf, math.inf)
    assert (found.verdict, found.num_needed) == ("not told apart", None)


@pytest.mark.parametrize("num", [3, 10, 30])
def test_runs_needed_follow_cohens_d(num):
    """Pairs with mean 0.5 and deviation 1 need 34; two groups with deviation 1 need 64 each (G*Power)."""
    pattern = np.linspace(-1, 1, num)
    pattern /= pattern.std(ddof=1)
    paired = held(group(0.5 + pattern), group(np.zeros(num)), level=0.95 if num < 30 else 0.999)
    unpaired = held(group(0.5 + pattern), group(pattern, 50), level=0.95 if num < 30 else 0.999)
    if num < 30:
        assert (paired.num_needed, unpaired.num_needed) == (34, 64)
    else:
        # 0.001 instead of 0.05, from the noncentral t of SciPy
        assert (paired.num_needed, unpaired.num_needed) == (fewest(0.5, 0.001, 1), fewest(0.5, 0.001, 2))


def fewest(effect, alpha, num_groups):
    for num in range(2, 1000):
        degrees = num_groups * (num - 1)
        shift, limit = effect * math.sqrt(num / num_groups), stats.t.isf(alpha / 2, degrees)
        if stats.nct.sf(limit, degrees, shift) >= 0.8:
            return num
    raise AssertionError


@METHOD
@pytest.mark.parametrize("num", [3, 5, 9])
def test_runs_needed_are_always_more_than_there_are(method, num):
    generator = np.random.default_rng(num)
    for _ in range(60):
        groups = {str(place): group(generator.normal(place / 2, size=num), 50 * (place == 2)) for place in range(3)}
        for found in differences(groups, True, "m", method):
            if found.num_needed is not None:
                assert found.verdict == "not told apart"
                assert found.num_needed > num


ADAM, SGD = group([0.101, 0.102, 0.103, 0.104, 0.105]), group([0.112, 0.115, 0.116, 0.115, 0.117])


@pytest.mark.parametrize(
    ("first", "second", "method", "expected"),
    [
        (
            ADAM,
            SGD,
            "student",
            "adam is better than sgd in valid/loss by 0.0120 (95 % interval 0.0108 to 0.0132, paired over 5 seeds)",
        ),
        (
            SGD,
            ADAM,
            "student",
            "adam is worse than sgd in valid/loss by 0.0120 (95 % interval 0.0108 to 0.0132, paired over 5 seeds)",
        ),
        (
            ADAM,
            SGD | {9: 0.2},
            "student",
            "adam is better than sgd in valid/loss by 0.0120 (95 % interval 0.0108 to 0.0132, paired over 5 seeds; "
            "1 run of sgd left out)",
        ),
        (
            group([0.0, 1.0, 2.0]),
            group([0.5, 1.0, 1.5, 2.0], 50),
            "student",
            "adam is not told apart from sgd by these runs: first minus second -0.250 in valid/loss "
            "(95 % interval -2.271 to 1.771, unpaired, 3 and 4 runs); about 180 seeds each in all would tell, if real "
            "(80 % power)",
        ),
        (
            group([1.0, 2.0]),
            group([1.0, 2.0], 50),
            "bootstrap_t",
            "adam is not told apart from sgd by these runs: first minus second 0.00 in valid/loss "
            "(95 % bootstrap-t interval without limits, unpaired, 2 runs of each)",
        ),
        (
            group([1.0]),
            group([2.0]),
            "student",
            "adam is not told apart from sgd by these runs: first minus second -1.00 in valid/loss "
            "(95 % interval without limits, unpaired, 1 run of each); it takes two runs of each to say more",
        ),
        (
            group([1.0, 2.0]),
            group([1.0, 2.0]),
            "student",
            "adam is not told apart from sgd by these runs: no difference at all in valid/loss (paired over 2 seeds)",
        ),
        (
            group([1.0, 2.0]),
            group([1.5, 2.5]),
            "student",
            "adam is not told apart from sgd by these runs: first minus second -0.500 in valid/loss "
            "(the same without any spread, paired over 2 seeds); about 4 more seeds each would tell, if real "
            "(80 % power)",
        ),
        (
            group([1.0, 2.0, 3.0]),
            group([1.0001, 3.0, 2.0]),
            "student",
            "adam is not told apart from sgd by these runs: first minus second 0.000 in valid/loss "
            "(95 % interval -2.484 to 2.484, paired over 3 seeds); more than 1,000 seeds of each would be needed",
        ),
    ],
)
def test_sentence_says_it_plainly(first, second, method, expected):
    asked = Question("valid/loss", grows=False, interval=method)
    assert difference(Replicates("adam", first), Replicates("sgd", second), asked).sentence == expected


def test_sentence_of_many_groups_names_the_correction_and_stays_short():
    found = differences(with_p_values([0.0080, 0.0105, 0.2]), grows=False, metric="valid/loss")
    ends = [one.sentence.partition("seeds)")[2] for one in found]
    assert ends[0] == ", also after Holm's correction (6 pairs)"
    assert ends[1].startswith("; told apart alone, but not after Holm's correction (6 pairs); about ")
    assert ends[2].startswith("; about ")
    assert len(found[2].sentence) < 210
    assert max(len(one.sentence) for one in found) < 270


def test_equal_differences_that_prove_little_are_not_told_apart_by_themselves_either():
    groups = {"a": group([1.0, 2.0]), "b": group([1.5, 2.5]), "c": group([7.0, 9.0])}
    sentence = differences(groups, grows=False, metric="valid/loss")[0].sentence
    assert "told apart alone" not in sentence
    assert "the same without any spread" in sentence


@pytest.mark.parametrize("seeds", [1, 5])
def test_json_of_a_difference_is_plain(seeds):
    found = held(group(draw(seeds)), group(draw(seeds, seed=1)), "bootstrap_t")
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (content["low"] is None) == (seeds == 1)
    assert content["sentence"] == found.sentence
    assert content["runs"] == [seeds, seeds]


@METHOD
@pytest.mark.parametrize("bad", [[math.nan, 1.0], [math.inf, 1.0]])
def test_values_that_are_not_finite_are_refused(method, bad):
    with pytest.raises(ValueError, match="finite"):
        held(group(bad), group([1.0, 2.0]), method)
