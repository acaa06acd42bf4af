"""The tutorials' loop: a DataLoader over a TensorDataset, torch's default optimizer, loss.item() in every step."""

from typing import final

import torch
from torch.utils.data import DataLoader, TensorDataset

from peers.in_torch import LOSSES, plain_model, plain_optimizer, plain_rows
from peers.job import Job


@final
class Notebook:
    """The loop.

    Args:
        job: what is trained.
    """

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        self.job = job
        self.rows = TensorDataset(*plain_rows(job))
        self.loss = LOSSES[job.loss]()

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        self.epochs = epochs
        self.model = plain_model(self.job)
        self.optimizer = plain_optimizer(self.job)(self.model.parameters())
        self.loader = DataLoader(self.rows, batch_size=self.job.batch_size, shuffle=shuffle)

    def run(self) -> list[float]:
        """See ``Training``."""
        losses = []
        for _ in range(self.epochs):
            total = 0.0
            for inputs, target in self.loader:
                loss = self.loss(self.model(inputs), target)
                loss.backward()
                self.optimizer.step()
                self.optimizer.zero_grad()
                total += loss.item()
            losses.append(total / self.job.num_steps)
        return losses


def make(job: Job, setting: str) -> Notebook:
    """A training; there is one setting."""
    del setting
    return Notebook(job)
