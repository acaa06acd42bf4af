"""The static steps of one training."""

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from nnlab.optim.stacked import StackedUpdate, stacked_update
from nnlab.trainer.batches import Batch, TensorBatches
from nnlab.trainer.static_step import Feed, NotStaticError, Work
from nnlab.trainer.static_update import StaticUpdate
from nnlab.trainer.step import StepParts, accumulate


@final
class AloneFeed(Feed):
    """The rows of ``TensorBatches``, in the buffers that each of its epochs fills.

    Args:
        batches: the training rows.
        accumulate_steps: batches whose gradients make one update.
    """

    def __init__(self, batches: TensorBatches, accumulate_steps: int) -> None:
        views = batches.epoch_views
        self._batch_size = batches.batch_size
        num_rows = batches.batch_size * accumulate_steps
        self.num_whole = len(batches.inputs) // num_rows
        self.rest = views[self.num_whole * accumulate_steps :]
        self._sides = [_by_step(side, self.num_whole, num_rows) for side in views[0][:2]]

    def whole(self, counter: Tensor) -> list[Batch]:
        """See ``Feed``."""
        rows = (side.index_select(0, counter).squeeze(0) for side in self._sides)
        return [Batch(*pair) for pair in zip(*(torch.split(side, self._batch_size) for side in rows), strict=True)]


@final
class AloneWork(Work):
    """A step as ``nnlab.trainer.step.train_step`` means it.

    The parameters stay where they are. Their gradients are put side by side in one row, which is clipped; the update
    is computed on a row of weights beside them, from which the parameters are then filled.

    Args:
        parts: what a step needs.
        num_steps: in an epoch.
    """

    def __init__(self, parts: StepParts, num_steps: int) -> None:
        self._parts = parts
        like = parts.parameters[0].detach()
        self._weights = like.new_empty(1, sum(parameter.numel() for parameter in parts.parameters))
        self._grad, self._last_grad = torch.empty_like(self._weights), torch.empty_like(self._weights)
        self._from_weights, self._grads = self._in_shape(self._weights), self._in_shape(self._last_grad)
        self.stacked: StackedUpdate = stacked_update([parts.optimizer], [parts.parameters], like)
        self._update = StaticUpdate(self.stacked, 1, num_steps, like)

    def plan(self, rates: Sequence[float], first: int) -> None:
        """Before the first step of an epoch that is still to be done.

        Args:
            rates: the learning rate of each of those steps.
            first: the number of the first of them, from 0.
        """
        self.stacked.take_over()
        self._update.plan(np.asarray(rates, dtype=np.float64).reshape(-1, 1), first)

    @torch.no_grad()
    def begin(self) -> None:
        """See ``Work``."""
        torch.cat([parameter.reshape(-1) for parameter in self._parts.parameters], out=self._weights[0])

    def step(self, batches: Sequence[Batch], counter: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See ``Work``."""
        parameters = self._parts.parameters
        for parameter in parameters:
            parameter.grad = None
        value, predictions = accumulate(self._gradient_of, batches)
        self._collect(self._grad)
        self._update.step(self._weights, self._grad, counter)
        with torch.no_grad():
            torch._foreach_copy_(list(parameters), self._from_weights)
        return value, predictions

    def end(self) -> None:
        """See ``Work``."""
        self._collect(self._last_grad)

    def show_gradient(self) -> None:
        """Let the parameters' ``grad`` be what ``end`` has kept."""
        for parameter, grad in zip(self._parts.parameters, self._grads, strict=True):
            parameter.grad = grad

    def _gradient_of(self, batch: Batch, share: float) -> tuple[Tensor, Tensor]:
        parts = self._parts
        return parts.gradient(parts.model, parts.objective, batch.inputs, batch.target, parts.precision, share)

    @torch.no_grad()
    def _collect(self, grad: Tensor) -> None:
        """The gradients of all parameters in one row, clipped as ``torch.nn.utils.clip_grad_norm_`` does."""
        grads = [parameter.grad for parameter in self._parts.parameters]
        known = [own.reshape(-1) for own in grads if own is not None]
        if len(known) != len(grads):
            raise NotStaticError("the loss does not reach every parameter of the model")
        torch.cat(known, out=grad[0])
        if self._parts.grad_clip_norm is not None:
            norm = torch.linalg.vector_norm(grad)
            grad.mul_((self._parts.grad_clip_norm / (norm + 1e-6)).clamp_(max=1))

    def _in_shape(self, row: Tensor) -> list[Tensor]:
        parts = torch.split(row[0], [parameter.numel() for parameter in self._parts.parameters])
        return [part.view(p.shape) for part, p in zip(parts, self._parts.parameters, strict=True)]


def _by_step(first: Tensor, num_steps: int, num_rows: int) -> Tensor:
    """The rows of an epoch, [steps, rows, …], in the memory that begins with those of its first batch."""
    shape, stride = first.shape[1:], first.stride()
    return first.as_strided((num_steps, num_rows, *shape), (num_rows * stride[0], *stride), first.storage_offset())
