"""How many runs are needed, against tables of Cohen's d and SciPy's noncentral t."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from nnlab.report.power import num_each_needed, num_pairs_needed
from nnlab.report.t_distribution import power, two_sided_p, upper_quantile


# G*Power 3 and R's power.t.test give these for alpha = 0.05, two-sided, power 0.8
@pytest.mark.parametrize(("effect", "pairs", "each"), [(0.2, 199, 394), (0.5, 34, 64), (0.8, 15, 26), (1.0, 10, 17)])
def test_runs_needed_equal_the_tables(effect, pairs, each):
    assert num_pairs_needed(-3 * effect, 3.0, 0.05) == pairs
    assert num_each_needed(effect / 7, (1 / 7, 1 / 7), 0.05) == each


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.0005])
@pytest.mark.parametrize("effect", [0.15, 0.6, 2.5, 9.0])
def test_pairs_needed_are_the_fewest_with_enough_power(alpha, effect):
    def power_of(num):
        limit = stats.t.isf(alpha / 2, num - 1)
        # the chi form holds where SciPy's series for the tail fails
        return integrate.quad(
            lambda w: stats.norm.cdf(effect * math.sqrt(num) - limit * w) * _density(w, num - 1), 0, np.inf, limit=200
        )[0]

    found = num_pairs_needed(effect, 1.0, alpha)
    assert found is not None
    assert power_of(found) >= 0.8
    assert found == 2 or power_of(found - 1) < 0.8


def _density(w, degrees):
    """Of the root of a chi-square over its degrees of freedom."""
    return stats.chi.pdf(w * math.sqrt(degrees), degrees) * math.sqrt(degrees)


def test_runs_needed_of_unequal_spreads_reach_their_power_in_simulation():
    num = num_each_needed(1.0, (1.0, 2.0), 0.05)
    generator = np.random.default_rng(0)
    first, second = generator.normal(1, 1, (20_000, num)), generator.normal(0, 2, (20_000, num))
    rejected = stats.ttest_ind(first, second, axis=1, equal_var=False).pvalue <= 0.05
    assert rejected.mean() == pytest.approx(0.8, abs=0.015)


@pytest.mark.parametrize("difference", [0.0, 1e-9, 0.088])
def test_runs_needed_beyond_a_thousand_are_none(difference):
    assert num_pairs_needed(difference, 1.0, 0.05) is None
    assert num_each_needed(difference, (1.0, 1.0), 0.05) is None


def test_pairs_needed_just_below_a_thousand_are_told():
    assert num_pairs_needed(0.089, 1.0, 0.05) == 993


@pytest.mark.parametrize("degrees", [1, 1.5, 4, 30, 999])
@pytest.mark.parametrize("alpha", [0.3, 0.05, 1e-3, 1e-6])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 1.0, 1.2, 3.0, 1e4])
def test_power_equals_its_integral_everywhere(degrees, alpha, share):
    limit = stats.t.isf(alpha / 2, degrees)
    found = power(share * limit, degrees, alpha)
    roots = np.sqrt(stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, degrees) / degrees)
    assert found == pytest.approx(stats.norm.cdf(limit * (share - roots)).mean(), abs=1e-4)


@pytest.mark.parametrize("degrees", [1, 2.7, 40])
def test_central_t_equals_scipy(degrees):
    assert upper_quantile(0.025, degrees) == pytest.approx(stats.t.isf(0.025, degrees))
    assert two_sided_p(-2.5, degrees) == pytest.approx(2 * stats.t.sf(2.5, degrees))
