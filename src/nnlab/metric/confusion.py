"""How often each class was taken for each."""

import torch
from torch import Tensor
from torch.nn import functional as F


def confusion_counts(output: Tensor, target: Tensor) -> Tensor:
    """The confusion counts, with as many classes as occur in either tensor, two at least.

    Args:
        output: predicted class codes, int64 [..., N], N > 0.
        target: class codes, int64 [..., N].

    Returns:
        Int64 [..., C, C]: row i, column j counts the rows of class i that were predicted as class j.

    Example:
        >>> confusion_counts(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])).tolist()
        [[1, 1], [0, 1]]
    """
    num_classes = max(2, 1 + int(torch.maximum(output.max(), target.max())))
    num_cells = num_classes**2
    runs = output.shape[:-1]
    cell = (target * num_classes + output).reshape(-1, output.shape[-1])
    first_cell = torch.arange(len(cell), device=cell.device).unsqueeze(-1) * num_cells
    counts = torch.bincount((cell + first_cell).flatten(), minlength=len(cell) * num_cells)
    return counts.view(*runs, num_classes, num_classes)


def sum_of_counts(one: Tensor, other: Tensor) -> Tensor:
    """The counts of two sets of rows together, with as many classes as the one with more.

    Args:
        one: counts, shape [..., C, C].
        other: likewise, with its own C.
    """
    most = max(one.shape[-1], other.shape[-1])
    first, second = (F.pad(counts, (0, most - counts.shape[-1]) * 2) for counts in (one, other))
    return first + second
