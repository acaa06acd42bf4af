"""skorch's NeuralNet, with what it has by default or with all that can be left out."""

from typing import Any, final

import torch
from skorch import NeuralNet
from torch import Tensor
from torch.utils.data import Dataset

from peers.in_torch import LOSSES, plain_model, plain_optimizer, plain_rows
from peers.job import Job
from peers.known import BEST


@final
class Batchwise(Dataset[tuple[Tensor, Tensor]]):
    """Rows that are fetched a batch at a time, by one indexing.

    Args:
        inputs: shape [N, F].
        target: shape [N, …].
    """

    def __init__(self, inputs: Tensor, target: Tensor) -> None:
        self.inputs, self.target = inputs, target

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.target[index]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A whole batch; torch's loaders look for this name."""
        return self[indices]


@final
class WithSkorch:
    """A NeuralNet.

    Args:
        job: what is trained.
        is_best: whether callbacks are disabled and rows fetched by batches.
    """

    def __init__(self, job: Job, is_best: bool) -> None:
        torch.set_num_threads(job.threads)
        self.job = job
        self.is_best = is_best
        self.rows = plain_rows(job)

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        options: dict[str, Any] = {}
        if self.is_best:
            options = {"callbacks": "disable", "iterator_train__collate_fn": _as_it_is, "optimizer__fused": True}
        optimizer = plain_optimizer(self.job)
        self.net = NeuralNet(
            plain_model(self.job),
            LOSSES[self.job.loss],
            optimizer=optimizer.func,
            lr=self.job.lr,
            max_epochs=epochs,
            batch_size=self.job.batch_size,
            iterator_train__shuffle=shuffle,
            train_split=None,
            device=self.job.device,
            **options,
        )

    def run(self) -> list[float]:
        """See ``Training``."""
        if self.is_best:
            self.net.fit(Batchwise(*self.rows), None)
        else:
            self.net.fit(*self.rows)
        batches = self.net.history[:, "batches", :, "train_loss"]
        return [sum(losses) / len(losses) for losses in batches]


def _as_it_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch


def make(job: Job, setting: str) -> WithSkorch:
    """A training."""
    return WithSkorch(job, is_best=setting == BEST)
