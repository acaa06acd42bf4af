"""What a method would have reached with fewer trials of tuning."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def expected_best(values: Sequence[float], grows: bool, reported: Sequence[float] | None = None) -> NDArray[np.float64]:
    """The best of b trials, averaged over every order in which the B trials might have come.

    Of the subsets of b trials, C(i − 1, b − 1) / C(B, b) have the i-th worst as their best.

    Args:
        values: (B,), what each trial is selected by, such as its best validation loss. A trial that diverged counts as
            the worst there is, infinite, or NaN which is taken so.
        grows: whether more is better.
        reported: (B,), what is told of the selected trial, such as its test loss; the values themselves if left out.
            Trials of equal value are selected equally often.

    Returns:
        (B,), for b = 1 to B. Where the b trials might all have diverged the mean is infinite; where a trial with no
        reported value (NaN) might be selected it is NaN.

    Raises:
        ValueError: if there are no values, or not as many reported ones.

    Source: J. Dodge et al., Show Your Work: Improved Reporting of Experimental Results, EMNLP 2019; without
    replacement, which removes its bias: R. Tang et al., Showing Your Work Doesn't Always Work, ACL 2020.

    Example:
        >>> expected_best([0.3, 0.1, 0.2], grows=False)
        array([0.2       , 0.13333333, 0.1       ])
    """
    selected = np.asarray(values, dtype=np.float64)
    shown = selected if reported is None else np.asarray(reported, dtype=np.float64)
    if selected.ndim != 1 or len(selected) == 0 or shown.shape != selected.shape:
        raise ValueError(f"expected a value for each trial, found the shapes {selected.shape} and {shown.shape}")
    worst = -np.inf if grows else np.inf
    selected = np.where(np.isnan(selected), worst, selected)
    shown = selected if reported is None else shown
    order = np.argsort(selected if grows else -selected, kind="stable")
    shown = _mean_of_equals(selected[order], shown[order])
    return np.array([_dot(weights, shown) for weights in _weights(len(shown))])


def _weights(num_trials: int) -> list[NDArray[np.float64]]:
    """C(i − 1, b − 1) / C(B, b) for i = 1 … B, for each b, by the ratio of neighbours: no number is large."""
    rank = np.arange(1, num_trials + 1)
    weights = [np.full(num_trials, 1 / num_trials)]
    for b in range(1, num_trials):
        factor = np.maximum(0, rank - b) * (b + 1) / (b * (num_trials - b))
        weights.append(weights[-1] * factor)
    return weights


def _mean_of_equals(sorted_values: NDArray[np.float64], shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """Among trials of equal value chance selects: each stands for the mean of them."""
    _, group = np.unique(sorted_values, return_inverse=True)
    return (np.bincount(group, weights=shown) / np.bincount(group))[group]


def _dot(weights: NDArray[np.float64], shown: NDArray[np.float64]) -> float:
    """The weighted mean; what has no weight is not asked, for 0 × ∞ is not 0."""
    return float((weights[weights > 0] * shown[weights > 0]).sum())
