"""Weights of the classes in a classification loss."""

from collections.abc import Sequence


def check_class_weight(class_weight: Sequence[float] | None, num_classes: int | None = None) -> None:
    """Refuse class weights that no loss can use.

    Args:
        class_weight: one weight for each class, or None.
        num_classes: how many classes there are, or None where that is not known yet.

    Raises:
        ValueError: if a weight is negative, all are zero, or their number is not the number of classes.
    """
    if class_weight is None:
        return
    expected = f"expected {'one number' if num_classes is None else f'{num_classes} numbers'} >= 0, one for each class"
    if num_classes is not None and len(class_weight) != num_classes:
        raise ValueError(f"loss.class_weight: {expected}, found {len(class_weight)}: {list(class_weight)}")
    if not all(weight >= 0 for weight in class_weight) or not any(class_weight):
        raise ValueError(f"loss.class_weight: {expected}, at least one of them positive; found {list(class_weight)}")
