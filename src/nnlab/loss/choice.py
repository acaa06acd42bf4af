"""The loss that a task has unless another is chosen."""

from nnlab.data.dataset import Task
from nnlab.loss.base import Loss
from nnlab.loss.bce import BCE
from nnlab.loss.class_weight import ClassWeight
from nnlab.loss.cross_entropy import CrossEntropy
from nnlab.loss.mse import MSE


def auto(task: Task, class_weight: ClassWeight = None) -> Loss:
    """The loss that follows from the task: MSE, BCE or cross-entropy, with torch's defaults.

    Args:
        task: the data's task.
        class_weight: one weight for each class; None for equal ones, and for regression.

    Returns:
        The loss.

    Raises:
        ValueError: if there are class weights for a regression, or the loss refuses them.

    Example:
        >>> type(auto("multiclass")).__name__
        'CrossEntropy'
    """
    if task == "regression":
        if class_weight is not None:
            raise ValueError(f"loss.class_weight: expected null, as a regression has no classes; found {class_weight}")
        return MSE()
    return BCE(class_weight) if task == "binary" else CrossEntropy(label_smoothing=0.0, class_weight=class_weight)
