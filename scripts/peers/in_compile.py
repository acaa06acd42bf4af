"""torch.compile of a whole step: forward, backward and update in one graph."""

from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from peers.in_torch import BETA1, BETA2, EPSILON, ByHand, functional_loss, plain_model, plain_rows, shuffled
from peers.job import Job
from peers.known import BEST


@final
class WholeStep:
    """A function of parameters, optimizer state and batch that changes the first two in place, compiled.

    Args:
        job: what is trained.
    """

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        self.job = job
        self.rows = plain_rows(job)
        torch._dynamo.reset()
        self.step = torch.compile(self._step, fullgraph=True)

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        self.epochs, self.shuffle = epochs, shuffle
        self.parameters = tuple(tensor.detach() for tensor in plain_model(self.job).parameters())
        num_moments = 2 if self.job.optimizer == "adam" else 0
        self.moments = [tuple(torch.zeros_like(tensor) for tensor in self.parameters) for _ in range(num_moments)]
        self.powers = torch.ones(2, device=self.job.device)
        self.total = torch.zeros((), device=self.job.device)
        torch.manual_seed(0)

    def run(self) -> list[float]:
        """See ``Training``."""
        return [self._epoch() for _ in range(self.epochs)]

    def _epoch(self) -> float:
        inputs, target = shuffled(self.rows, self.shuffle)
        batch_size = self.job.batch_size
        self.total.zero_()
        for first in range(0, len(inputs), batch_size):
            batch = inputs[first : first + batch_size], target[first : first + batch_size]
            self.step(self.parameters, self.moments, self.powers, self.total, *batch)
        return self.total.item() / self.job.num_steps

    def _step(
        self,
        parameters: tuple[Tensor, ...],
        moments: list[tuple[Tensor, ...]],
        powers: Tensor,
        total: Tensor,
        inputs: Tensor,
        target: Tensor,
    ) -> None:
        gradients, loss = torch.func.grad_and_value(self._loss)(parameters, inputs, target)
        if moments:
            self._adam(parameters, moments, powers, gradients)
        else:
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=self.job.lr)
        total.add_(loss)

    def _loss(self, parameters: tuple[Tensor, ...], inputs: Tensor, target: Tensor) -> Tensor:
        hidden = inputs
        for place in range(0, len(parameters), 2):
            hidden = F.linear(F.relu(hidden) if place else hidden, parameters[place], parameters[place + 1])
        prediction = hidden.sigmoid() if self.job.loss == "probability" else hidden
        return functional_loss(self.job, prediction, target)

    def _adam(
        self,
        parameters: tuple[Tensor, ...],
        moments: list[tuple[Tensor, ...]],
        powers: Tensor,
        gradients: tuple[Tensor, ...],
    ) -> None:
        """Kingma and Ba (2015), algorithm 1, with torch's order of the operations."""
        powers[0] *= BETA1
        powers[1] *= BETA2
        for parameter, mean, square, gradient in zip(parameters, *moments, gradients, strict=True):
            mean.lerp_(gradient, 1 - BETA1)
            square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            root = square.sqrt() / (1 - powers[1]).sqrt() + EPSILON
            parameter.sub_(self.job.lr / (1 - powers[0]) * mean / root)


def make(job: Job, setting: str) -> WholeStep | ByHand:
    """A training of the whole step, or the hand-written loop with a compiled model."""
    return WholeStep(job) if setting == BEST else ByHand(job, is_compiled=True)
