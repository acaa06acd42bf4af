"""Sets drawn from a seed: a curve, rings, clouds and moons.

Train and valid rows are one draw and test rows follow from the same generator, so ``num_test`` never moves the others.
Noise has a stream of its own, so a noisy set has the points of the clean one.
"""

import numpy as np
import torch
from torch import Tensor

from nnlab.data.check import check_between, check_count, check_seed
from nnlab.data.clouds import draw_blobs, draw_moons
from nnlab.data.dataset import Dataset, cut
from nnlab.seeding import generator


def _check_sizes(num_train: int, num_valid: int, num_test: int) -> None:
    check_count("num_train", num_train, 1)
    check_count("num_valid", num_valid, 0)
    check_count("num_test", num_test, 0)


def _square_points(draws: tuple[int, int], num_columns: int, seed: int) -> Tensor:
    points = torch.Generator().manual_seed(seed)
    return torch.cat([2 * torch.rand(num_rows, num_columns, generator=points) - 1 for num_rows in draws])


def _gaussian(draws: tuple[int, int], num_columns: int, std: float, seed: int) -> Tensor:
    noise = generator(seed, "noise")
    return std * torch.cat([torch.randn(num_rows, num_columns, generator=noise) for num_rows in draws])


def x_squared(num_train: int, num_valid: int, num_test: int, noise: float, seed: int) -> Dataset:
    """The curve ``y = x^2`` on points uniform in [-1, 1).

    Args:
        num_train: training rows, at least 1.
        num_valid: validation rows; 0 for no such split.
        num_test: test rows; 0 for no such split.
        noise: standard deviation of Gaussian noise added to the target, in its units.
        seed: of the points and of the noise.

    Returns:
        A regression set, inputs [N, 1], target [N, 1].

    Raises:
        ValueError: if a size, the noise or the seed is out of range.

    Example:
        >>> data = x_squared(num_train=100, num_valid=40, num_test=40, noise=0.0, seed=0)
        >>> data.train.inputs.shape, bool((data.train.target == data.train.inputs**2).all())
        (torch.Size([100, 1]), True)
    """
    _check_sizes(num_train, num_valid, num_test)
    check_between("noise", noise, 0)
    check_seed(seed)
    draws = (num_train + num_valid, num_test)
    inputs = _square_points(draws, 1, seed)
    target = inputs.pow(2) + _gaussian(draws, 1, noise, seed)
    return Dataset("regression", *cut(inputs, target, (num_train, num_valid, num_test)), ("x",), ("y",))


def rings(num_train: int, num_valid: int, num_test: int, noise: float, seed: int) -> Dataset:
    """Three classes by distance from the origin, on points uniform in the square [-1, 1)^2.

    Class 1 is where ``x^2 + y^2 >= 1``, class 2 where ``x^2 + y^2 < 0.25``, class 0 the ring between.

    Args:
        num_train: training rows, at least 1.
        num_valid: validation rows; 0 for no such split.
        num_test: test rows; 0 for no such split.
        noise: standard deviation of Gaussian noise added to the points once they have their class.
        seed: of the points and of the noise.

    Returns:
        A multiclass set, inputs [N, 2], target [N].

    Raises:
        ValueError: if a size, the noise or the seed is out of range.

    Example:
        >>> rings(num_train=100, num_valid=50, num_test=50, noise=0.0, seed=0).class_names
        ('ring', 'outside', 'inside')
    """
    _check_sizes(num_train, num_valid, num_test)
    check_between("noise", noise, 0)
    check_seed(seed)
    draws = (num_train + num_valid, num_test)
    points = _square_points(draws, 2, seed)
    squared_radius = points[:, 0].pow(2) + points[:, 1].pow(2)
    target = torch.zeros(len(points), dtype=torch.long)
    target[squared_radius >= 1] = 1
    target[squared_radius < 0.25] = 2
    splits = cut(points + _gaussian(draws, 2, noise, seed), target, (num_train, num_valid, num_test))
    return Dataset("multiclass", *splits, ("x", "y"), ("class",), ("ring", "outside", "inside"))


def blobs(
    num_samples: int,
    num_train: int,
    num_test: int,
    centers: int,
    num_features: int,
    cluster_std: float,
    noise: float,
    seed: int,
) -> Dataset:
    """Gaussian clouds around random centres: scikit-learn's ``make_blobs``.

    The first rows are for training, the last for testing, and those between for validation. The number of samples is
    fixed apart from the splits because ``make_blobs`` draws other rows for another number.

    Args:
        num_samples: rows in all.
        num_train: training rows, at least 1.
        num_test: test rows; 0 leaves them to validation.
        centers: classes, at least 2.
        num_features: input columns F, at least 1.
        cluster_std: standard deviation of each cloud.
        noise: standard deviation of further Gaussian noise on the inputs.
        seed: ``make_blobs``' ``random_state``, and the seed of the noise.

    Returns:
        A binary set for two centres, else a multiclass one; inputs [N, F].

    Raises:
        ValueError: if a number is out of range, or the training and test rows are more than there are.

    Example:
        >>> data = blobs(num_samples=50, num_train=40, num_test=5, centers=2, num_features=3, cluster_std=1.0,
        ...     noise=0.0, seed=2020)
        >>> data.task, {name: len(split) for name, split in data.splits.items()}
        ('binary', {'train': 40, 'valid': 5, 'test': 5})
    """
    for key, count, least in (
        ("num_samples", num_samples, 1),
        ("num_train", num_train, 1),
        ("num_test", num_test, 0),
        ("centers", centers, 2),
        ("num_features", num_features, 1),
    ):
        check_count(key, count, least)
    check_between("cluster_std", cluster_std, 0)
    check_between("noise", noise, 0)
    check_seed(seed)
    num_valid = num_samples - num_train - num_test
    if num_valid < 0:
        raise ValueError(
            f"data.num_train + data.num_test: expected at most data.num_samples = {num_samples}, "
            f"found {num_train} + {num_test}"
        )
    rows, numbers = draw_blobs(num_samples, centers, num_features, cluster_std, np.random.RandomState(seed))
    inputs = torch.from_numpy(rows).float() + _gaussian((num_samples, 0), num_features, noise, seed)
    codes = torch.from_numpy(numbers).long()
    splits = cut(inputs, codes.float()[:, None] if centers == 2 else codes, (num_train, num_valid, num_test))
    input_names = tuple(f"x{column}" for column in range(1, num_features + 1))
    class_names = tuple(str(code) for code in range(centers))
    return Dataset("binary" if centers == 2 else "multiclass", *splits, input_names, ("class",), class_names)


def moons(num_train: int, num_valid: int, num_test: int, noise: float, seed: int) -> Dataset:
    """Two interleaved half circles: scikit-learn's ``make_moons``.

    Args:
        num_train: training rows, at least 1.
        num_valid: validation rows; 0 for no such split.
        num_test: test rows; 0 for no such split. Without noise they are other points of the same two curves.
        noise: standard deviation of Gaussian noise added to the points.
        seed: ``make_moons``' ``random_state``, and the seed of the noise.

    Returns:
        A binary set, inputs [N, 2], target [N, 1].

    Raises:
        ValueError: if a size, the noise or the seed is out of range.

    Example:
        >>> data = moons(num_train=100, num_valid=50, num_test=0, noise=0.1, seed=0)
        >>> data.train.inputs.shape, data.test
        (torch.Size([100, 2]), None)
    """
    _check_sizes(num_train, num_valid, num_test)
    check_between("noise", noise, 0)
    check_seed(seed)
    draws = (num_train + num_valid, num_test)
    order = np.random.RandomState(seed)
    drawn = [draw_moons(num_rows, order) for num_rows in draws if num_rows]
    points = torch.cat([torch.from_numpy(rows) for rows, _ in drawn]).float()
    target = torch.cat([torch.from_numpy(codes) for _, codes in drawn]).float()[:, None]
    splits = cut(points + _gaussian(draws, 2, noise, seed), target, (num_train, num_valid, num_test))
    return Dataset("binary", *splits, ("x", "y"), ("class",), ("upper", "lower"))
