"""Lightning's Trainer, with what it has by default or barebones."""

import logging
import tempfile
import warnings
from typing import Any, final

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from peers.in_torch import LOSSES, plain_model, plain_optimizer, plain_rows
from peers.job import Job
from peers.known import BEST


class Module(LightningModule):
    """A module as the documents show it, which keeps the mean loss of each epoch too.

    Args:
        job: what is trained.
        is_best: whether nothing is logged and the optimizer fused.
    """

    def __init__(self, job: Job, is_best: bool) -> None:
        super().__init__()
        self.job = job
        self.is_best = is_best
        self.model = plain_model(job)
        self.loss = LOSSES[job.loss]()
        self.losses: list[float] = []
        self.total = torch.zeros(())

    def training_step(self, batch: list[Tensor]) -> Tensor:
        """The loss of a batch."""
        inputs, target = batch
        loss: Tensor = self.loss(self.model(inputs), target)
        if not self.is_best:
            self.log("train_loss", loss)
        self.total = self.total + loss.detach()
        return loss

    def on_train_epoch_end(self) -> None:
        """Read the epoch's loss."""
        self.losses.append(self.total.item() / self.job.num_steps)
        self.total = torch.zeros(())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """torch's own."""
        make_optimizer = plain_optimizer(self.job)
        parameters = self.model.parameters()
        return make_optimizer(parameters, fused=True) if self.is_best else make_optimizer(parameters)


@final
class WithLightning:
    """A Trainer and a module.

    Args:
        job: what is trained.
        is_best: whether it is barebones, with a loader that indexes whole batches.
    """

    def __init__(self, job: Job, is_best: bool) -> None:
        warnings.filterwarnings("ignore")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        torch.set_num_threads(job.threads)
        self.job = job
        self.is_best = is_best
        self.rows = TensorDataset(*plain_rows(job))
        self.folder = tempfile.TemporaryDirectory()

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        options: dict[str, Any] = {"barebones": True} if self.is_best else {"default_root_dir": self.folder.name}
        accelerator = "gpu" if self.job.device == "cuda" else "cpu"
        self.trainer = Trainer(accelerator=accelerator, devices=1, max_epochs=epochs, **options)
        self.module = Module(self.job, self.is_best)
        if self.is_best:
            order = (RandomSampler if shuffle else SequentialSampler)(self.rows)
            batches = BatchSampler(order, self.job.batch_size, drop_last=False)
            self.loader = DataLoader(self.rows, sampler=batches, batch_size=None)
        else:
            self.loader = DataLoader(self.rows, batch_size=self.job.batch_size, shuffle=shuffle)

    def run(self) -> list[float]:
        """See ``Training``."""
        self.trainer.fit(self.module, self.loader)
        return self.module.losses


def make(job: Job, setting: str) -> WithLightning:
    """A training."""
    return WithLightning(job, is_best=setting == BEST)
