"""The workloads of the benchmark, as nnlab and as plain torch have them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab import experiment
from nnlab.command import composed


@dataclass(frozen=True)
class Workload:
    """One training, said twice: as an nnlab experiment and in plain torch.

    Args:
        about: what is trained.
        experiment: the name of nnlab's experiment; batch size and order of the rows are read from it.
        epochs: passes over the training rows.
        notebook_epochs: fewer, for the notebook's slow loop; times are compared per epoch.
        model: makes the network in plain torch, with any weights.
        loss: the mean over a batch, of a prediction and a target.
        optimizer: of the model's parameters.
        metrics: those that nnlab has for the task, of a prediction and a target, written plainly.
        plain_goal: nnlab's time divided by that of a hand-written loop, at most.
        notebook_goal: the time of the notebook's loop divided by nnlab's, at least.
    """

    about: str
    experiment: str
    epochs: int
    notebook_epochs: int
    model: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Callable[..., torch.optim.Optimizer]
    metrics: Callable[[Tensor, Tensor], list[Tensor]]
    plain_goal: float
    notebook_goal: float


def _regression_metrics(prediction: Tensor, target: Tensor) -> list[Tensor]:
    squares = (prediction - target) ** 2
    return [squares.mean().sqrt(), 1 - squares.sum() / ((target - target.mean()) ** 2).sum()]


def _binary_accuracy(prediction: Tensor, target: Tensor) -> list[Tensor]:
    return [((prediction > 0.5) == (target > 0.5)).float().mean()]


def _accuracy(prediction: Tensor, target: Tensor) -> list[Tensor]:
    return [(prediction.argmax(1) == target).float().mean()]


WORKLOADS = {
    "W1": Workload(
        about="x_squared: 1-100-1 ReLU, MSE, SGD, batches of 1,000 of 10,000 rows in order",
        experiment="x_squared",
        epochs=1000,
        notebook_epochs=40,
        model=lambda: nn.Sequential(nn.Linear(1, 100), nn.ReLU(), nn.Linear(100, 1)),
        loss=F.mse_loss,
        optimizer=partial(torch.optim.SGD, lr=0.001),
        metrics=_regression_metrics,
        plain_goal=1.15,
        notebook_goal=8,
    ),
    "W2": Workload(
        about="blobs: 64-256-1024-1 ReLU, sigmoid, binary cross-entropy, Adam, batches of 16 of 4,000 rows in order",
        experiment="blobs",
        epochs=100,
        notebook_epochs=10,
        model=lambda: nn.Sequential(
            nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1), nn.Sigmoid()
        ),
        loss=F.binary_cross_entropy,
        optimizer=partial(torch.optim.Adam, lr=0.001),
        metrics=_binary_accuracy,
        plain_goal=1.10,
        notebook_goal=1.5,
    ),
    "W3": Workload(
        about="rings: 2-100-100-3 ReLU, cross-entropy, SGD, batches of 1,000 of 10,000 rows shuffled",
        experiment="rings",
        epochs=300,
        notebook_epochs=30,
        model=lambda: nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 3)),
        loss=F.cross_entropy,
        optimizer=partial(torch.optim.SGD, lr=0.01),
        metrics=_accuracy,
        plain_goal=1.10,
        notebook_goal=5,
    ),
}


class Rows(NamedTuple):
    """A split as the loss sees it: inputs [N, F] and target [N, …]."""

    inputs: Tensor
    target: Tensor


@dataclass(frozen=True)
class Case:
    """A workload with its rows and initial weights: what all rivals share.

    Args:
        workload: what is trained.
        config: nnlab's config, resolved; epochs are still those of the experiment.
        choices: the option chosen for each group.
        train: the rows to train on.
        valid: the rows to validate on.
        weights: the initial parameters, in the model's order.
        threads: CPU threads that nnlab chooses.
    """

    workload: Workload
    config: Mapping[str, Any]
    choices: Mapping[str, Any]
    train: Rows
    valid: Rows
    weights: list[Tensor]
    threads: int

    @property
    def batch_size(self) -> int:
        """Rows in a batch."""
        return int(self.config["data"]["batch_size"])

    @property
    def shuffle(self) -> bool:
        """Whether each epoch has an order of its own."""
        return bool(self.config["data"]["shuffle"])

    @property
    def seed(self) -> int:
        """Of the orders."""
        return int(self.config["seed"])

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return self.train.inputs.device

    def plain_model(self) -> nn.Module:
        """The network in plain torch, with the weights that nnlab starts from."""
        model = self.workload.model().to(self.device)
        with torch.no_grad():
            for parameter, weight in zip(model.parameters(), self.weights, strict=True):
                parameter.copy_(weight)
        return model

    @contextmanager
    def member(self, epochs: int, compile: str | None = None) -> Iterator[experiment.Member]:
        """An nnlab run in a folder of its own, ready to fit, with everything that `nnlab train` switches on.

        Args:
            epochs: passes over the training rows.
            compile: trainer.compile, if it is not the config's.
        """
        with TemporaryDirectory() as folder:
            trainer = {**self.config["trainer"], "max_epochs": epochs}
            config = {**self.config, "trainer": trainer if compile is None else {**trainer, "compile": compile}}
            member = experiment.prepare(config, self.choices, [], Path(folder), self.workload.experiment)
            try:
                yield member
            finally:
                member.built.trainer.close()


def prepare_case(workload: Workload, device: str = "cpu") -> Case:
    """Compose the experiment, and take rows and initial weights from it.

    Args:
        workload: what is trained.
        device: where, ``cpu`` or ``cuda``.

    Returns:
        What all rivals share.
    """
    config, choices = composed([], [f"experiment={workload.experiment}", f"device={device}"])
    with TemporaryDirectory() as folder:
        member = experiment.prepare(config, choices, [], Path(folder), workload.experiment)
    trainer = member.built.trainer
    weights = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    train, valid = (Rows(*(side.to(device) for side in member.splits[split])) for split in ("train", "valid"))
    return Case(workload, config, choices, train, valid, weights, trainer.threads)
