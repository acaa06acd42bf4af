"""A careful loop in plain torch, and what other peers on torch take from it."""

from collections.abc import Iterable
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peers.job import Job
from peers.known import EPSILON_HAT

LOSSES = {"mse": nn.MSELoss, "probability": nn.BCELoss, "classes": nn.CrossEntropyLoss}
#: Adam's, in every peer
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
_OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def plain_model(job: Job) -> nn.Sequential:
    """The network with its initial weights, on the job's device."""
    layers: list[nn.Module] = []
    for weight, bias in zip(job.weights, job.biases, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, nn.ReLU()]
    layers[-1:] = [nn.Sigmoid()] if job.loss == "probability" else []
    return nn.Sequential(*layers).to(job.device)


def plain_rows(job: Job) -> tuple[Tensor, Tensor]:
    """Inputs and target, on the job's device."""
    return torch.from_numpy(job.inputs).to(job.device), torch.from_numpy(job.target).to(job.device)


def plain_optimizer(job: Job) -> partial[torch.optim.Optimizer]:
    """Makes torch's own optimizer, of parameters; for some it is an argument whether to fuse it."""
    return partial(_OPTIMIZERS[job.optimizer], lr=job.lr)


@final
class ByHand:
    """Permutes once an epoch, slices, updates by the fused optimizer, reads the loss once an epoch.

    Args:
        job: what is trained.
        is_compiled: whether torch.compile gets the model.
        has_epsilon_hat: whether Adam is ``EpsilonHat``.
    """

    def __init__(self, job: Job, is_compiled: bool = False, has_epsilon_hat: bool = False) -> None:
        torch.set_num_threads(job.threads)
        self.job = job
        self.rows = plain_rows(job)
        self.loss = LOSSES[job.loss]()
        self.is_compiled = is_compiled
        self.has_epsilon_hat = has_epsilon_hat

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        self.epochs, self.shuffle = epochs, shuffle
        self.model = plain_model(self.job)
        self.optimizer = self._optimizer()
        self.forward = torch.compile(self.model) if self.is_compiled else self.model
        torch.manual_seed(0)

    def run(self) -> list[float]:
        """See ``Training``."""
        return [self._epoch() for _ in range(self.epochs)]

    def _optimizer(self) -> torch.optim.Optimizer:
        if self.has_epsilon_hat and self.job.optimizer == "adam":
            return EpsilonHat(self.model.parameters(), self.job.lr)
        return plain_optimizer(self.job)(self.model.parameters(), fused=True)

    def _epoch(self) -> float:
        inputs, target = shuffled(self.rows, self.shuffle)
        batch_size = self.job.batch_size
        total = torch.zeros((), device=inputs.device)
        for first in range(0, len(inputs), batch_size):
            self.optimizer.zero_grad()
            prediction = self.forward(inputs[first : first + batch_size])
            loss = self.loss(prediction, target[first : first + batch_size])
            loss.backward()
            self.optimizer.step()
            total += loss.detach()
        return total.item() / self.job.num_steps


def shuffled(rows: tuple[Tensor, Tensor], shuffle: bool) -> tuple[Tensor, Tensor]:
    """The rows in a new order, or as they are."""
    inputs, target = rows
    if not shuffle:
        return rows
    order = torch.randperm(len(inputs), device=inputs.device)
    return inputs[order], target[order]


def functional_loss(job: Job, prediction: Tensor, target: Tensor) -> Tensor:
    """The mean loss of a batch, as a function."""
    functions = {"mse": F.mse_loss, "probability": F.binary_cross_entropy, "classes": F.cross_entropy}
    return functions[job.loss](prediction, target)


@final
class EpsilonHat(torch.optim.Optimizer):
    """Adam as Kingma and Ba (2015) have it at the end of section 2: epsilon is added to the uncorrected moment's root.

    Args:
        parameters: what it updates.
        lr: the learning rate.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        super().__init__(parameters, {})
        self.lr = lr
        self.num_steps = 0

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update."""
        del closure
        self.num_steps += 1
        rate = self.lr * (1 - BETA2**self.num_steps) ** 0.5 / (1 - BETA1**self.num_steps)
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            mean = state.setdefault("mean", torch.zeros_like(parameter))
            square = state.setdefault("square", torch.zeros_like(parameter))
            mean.lerp_(parameter.grad, 1 - BETA1)
            square.mul_(BETA2).addcmul_(parameter.grad, parameter.grad, value=1 - BETA2)
            parameter.sub_(rate * mean / (square.sqrt() + EPSILON))


def make(job: Job, setting: str) -> ByHand:
    """A training; the other setting is only for comparing losses."""
    return ByHand(job, has_epsilon_hat=setting == EPSILON_HAT)
