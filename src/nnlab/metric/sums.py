"""Means over rows that come in parts."""

import torch
from torch import Tensor


def sum_and_count(values: Tensor) -> Tensor:
    """The sum over the last axis, and how many there are.

    Args:
        values: float64, shape [..., N].

    Returns:
        Float64, shape [..., 2].
    """
    total = values.sum(dim=-1)
    return torch.stack([total, torch.full_like(total, values.shape[-1])], dim=-1)


def mean_of(part: Tensor) -> Tensor:
    """The mean over all values.

    Args:
        part: from ``sum_and_count``, or a sum of such.

    Returns:
        Float64, shape [...].
    """
    return part[..., 0] / part[..., 1]
