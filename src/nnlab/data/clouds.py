"""The rows of scikit-learn's ``make_blobs`` and ``make_moons``, number for number, without its second of imports."""

import numpy as np

#: half the side of the cube in which the clouds' centres lie
_CENTERS_WITHIN = 10.0


def draw_blobs(
    num_rows: int, num_centers: int, num_features: int, cluster_std: float, draws: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clouds around centres uniform in a cube (``sklearn.datasets.make_blobs``).

    Args:
        num_rows: N, shared among the clouds; the first ones have a row more where it does not come out even.
        num_centers: clouds.
        num_features: columns F.
        cluster_std: standard deviation of each cloud.
        draws: where the numbers come from.

    Returns:
        Points [N, F] in float64, and the cloud of each, from 0, [N]; in random order.
    """
    centers = draws.uniform(-_CENTERS_WITHIN, _CENTERS_WITHIN, size=(num_centers, num_features))
    each, left = divmod(num_rows, num_centers)
    sizes = [each + (number < left) for number in range(num_centers)]
    clouds = [
        draws.normal(loc=center, scale=cluster_std, size=(size, num_features))
        for center, size in zip(centers, sizes, strict=True)
    ]
    return _shuffled(np.concatenate(clouds), np.repeat(np.arange(num_centers), sizes), draws)


def draw_moons(num_rows: int, draws: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Two interleaved half circles, points at equal distances on each (``sklearn.datasets.make_moons``).

    Args:
        num_rows: N, half of them on each; the lower one has a row more where it does not come out even.
        draws: where the order comes from.

    Returns:
        Points [N, 2] in float64, and 0 for the upper half circle or 1 for the lower, [N]; in random order.
    """
    num_upper = num_rows // 2
    upper, lower = np.linspace(0, np.pi, num_upper), np.linspace(0, np.pi, num_rows - num_upper)
    x = np.concatenate([np.cos(upper), 1 - np.cos(lower)])
    y = np.concatenate([np.sin(upper), 1 - np.sin(lower) - 0.5])
    return _shuffled(np.stack([x, y], axis=1), np.repeat([0, 1], [len(upper), len(lower)]), draws)


def _shuffled(points: np.ndarray, codes: np.ndarray, draws: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    order = np.arange(len(points))
    draws.shuffle(order)
    return points[order], codes[order]
