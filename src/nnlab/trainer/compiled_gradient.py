"""The gradient as one program: forward, loss, backward, and clipping where a step has one batch."""

from collections.abc import Callable, Sequence
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from nnlab.gradient.base import Gradient, Precision
from nnlab.loss.objective import Objective
from nnlab.trainer.batches import Batch
from nnlab.trainer.compiler import Compiled, NotTracedError
from nnlab.trainer.step import StepParts


@final
class CompiledGradient(Gradient):
    """Computes what another gradient computes by the chain rule, by programs of torch.compile's.

    A program knows what the model was when it was made. If that changes, such as a number that ``forward`` reads and a
    callback sets, the rest of the training is done by the other gradient, and said so.

    Args:
        parts: what a step needs.
        clips: whether the gradient of each batch is clipped here, because it is that of a whole step.
        say: is told if the other gradient takes over.
    """

    by_chain_rule: ClassVar[bool] = True

    def __init__(self, parts: StepParts, clips: bool, say: Callable[[str], None]) -> None:
        self._parts = parts
        self._clip_norm = parts.grad_clip_norm if clips else None
        self._say = say
        self._compiled: Compiled | None = None
        self._copies = False
        self._shares: dict[float, Tensor] = {}

    def make(self, batches: Sequence[Batch]) -> None:
        """Make a program for batches of each of these sizes.

        Args:
            batches: one of each size.

        Raises:
            NotTracedError: if there is none, or a second call would need another one.
        """
        self._compiled = Compiled(_function(self._parts, self._clip_norm))
        for batch in batches:
            with self._compiled.making():
                grads = self._compiled(batch.inputs, batch.target, self._share(1))[2]
            read = [
                batch.inputs,
                batch.target,
                self._share(1),
                *self._parts.model.parameters(),
                *self._parts.model.buffers(),
            ]
            self._copies = self._copies or _share_memory([grad for grad in grads if grad is not None], read)
        for batch in batches:
            try:
                self._compiled(batch.inputs, batch.target, self._share(1))
            except NotTracedError as error:
                raise NotTracedError(f"each step would have to be compiled anew: {error}") from None

    def __call__(
        self, model: nn.Module, objective: Objective, inputs: Tensor, target: Tensor, precision: Precision, share: float
    ) -> tuple[Tensor, Tensor]:
        """See ``Gradient``; model and objective are those of the constructor."""
        if self._compiled is not None:
            try:
                value, prediction, grads = self._compiled(inputs, target, self._share(share))
            except NotTracedError as error:
                self._compiled = None
                self._say(f"from here on steps are done by torch's own operations; compiled ones are stale: {error}")
            else:
                for parameter, grad in zip(self._parts.parameters, grads, strict=True):
                    self._add(parameter, grad)
                return value, prediction
        result = self._parts.gradient(model, objective, inputs, target, precision, share)
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parts.parameters, self._clip_norm)
        return result

    def _add(self, parameter: nn.Parameter, grad: Tensor | None) -> None:
        if grad is None:  # the loss does not reach this parameter
            return
        if parameter.grad is not None:
            grad = parameter.grad + grad
        elif self._copies:  # a gradient may be changed in place, as by clipping
            grad = grad.clone()
        parameter.grad = grad

    def _share(self, share: float) -> Tensor:
        """A batch's share as a tensor: another number would need another program."""
        if share not in self._shares:
            self._shares[share] = torch.tensor(share, dtype=self._parts.precision.dtype)
        return self._shares[share]


def _function(
    parts: StepParts, clip_norm: float | None
) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Sequence[Tensor | None]]]:
    """The objective, the prediction and the gradient of each parameter, None for one that the loss does not reach."""

    def compute(inputs: Tensor, target: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Sequence[Tensor | None]]:
        prediction = parts.model(inputs)
        value = parts.objective(prediction, target)
        grads = torch.autograd.grad(value * share, parts.parameters, allow_unused=True)
        return value.detach(), prediction.detach(), grads if clip_norm is None else _clipped(grads, clip_norm)

    return compute


def _clipped(grads: Sequence[Tensor | None], norm: float) -> list[Tensor | None]:
    """As ``torch.nn.utils.clip_grad_norm_``, but not in place."""
    norms = [torch.linalg.vector_norm(grad) for grad in grads if grad is not None]
    factor = torch.clamp(norm / (torch.linalg.vector_norm(torch.stack(norms)) + 1e-6), max=1.0)
    return [None if grad is None else grad * factor for grad in grads]


def _share_memory(grads: Sequence[Tensor], read: Sequence[Tensor]) -> bool:
    """Whether gradients lie where others do, or what they are computed from: the compiler's way with equal numbers."""
    places = [grad.untyped_storage().data_ptr() for grad in grads]
    others = {tensor.untyped_storage().data_ptr() for tensor in read}
    return len(set(places)) < len(places) or not others.isdisjoint(places)
