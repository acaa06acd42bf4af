"""The classic tables that come with scikit-learn, shuffled and split by the seed.

scikit-learn is imported inside each function because it costs a second.
"""

from typing import Any

import torch

from nnlab.data.check import check_between, check_seed
from nnlab.data.dataset import Dataset, Task, cut


def digits(valid_fraction: float, test_fraction: float, seed: int) -> Dataset:
    """Handwritten digits as 8 by 8 images of grey levels 0 to 16: scikit-learn's ``load_digits``.

    Source: Alpaydin and Kaynak, UCI Machine Learning Repository (1998).

    Args:
        valid_fraction: part of the 1,797 rows to select on; 0 for no such split.
        test_fraction: part of the rows to report on; 0 for no such split.
        seed: of the shuffle, which keeps the classes' proportions.

    Returns:
        A multiclass set, inputs [N, 64], target [N] with codes 0 to 9.

    Raises:
        ValueError: if a fraction or the seed is out of range, or a split would be too small.

    Example:
        >>> data = digits(valid_fraction=0.2, test_fraction=0.2, seed=0)
        >>> {name: len(split) for name, split in data.splits.items()}
        {'train': 1079, 'valid': 359, 'test': 359}
    """
    from sklearn.datasets import load_digits

    return _classification("multiclass", load_digits(), "digit", valid_fraction, test_fraction, seed)


def iris(valid_fraction: float, test_fraction: float, seed: int) -> Dataset:
    """Three species of iris by four lengths of the flower in cm: scikit-learn's ``load_iris``.

    Source: Fisher, "The use of multiple measurements in taxonomic problems" (1936).

    Args:
        valid_fraction: part of the 150 rows to select on; 0 for no such split.
        test_fraction: part of the rows to report on; 0 for no such split.
        seed: of the shuffle, which keeps the classes' proportions.

    Returns:
        A multiclass set, inputs [N, 4], target [N] with codes 0 to 2.

    Raises:
        ValueError: if a fraction or the seed is out of range, or a split would be too small.

    Example:
        >>> iris(valid_fraction=0.2, test_fraction=0.2, seed=0).class_names
        ('setosa', 'versicolor', 'virginica')
    """
    from sklearn.datasets import load_iris

    return _classification("multiclass", load_iris(), "species", valid_fraction, test_fraction, seed)


def wine(valid_fraction: float, test_fraction: float, seed: int) -> Dataset:
    """Three cultivars by 13 chemical measurements of the wine: scikit-learn's ``load_wine``.

    Source: Aeberhard and Forina, UCI Machine Learning Repository (1992).

    Args:
        valid_fraction: part of the 178 rows to select on; 0 for no such split.
        test_fraction: part of the rows to report on; 0 for no such split.
        seed: of the shuffle, which keeps the classes' proportions.

    Returns:
        A multiclass set, inputs [N, 13], target [N] with codes 0 to 2.

    Raises:
        ValueError: if a fraction or the seed is out of range, or a split would be too small.

    Example:
        >>> len(wine(valid_fraction=0.2, test_fraction=0.0, seed=0).splits)
        2
    """
    from sklearn.datasets import load_wine

    return _classification("multiclass", load_wine(), "cultivar", valid_fraction, test_fraction, seed)


def breast_cancer(valid_fraction: float, test_fraction: float, seed: int) -> Dataset:
    """Malignant (0) or benign (1) by 30 measurements of cell nuclei: scikit-learn's ``load_breast_cancer``.

    Source: Wolberg, Mangasarian, Street and Street, UCI Machine Learning Repository (1993).

    Args:
        valid_fraction: part of the 569 rows to select on; 0 for no such split.
        test_fraction: part of the rows to report on; 0 for no such split.
        seed: of the shuffle, which keeps the classes' proportions.

    Returns:
        A binary set, inputs [N, 30], target [N, 1].

    Raises:
        ValueError: if a fraction or the seed is out of range, or a split would be too small.

    Example:
        >>> breast_cancer(valid_fraction=0.2, test_fraction=0.2, seed=0).class_names
        ('malignant', 'benign')
    """
    from sklearn.datasets import load_breast_cancer

    return _classification("binary", load_breast_cancer(), "diagnosis", valid_fraction, test_fraction, seed)


def diabetes(valid_fraction: float, test_fraction: float, seed: int) -> Dataset:
    """Progression of diabetes after a year by ten measurements: scikit-learn's ``load_diabetes(scaled=False)``.

    The inputs are in their own units: the scaled ones carry the mean and spread of validation and test rows.

    Source: Efron, Hastie, Johnstone and Tibshirani, "Least Angle Regression" (2004).

    Args:
        valid_fraction: part of the 442 rows to select on; 0 for no such split.
        test_fraction: part of the rows to report on; 0 for no such split.
        seed: of the shuffle.

    Returns:
        A regression set, inputs [N, 10], target [N, 1] from 25 to 346.

    Raises:
        ValueError: if a fraction or the seed is out of range, or a split would be too small.

    Example:
        >>> diabetes(valid_fraction=0.2, test_fraction=0.2, seed=0).input_names[:4]
        ('age', 'sex', 'bmi', 'bp')
    """
    from sklearn.datasets import load_diabetes

    table = load_diabetes(scaled=False)
    target = torch.from_numpy(table.target)
    order, sizes = _shuffle(len(target), None, valid_fraction, test_fraction, seed)
    inputs = torch.from_numpy(table.data)[order].float()
    splits = cut(inputs, target[order].float()[:, None], sizes)
    return Dataset("regression", *splits, tuple(table.feature_names), ("progression",))


def _classification(
    task: Task, table: Any, target_name: str, valid_fraction: float, test_fraction: float, seed: int
) -> Dataset:
    codes = torch.from_numpy(table.target).long()
    order, sizes = _shuffle(len(codes), codes, valid_fraction, test_fraction, seed)
    inputs, target = torch.from_numpy(table.data)[order].float(), codes[order]
    splits = cut(inputs, target.float()[:, None] if task == "binary" else target, sizes)
    input_names = tuple(str(name) for name in table.feature_names)  # some are NumPy strings
    class_names = tuple(str(name) for name in table.target_names)
    return Dataset(task, *splits, input_names, (target_name,), class_names)


def _shuffle(
    num_rows: int, codes: torch.Tensor | None, valid_fraction: float, test_fraction: float, seed: int
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """The rows' order, train first and test last, and the splits' sizes; stratified where there are class codes."""
    sizes = _sizes(num_rows, 1 if codes is None else int(codes.max()) + 1, valid_fraction, test_fraction)
    check_seed(seed)
    from sklearn.model_selection import train_test_split

    rest, parts = torch.arange(num_rows).numpy(), []
    for size in sizes[:0:-1]:
        if size:
            stratify = None if codes is None else codes.numpy()[rest]
            rest, part = train_test_split(rest, test_size=size, random_state=seed, stratify=stratify)
            parts.append(torch.from_numpy(part))
    if not parts:
        rest = rest[torch.randperm(num_rows, generator=torch.Generator().manual_seed(seed)).numpy()]
    return torch.cat([torch.from_numpy(rest), *reversed(parts)]), sizes


def _sizes(num_rows: int, least: int, valid_fraction: float, test_fraction: float) -> tuple[int, int, int]:
    fractions = {"valid_fraction": valid_fraction, "test_fraction": test_fraction}
    for key, fraction in fractions.items():
        check_between(key, fraction, 0, 1)
        if fraction and round(num_rows * fraction) < least:
            raise ValueError(
                f"data.{key}: expected 0 or at least {least / num_rows:.3g}, a row for each class, found {fraction}"
            )
    num_valid, num_test = (round(num_rows * fraction) for fraction in fractions.values())
    num_train = num_rows - num_valid - num_test
    if num_train < least:
        raise ValueError(
            f"data.valid_fraction + data.test_fraction: expected less than 1, with a training row for each class left, "
            f"found {valid_fraction} + {test_fraction}"
        )
    return num_train, num_valid, num_test
