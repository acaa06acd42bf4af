"""Which rate a curve of losses speaks for."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

#: how much worse than the worst other rate one counts that diverged, as the logarithm of the ratio
_DIVERGED = 3.0
#: share of the first loss below which a loss is as good as none: separable classes have 1e-8 as easily as 1e-5
_SOLVED = 1e-3


def smoothed_scores(losses: Numbers) -> Numbers:
    """What each rate of a sweep is worth, the less the better: log loss, mean over seeds, smoothed over neighbours.

    A rate whose neighbour diverges is too close to the edge, and one that is good with a single seed was lucky. That is
    why both means are taken; ``docs/learning-rate.md`` has the measurements.

    Args:
        losses: shape [S, R], seeds by rates in their order; NaN for a training that diverged.

    Returns:
        Shape [R]; infinite for a rate that diverged with one seed, unless all rates did.

    Raises:
        ValueError: if every training diverged.
    """
    finite = np.isfinite(losses)
    if not finite.any():
        raise ValueError("every training diverged")
    # The smallest rate has hardly learned: its loss is that of an untrained model.
    first = losses[finite].max() if not finite[:, 0].all() else losses[:, 0].mean()
    logs = np.log(np.maximum(np.where(finite, losses, 1.0), max(_SOLVED * first, 1e-30)))
    logs = np.where(finite, logs, logs[finite].max() + _DIVERGED)
    padded = np.pad(logs.mean(axis=0), 1, mode="edge")
    scores = np.asarray((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4)
    is_safe = finite.all(axis=0)
    return np.where(is_safe, scores, np.inf) if is_safe.any() else scores


def valley(losses: Numbers) -> tuple[int, int]:
    """The longest descent of a curve: its longest falling subsequence.

    Args:
        losses: smoothed, shape [N], finite.

    Returns:
        How many numbers fall, and the place of the last of them.

    Example:
        >>> valley(np.array([5.0, 5.1, 4.0, 4.2, 3.0, 1.0, 2.0, 9.0]))
        (4, 5)
    """
    length = np.ones(len(losses), dtype=int)
    for place in range(1, len(losses)):
        length[place] += length[:place][losses[:place] > losses[place]].max(initial=0)
    last = int(np.argmax(length))
    return int(length[last]), last
