"""nnlab: its Trainer with plain arguments, or a run with all that `nnlab train` switches on."""

from contextlib import ExitStack
from dataclasses import replace
from typing import final

from nnlab.trainer import Trainer
from peers.in_torch import LOSSES, plain_model, plain_optimizer, plain_rows
from peers.job import Job
from peers.known import BEST, DEFAULTS, LOOP


@final
class Bare:
    """``nnlab.Trainer`` as it is, without a folder.

    Args:
        job: what is trained.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.rows = plain_rows(job)

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        model = plain_model(self.job)
        self.trainer = Trainer(
            model,
            LOSSES[self.job.loss](),
            plain_optimizer(self.job)(model.parameters()),
            batch_size=self.job.batch_size,
            shuffle=shuffle,
            device=self.job.device,
            max_epochs=epochs,
        )

    def run(self) -> list[float]:
        """See ``Training``."""
        return [float(row["train/loss"]) for row in self.trainer.fit(self.rows).history]


@final
class Whole:
    """A run in a folder of its own, with its experiment's own rows, which are the job's, and no validation rows.

    Args:
        job: what is trained.
    """

    def __init__(self, job: Job) -> None:
        from bench_workloads import WORKLOADS, prepare_case

        self.job = job
        self.case = prepare_case(WORKLOADS[job.name])
        self.opened = ExitStack()

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        self.opened.close()
        data = {**self.case.config["data"], "shuffle": shuffle}
        case = replace(self.case, config={**self.case.config, "data": data, "device": self.job.device})
        self.member = self.opened.enter_context(case.member(epochs))
        self.member.splits = {"train": self.member.splits["train"]}

    def run(self) -> list[float]:
        """See ``Training``."""
        from nnlab import experiment

        experiment.fit([self.member])
        assert self.member.fitted is not None, self.member.error
        return [float(row["train/loss"]) for row in self.member.fitted.history]


@final
class Loop:
    """The Trainer with the metrics and validation rows of the job's experiment, and neither folder nor callbacks.

    Args:
        job: what is trained.
    """

    def __init__(self, job: Job) -> None:
        from bench_workloads import WORKLOADS, prepare_case

        self.job = job
        self.case = prepare_case(WORKLOADS[job.name])
        with self.case.member(1) as member:
            self.metrics = member.built.trainer.metrics

    def start(self, epochs: int, shuffle: bool) -> None:
        """See ``Training``."""
        model = plain_model(self.job)
        self.trainer = Trainer(
            model,
            LOSSES[self.job.loss](),
            plain_optimizer(self.job)(model.parameters()),
            metrics=self.metrics,
            batch_size=self.job.batch_size,
            shuffle=shuffle,
            device=self.job.device,
            max_epochs=epochs,
        )

    def run(self) -> list[float]:
        """See ``Training``."""
        history = self.trainer.fit(tuple(self.case.train), tuple(self.case.valid)).history
        return [float(row["train/loss"]) for row in history]


def make(job: Job, setting: str) -> Bare | Whole | Loop:
    """A training."""
    return {BEST: Bare, DEFAULTS: Whole, LOOP: Loop}[setting](job)
