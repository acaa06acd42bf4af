"""A data set: a function that returns a ``Dataset``."""

import math

import torch

from nnlab.data.dataset import Dataset, cut


def waves(num_train: int, num_valid: int, num_test: int, num_periods: float, noise: float, seed: int) -> Dataset:
    """Two sine waves, half a unit above each other, which no line parts.

    Args:
        num_train: rows to train on.
        num_valid: rows to select on.
        num_test: rows to report on.
        num_periods: of the waves, over x from 0 to 1.
        noise: standard deviation of the Gaussian noise on y.
        seed: of the rows.

    Returns:
        Inputs x and y, float32 [N, 2]; class 1 is the upper wave.
    """
    if num_periods <= 0:
        raise ValueError(f"data.num_periods: expected a number > 0, found {num_periods}")
    random = torch.Generator().manual_seed(seed)
    num_rows = num_train + num_valid + num_test
    x = torch.rand(num_rows, 1, generator=random)
    codes = torch.randint(2, (num_rows, 1), generator=random)
    y = torch.sin(2 * math.pi * num_periods * x) + 0.5 * codes + noise * torch.randn(num_rows, 1, generator=random)
    splits = cut(torch.cat([x, y], dim=1), codes.float(), [num_train, num_valid, num_test])
    return Dataset("binary", *splits, input_names=("x", "y"), target_names=("wave",), class_names=("lower", "upper"))
