"""The metrics that a task has unless others are chosen."""

from nnlab.data.dataset import Task
from nnlab.metric.accuracy import Accuracy
from nnlab.metric.base import Metric
from nnlab.metric.r2 import R2
from nnlab.metric.regression import RMSE


def auto(task: Task) -> list[Metric]:
    """The metrics that follow from the task: accuracy, or RMSE and R2.

    Args:
        task: the data's task.

    Returns:
        The metrics.

    Example:
        >>> [metric.name for metric in auto("regression")]
        ['rmse', 'r2']
    """
    return [RMSE(), R2()] if task == "regression" else [Accuracy()]
