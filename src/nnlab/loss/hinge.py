"""The hinge loss."""

from typing import ClassVar, final

from torch import Tensor
from torch.nn import functional as F

from nnlab.data.dataset import Task
from nnlab.loss.base import Loss


@final
class Hinge(Loss):
    """``max(0, 1 - t p)`` of a score p with the target t coded -1 and 1 (``sklearn.metrics.hinge_loss``).

    Cortes and Vapnik, Support-Vector Networks, 1995. The gradient at the kink is 0.

    Example:
        >>> import torch
        >>> Hinge()(torch.tensor([[0.5], [2.0]]), torch.tensor([[-1.0], [1.0]]))
        tensor(0.7500)
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    reads: ClassVar[str] = "score"

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample, as ``Loss.per_sample``."""
        return F.relu(1 - target * prediction).squeeze(-1)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The batch's mean loss, as ``Loss.__call__``."""
        if prediction.dim() > 2:
            return super().__call__(prediction, target)
        return F.relu(1 - target * prediction).mean()

    def gradient(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The derivative over B rows, as ``Loss.gradient``: ``-t / B`` where ``t p < 1``, else 0."""
        return (target * prediction < 1) * target / -prediction.shape[-2:].numel()

    def corners(self, prediction: Tensor, target: Tensor) -> Tensor:
        """``1 - t p``: at 0 the slope jumps. See ``Loss.corners``."""
        return 1 - target * prediction
