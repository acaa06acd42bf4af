"""Confusion counts against scikit-learn."""

import torch
from sklearn.metrics import confusion_matrix

from nnlab.metric.confusion import confusion_counts


def test_counts_of_several_runs_equal_sklearn() -> None:
    torch.manual_seed(0)
    output, target = torch.randint(4, (2, 3, 40)), torch.randint(3, (2, 3, 40))
    counts = confusion_counts(output, target)
    assert counts.shape == (2, 3, 4, 4)
    for i in range(2):
        for j in range(3):
            expected = confusion_matrix(target[i, j].numpy(), output[i, j].numpy(), labels=range(4))
            assert counts[i, j].tolist() == expected.tolist()


def test_counts_of_class_0_alone_have_two_classes() -> None:
    nothing = torch.zeros(5, dtype=torch.int64)
    assert confusion_counts(nothing, nothing).tolist() == [[5, 0], [0, 0]]
