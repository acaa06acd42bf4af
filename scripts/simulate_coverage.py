"""How often nnlab's two intervals cover the mean, and how wide they are, by simulation.

python scripts/simulate_coverage.py             the table of the documentation: 20,000 samples, about a minute
python scripts/simulate_coverage.py --samples 2000 --sizes 4 8
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnlab.report.pivot import StudentT
from nnlab.report.resampling import MOST_EXACT, Resamples, drawn, enumerated

LEVEL = 0.95
#: samples that are worked on at once: 9,999 resamples of each are 20 MB
BLOCK = 250

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """A distribution that samples are drawn from.

    Args:
        draw: generator and shape to values.
        mean: the true mean.
    """

    draw: Callable[[np.random.Generator, tuple[int, int]], Array]
    mean: float


DISTRIBUTIONS: Mapping[str, Distribution] = {
    "normal": Distribution(lambda generator, shape: generator.standard_normal(shape), 0.0),
    "exponential": Distribution(lambda generator, shape: generator.exponential(size=shape), 1.0),
    "chi-square(1)": Distribution(lambda generator, shape: generator.chisquare(1, size=shape), 1.0),
    "lognormal(1)": Distribution(lambda generator, shape: generator.lognormal(sigma=1.0, size=shape), math.exp(0.5)),
}


def student_limits(samples: Array) -> tuple[Array, Array]:
    """Student's interval of many samples.

    Args:
        samples: (S, n).

    Returns:
        The lower and the upper limits, (S,) each.
    """
    num = samples.shape[1]
    below, above = StudentT(num - 1).quantiles(1 - LEVEL)
    mean, error = samples.mean(axis=1), samples.std(axis=1, ddof=1) / math.sqrt(num)
    return mean - above * error, mean - below * error


def bootstrap_limits(samples: Array) -> tuple[Array, Array]:
    """``nnlab.report.interval.bootstrap_t`` of many samples without equal values.

    The counts are the same for all samples of one size, so that means and variances of all resamples are products of
    matrices.

    Args:
        samples: (S, n).

    Returns:
        The lower and the upper limits, (S,) each.
    """
    num = samples.shape[1]
    ordered = np.sort(samples, axis=1)
    mean, error = ordered.mean(axis=1), ordered.std(axis=1, ddof=1) / math.sqrt(num)
    deviations = (ordered - mean[:, None]) / ordered.std(axis=1)[:, None]
    resamples = enumerated(num) if num <= MOST_EXACT else drawn(num)
    counts = resamples.counts.astype(np.float64)
    shift = counts @ deviations.T / num
    variance = np.maximum(0, counts @ (deviations**2).T / num - shift**2) / (num - 1)
    is_constant = counts.max(axis=1) == num
    variance[is_constant] = 0
    with np.errstate(divide="ignore"):
        t = shift / np.sqrt(variance)
    below, above = _quantiles(t, resamples)
    return mean - above * error, mean - below * error


def _quantiles(t: Array, resamples: Resamples) -> tuple[Array, Array]:
    """The weighted tails of each column."""
    tail = math.ceil(round((1 - LEVEL) / 2 * float(resamples.weights.sum()), 6))
    if resamples.is_drawn:
        t.partition((tail - 1, len(t) - tail), axis=0)
        return t[tail - 1], t[len(t) - tail]
    order = np.argsort(t, axis=0)
    ordered, weights = np.take_along_axis(t, order, axis=0), resamples.weights[order]
    below = (np.cumsum(weights, axis=0) < tail).sum(axis=0)
    above = (np.cumsum(weights[::-1], axis=0) < tail).sum(axis=0)
    columns = np.arange(t.shape[1])
    return ordered[below, columns], ordered[len(t) - 1 - above, columns]


def simulate(name: str, num_values: int, num_samples: int) -> list[str]:
    """The row of a distribution and a sample size.

    Args:
        name: one of ``DISTRIBUTIONS``.
        num_values: the sample size.
        num_samples: how many samples are drawn.

    Returns:
        Cells: distribution, n, the share covered by each interval, the bootstrap's width over Student's as the ratio of
        the mean widths and as the median of the ratios.
    """
    distribution = DISTRIBUTIONS[name]
    generator = np.random.default_rng([num_values, list(DISTRIBUTIONS).index(name)])
    covered, widths = np.zeros(2), []
    for start in range(0, num_samples, BLOCK):
        samples = distribution.draw(generator, (min(BLOCK, num_samples - start), num_values))
        ends = [student_limits(samples), bootstrap_limits(samples)]
        covered += [((low <= distribution.mean) & (distribution.mean <= high)).sum() for low, high in ends]
        widths.append([high - low for low, high in ends])
    student, bootstrap = np.concatenate(widths, axis=1)
    shares = [f"{100 * share:.1f} %" for share in covered / num_samples]
    by_mean, middle = bootstrap.mean() / student.mean(), float(np.median(bootstrap / student))
    return [name, str(num_values), *shares, f"{by_mean:.2f}", f"{middle:.2f}"]


def main(words: Sequence[str] | None = None) -> int:
    """Simulate and print a markdown table.

    Args:
        words: the command line; that of the process if left out.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=20_000, help="for each row; default: 20,000")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[5, 10, 30], help="sample sizes from 4; default: 5 10 30"
    )
    arguments = parser.parse_args(words)
    if min(arguments.sizes) < 4 or arguments.samples < 1:
        parser.error("--sizes begin at 4, where the bootstrap has limits, and --samples at 1")
    head = ["values", "n", "student covers", "bootstrap_t covers", "its width, student = 1", "median"]
    print(f"| {' | '.join(head)} |\n| --- | {' | '.join(['---:'] * (len(head) - 1))} |", flush=True)
    for name in DISTRIBUTIONS:
        for num_values in arguments.sizes:
            print(f"| {' | '.join(simulate(name, num_values, arguments.samples))} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
