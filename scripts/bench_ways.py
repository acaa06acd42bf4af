"""Ways to train a case, each timed from the first step to the last evaluation."""

import io
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, final

import torch
from rich.console import Console
from torch.utils.data import DataLoader, Sampler, TensorDataset

from bench_workloads import Case, Rows
from nnlab import experiment
from nnlab.callback.progress import Progress
from nnlab.seeding import epoch_order


class Outcome(NamedTuple):
    """How a training went: its seconds, and (train loss, validation loss) of each epoch."""

    seconds: float
    losses: list[tuple[float, float]]


Way = Callable[[Case, int], Outcome]


def train_with_nnlab(case: Case, epochs: int, compile: str | None = None) -> Outcome:
    """nnlab with everything on: metrics, metrics.csv, TensorBoard, checkpoints, a live line on a terminal.

    Args:
        case: what is trained.
        epochs: passes over the training rows.
        compile: trainer.compile, if it is not the config's.
    """
    with case.member(epochs, compile) as member:
        member.built.trainer.watch(Progress(Console(file=io.StringIO(), force_terminal=True, width=100)))
        start = time.perf_counter()
        experiment.fit([member])
        seconds = time.perf_counter() - start
    if member.fitted is None or member.fitted.status != "completed":
        raise RuntimeError(f"the run did not complete: {member.error or member.fitted}")
    return Outcome(seconds, [(row["train/loss"], row["valid/loss"]) for row in member.fitted.history])


def train_by_hand(case: Case, epochs: int) -> Outcome:
    """A careful loop in plain torch: slices, fused optimizer, the train loss read once an epoch.

    Args:
        case: what is trained.
        epochs: passes over the training rows.
    """
    model, loss_function = case.plain_model(), case.workload.loss
    optimizer = case.workload.optimizer(model.parameters(), fused=True)
    num_rows, batch_size = len(case.train.inputs), case.batch_size
    losses = []
    start = time.perf_counter()
    for epoch in range(epochs):
        inputs, target = case.train
        if case.shuffle:
            order = epoch_order(case.seed, epoch, num_rows).to(case.device)
            inputs, target = inputs[order], target[order]
        model.train()
        total = torch.zeros((), device=case.device)
        for first in range(0, num_rows, batch_size):
            batch = inputs[first : first + batch_size]
            optimizer.zero_grad()
            loss = loss_function(model(batch), target[first : first + batch_size])
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
        model.eval()
        with torch.no_grad():
            prediction = model(case.valid.inputs)
            figures = [loss_function(prediction, case.valid.target)]
            figures += case.workload.metrics(prediction, case.valid.target)
        valid_loss, *_ = (figure.item() for figure in figures)
        losses.append((total.item() / num_rows, valid_loss))
    return Outcome(time.perf_counter() - start, losses)


def train_like_the_notebook(case: Case, epochs: int) -> Outcome:
    """The tutorials' loop: DataLoaders over TensorDatasets, torch's default optimizer, loss.item() in every step.

    Args:
        case: what is trained.
        epochs: passes over the training rows.
    """
    model, loss_function = case.plain_model(), case.workload.loss
    optimizer = case.workload.optimizer(model.parameters())
    order = _SameOrder(case) if case.shuffle else None
    train = DataLoader(TensorDataset(*case.train), batch_size=case.batch_size, sampler=order)
    valid = DataLoader(TensorDataset(*case.valid), batch_size=2 * case.batch_size)
    losses = []
    start = time.perf_counter()
    for _ in range(epochs):
        model.train()
        train_loss = 0.0
        for inputs, target in train:
            loss = loss_function(model(inputs), target)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            train_loss += loss.item() * len(inputs)
        model.eval()
        valid_loss = 0.0
        with torch.no_grad():
            for inputs, target in valid:
                valid_loss += loss_function(model(inputs), target).item() * len(inputs)
        losses.append((train_loss / _num_rows(case.train), valid_loss / _num_rows(case.valid)))
    return Outcome(time.perf_counter() - start, losses)


@final
class _SameOrder(Sampler[int]):
    """The orders of nnlab's epochs, row by row as ``RandomSampler`` gives its own."""

    def __init__(self, case: Case) -> None:
        self.seed = case.seed
        self.num_rows = _num_rows(case.train)
        self.epoch = 0

    def __len__(self) -> int:
        return self.num_rows

    def __iter__(self) -> Iterator[int]:
        order = epoch_order(self.seed, self.epoch, self.num_rows).tolist()
        self.epoch += 1
        return iter(order)


def _num_rows(rows: Rows) -> int:
    return len(rows.inputs)
