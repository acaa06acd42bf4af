"""Weights of the classes in a classification loss."""

from collections.abc import Mapping, Sequence
from typing import Literal

#: one weight for each class, in the order of the codes; None for equal ones. ``balanced`` stands in configs: what is
#: trained with has the numbers, which follow from the training rows.
ClassWeight = Sequence[float] | Literal["balanced"] | None


def balanced_class_weight(counts: Mapping[str, int]) -> list[float]:
    """Weights with which every class counts the same: ``N / (C * count)``, for N rows of C classes.

    Source: G. King and L. Zeng, Logistic regression in rare events data, 2001; scikit-learn's ``balanced``.

    Args:
        counts: training rows by class, in the order of the codes.

    Returns:
        C weights, whose mean over the rows is 1.

    Raises:
        ValueError: for a class without a training row.

    Example:
        >>> balanced_class_weight({"no": 90, "yes": 10})
        [0.5555555555555556, 5.0]
    """
    absent = [name for name, count in counts.items() if not count]
    if absent:
        raise ValueError(
            f"loss.class_weight: balanced divides by the rows of a class, and train has none of {', '.join(absent)}; "
            "give numbers"
        )
    num_rows = sum(counts.values())
    return [num_rows / (len(counts) * count) for count in counts.values()]


def numbers_of(class_weight: ClassWeight, num_classes: int | None = None) -> Sequence[float] | None:
    """Class weights that a loss can use.

    Args:
        class_weight: as a user gives them.
        num_classes: how many classes there are, or None where that is not known yet.

    Returns:
        The weights.

    Raises:
        ValueError: for ``balanced``, if a weight is negative, all are zero, or their number is not that of the classes.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        raise ValueError(
            f"loss.class_weight: expected numbers, found {class_weight!r}; balanced ones follow from the "
            "training rows, which nnlab train counts"
        )
    expected = f"expected {'one number' if num_classes is None else f'{num_classes} numbers'} >= 0, one for each class"
    if num_classes is not None and len(class_weight) != num_classes:
        raise ValueError(f"loss.class_weight: {expected}, found {len(class_weight)}: {list(class_weight)}")
    if not all(weight >= 0 for weight in class_weight) or not any(class_weight):
        raise ValueError(f"loss.class_weight: {expected}, at least one of them positive; found {list(class_weight)}")
    return class_weight
