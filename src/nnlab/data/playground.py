"""The six data sets of TensorFlow Playground (Smilkov and Carter, playground.tensorflow.org, dataset.ts).

Points are drawn in float64. As on that page, they are shuffled and one half is for training; the page's "test" half is
what nnlab calls valid, and test rows are drawn afterwards. Noise has a stream of its own.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from nnlab.data.check import check_between, check_count, check_seed
from nnlab.data.dataset import Dataset, cut
from nnlab.seeding import generator

# (number of rows, points' generator, noise's generator) -> points [N, 2], target [N]
_Recipe = Callable[[int, Generator, Generator], tuple[Tensor, Tensor]]


def gauss(num_samples: int, num_test: int, noise: float, seed: int) -> Dataset:
    """Two Gaussian clouds: positive around (2, 2), negative around (-2, -2), of variance ``0.5 + 7 noise``.

    Args:
        num_samples: rows of train and valid together, at least 2; half each.
        num_test: test rows; 0 for no such split.
        noise: widens the clouds, 0 to 0.5.
        seed: of the points and of their order.

    Returns:
        A binary set, inputs [N, 2], target [N, 1].

    Raises:
        ValueError: if a size, the noise or the seed is out of range.

    Example:
        >>> gauss(num_samples=500, num_test=250, noise=0.0, seed=0).train.inputs.shape
        torch.Size([250, 2])
    """

    def recipe(num_rows: int, points: Generator, _: Generator) -> tuple[Tensor, Tensor]:
        target = _positive_first(num_rows)
        centre = (4 * target - 2)[:, None]
        return centre + math.sqrt(0.5 + 7 * noise) * _normal(num_rows, points), target

    return _classification(recipe, recipe, num_samples, num_test, noise, seed)


def circle(num_samples: int, num_test: int, noise: float, seed: int) -> Dataset:
    """A disc of radius 2.5 (positive) inside a band of radius 3.5 to 5 (negative).

    Args:
        num_samples: rows of train and valid together, at least 2; half each.
        num_test: test rows; 0 for no such split.
        noise: 0 to 0.5; the label is that of the point moved by up to ``5 noise`` along each axis.
        seed: of the points, of the noise and of their order.

    Returns:
        A binary set, inputs [N, 2], target [N, 1].

    Raises:
        ValueError: if a size, the noise or the seed is out of range.

    Example:
        >>> data = circle(num_samples=500, num_test=0, noise=0.0, seed=0)
        >>> bool(((data.train.inputs.norm(dim=1, keepdim=True) < 2.5) == (data.train.target == 1)).all())
        True
    """

    def recipe(num_rows: int, points: Generator, jitter: Generator) -> tuple[Tensor, Tensor]:
        inside = _positive_first(num_rows) == 1
        fraction, turn = torch.rand(2, num_rows, generator=points, dtype=torch.float64)
        radius = torch.where(inside, 2.5 * fraction, 3.5 + 1.5 * fraction)
        angle = 2 * math.pi * turn
        found = torch.stack([radius * angle.sin(), radius * angle.cos()], dim=1)
        moved = found + noise * _uniform(num_rows, 5.0, jitter)
        return found, (torch.linalg.vector_norm(moved, dim=1) < 2.5).double()

    return _classification(recipe, recipe, num_samples, num_test, noise, seed)


def xor(num_samples: int, num_test: int, noise: float, seed: int) -> Dataset:
    """Four squares: positive where x and y have the same sign, with a gap of 0.3 either side of the axes.

    Args:
        num_samples: rows of train and valid together, at least 2; half each.
        num_test: test rows; 0 for no such split.
        noise: 0 to 0.5; the label is that of the point moved by up to ``5 noise`` along each axis.
        seed: of the points, of the noise and of their order.

    Returns:
        A binary set, inputs [N, 2], target [N, 1].

    Raises:
        ValueError: if a size, the noise or the seed is out of range.

    Example:
        >>> data = xor(num_samples=500, num_test=0, noise=0.0, seed=0)
        >>> bool(((data.train.inputs.prod(dim=1, keepdim=True) > 0) == (data.train.target == 1)).all())
        True
    """

    def recipe(num_rows: int, points: Generator, jitter: Generator) -> tuple[Tensor, Tensor]:
        drawn = _uniform(num_rows, 5.0, points)
        found = drawn + torch.where(drawn > 0, 0.3, -0.3)
        moved = found + noise * _uniform(num_rows, 5.0, jitter)
        return found, (moved.prod(dim=1) >= 0).double()

    return _classification(recipe, recipe, num_samples, num_test, noise, seed)


def spirals(num_samples: int, num_test: int, noise: float, seed: int) -> Dataset:
    """Two interleaved spirals of 1.75 turns and radius 0 to 5, half a turn apart.

    Train and valid rows are spaced evenly along the arms, as on the page. Test rows lie at random places along them:
    an even spacing would repeat rows of the other splits.

    Args:
        num_samples: rows of train and valid together, at least 2; half each.
        num_test: test rows; 0 for no such split.
        noise: 0 to 0.5; each point is moved by up to that much along each axis.
        seed: of the order, of the noise and of the test rows.

    Returns:
        A binary set, inputs [N, 2], target [N, 1].

    Raises:
        ValueError: if a size, the noise or the seed is out of range.

    Example:
        >>> data = spirals(num_samples=500, num_test=250, noise=0.0, seed=0)
        >>> data.class_names, len(data.test)
        (('negative', 'positive'), 250)
    """

    def along(place: Tensor, jitter: Generator) -> tuple[Tensor, Tensor]:
        target = _positive_first(len(place))
        angle = 1.75 * 2 * math.pi * place + math.pi * (1 - target)
        found = 5 * place[:, None] * torch.stack([angle.sin(), angle.cos()], dim=1)
        return found + noise * _uniform(len(place), 1.0, jitter), target

    def evenly(num_rows: int, _: Generator, jitter: Generator) -> tuple[Tensor, Tensor]:
        arms = (num_rows - num_rows // 2, num_rows // 2)
        return along(torch.cat([torch.arange(arm, dtype=torch.float64) / max(arm, 1) for arm in arms]), jitter)

    def at_random(num_rows: int, points: Generator, jitter: Generator) -> tuple[Tensor, Tensor]:
        return along(torch.rand(num_rows, generator=points, dtype=torch.float64), jitter)

    return _classification(evenly, at_random, num_samples, num_test, noise, seed)


def plane(num_samples: int, num_test: int, noise: float, seed: int) -> Dataset:
    """The plane ``z = (x + y) / 10`` over the square [-6, 6)^2.

    Args:
        num_samples: rows of train and valid together, at least 2; half each.
        num_test: test rows; 0 for no such split.
        noise: 0 to 0.5; the target is that of the point moved by up to ``6 noise`` along each axis.
        seed: of the points, of the noise and of their order.

    Returns:
        A regression set, inputs [N, 2], target [N, 1].

    Raises:
        ValueError: if a size, the noise or the seed is out of range.

    Example:
        >>> plane(num_samples=1200, num_test=600, noise=0.0, seed=0).train.target.shape
        torch.Size([600, 1])
    """
    return _regression(lambda points: points.sum(dim=1) / 10, num_samples, num_test, noise, seed)


def bumps(num_samples: int, num_test: int, noise: float, seed: int) -> Dataset:
    """Six cones of radius 2 and height 1 or -1 in a chequered 3 by 2 grid over the square [-6, 6)^2.

    Args:
        num_samples: rows of train and valid together, at least 2; half each.
        num_test: test rows; 0 for no such split.
        noise: 0 to 0.5; the target is that of the point moved by up to ``6 noise`` along each axis.
        seed: of the points, of the noise and of their order.

    Returns:
        A regression set, inputs [N, 2], target [N, 1].

    Raises:
        ValueError: if a size, the noise or the seed is out of range.

    Example:
        >>> data = bumps(num_samples=1200, num_test=0, noise=0.0, seed=0)
        >>> bool((data.train.target.abs() <= 1).all())
        True
    """
    centres = torch.tensor([(x, y) for y in (2.5, -2.5) for x in (-4, 0, 4)], dtype=torch.float64)
    heights = torch.tensor([1, -1, 1, -1, 1, -1], dtype=torch.float64)

    def value(points: Tensor) -> Tensor:
        distance = torch.linalg.vector_norm(points[:, None] - centres, dim=2)
        # The page takes the cone that is largest in size; no two overlap, so the sum is the same.
        return torch.sum(heights * (1 - distance / 2).clamp(min=0), dim=1)

    return _regression(value, num_samples, num_test, noise, seed)


def _positive_first(num_rows: int) -> Tensor:
    target = torch.zeros(num_rows, dtype=torch.float64)
    target[: num_rows - num_rows // 2] = 1
    return target


def _uniform(num_rows: int, radius: float, numbers: Generator) -> Tensor:
    return radius * (2 * torch.rand(num_rows, 2, generator=numbers, dtype=torch.float64) - 1)


def _normal(num_rows: int, numbers: Generator) -> Tensor:
    return torch.randn(num_rows, 2, generator=numbers, dtype=torch.float64)


def _classification(
    recipe: _Recipe, test_recipe: _Recipe, num_samples: int, num_test: int, noise: float, seed: int
) -> Dataset:
    inputs, target, sizes = _rows(recipe, test_recipe, num_samples, num_test, noise, seed)
    return Dataset("binary", *cut(inputs, target, sizes), ("x", "y"), ("class",), ("negative", "positive"))


def _regression(value: Callable[[Tensor], Tensor], num_samples: int, num_test: int, noise: float, seed: int) -> Dataset:
    def recipe(num_rows: int, points: Generator, jitter: Generator) -> tuple[Tensor, Tensor]:
        found = _uniform(num_rows, 6.0, points)
        return found, value(found + noise * _uniform(num_rows, 6.0, jitter))

    inputs, target, sizes = _rows(recipe, recipe, num_samples, num_test, noise, seed)
    return Dataset("regression", *cut(inputs, target, sizes), ("x", "y"), ("z",))


def _rows(
    recipe: _Recipe, test_recipe: _Recipe, num_samples: int, num_test: int, noise: float, seed: int
) -> tuple[Tensor, Tensor, tuple[int, int, int]]:
    check_count("num_samples", num_samples, 2)
    check_count("num_test", num_test, 0)
    check_between("noise", noise, 0, 0.5)
    check_seed(seed)
    points, jitter = torch.Generator().manual_seed(seed), generator(seed, "noise")
    inputs, target = recipe(num_samples, points, jitter)
    test_inputs, test_target = test_recipe(num_test, points, jitter)
    order = torch.randperm(num_samples, generator=generator(seed, "split"))
    inputs = torch.cat([inputs[order], test_inputs]).float()
    target = torch.cat([target[order], test_target]).float()[:, None]
    return inputs, target, (num_samples // 2, num_samples - num_samples // 2, num_test)
