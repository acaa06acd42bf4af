"""nnlab alone: what surrounds the fast loop in a run with all its files, and how much memory it takes."""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from peers.job import Job
from peers.known import BEST, LOOP
from peers.measure import PAUSE_S
from peers.process import Server, environment, run_process, train_once

WORKLOAD, EPOCHS = "W1", 1000
#: a run's own seconds divided by those of its loop alone, and memory: goals
RATIO_GOAL = 1.10
MEMORY_FACTOR = 3


@dataclass
class Whole:
    """What was measured, round by round.

    Args:
        epochs: of each run.
        command_s: `nnlab train` from the prompt to its end.
        training_s: of it the training, by its result.json.
        loop_s: the Trainer's loop alone with the same evaluations.
    """

    epochs: int
    command_s: list[float] = field(default_factory=list)
    training_s: list[float] = field(default_factory=list)
    loop_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Memory:
    """MB of a workload at its peak.

    Args:
        name: of the workload.
        torch_mb: a process that has imported torch.
        content_mb: data, parameters and optimizer state.
        trainer_mb: a process in which ``nnlab.Trainer`` trains.
        command_mb: `nnlab train`.
    """

    name: str
    torch_mb: float
    content_mb: float
    trainer_mb: float
    command_mb: float

    @property
    def allowed_mb(self) -> float:
        """torch and three times the content."""
        return self.torch_mb + MEMORY_FACTOR * self.content_mb


def measure_whole(server: Server, path: Path, epochs: int, rounds: int) -> Whole:
    """Runs of W1 with all their files, and the loop alone, in turn.

    Args:
        server: nnlab's process.
        path: of W1's job.
        epochs: of each run.
        rounds: in turn.
    """
    job = Job.load(path)
    whole = Whole(epochs)
    server.prepare(path, LOOP)
    server.train(epochs, job.shuffle)
    for _ in range(rounds):
        seconds, training_s, _ = train_by_command(job, epochs)
        whole.command_s.append(seconds)
        whole.training_s.append(training_s)
        time.sleep(PAUSE_S)
        whole.loop_s.append(server.train(epochs, job.shuffle)[0])
    return whole


def train_by_command(job: Job, epochs: int) -> tuple[float, float, float]:
    """`nnlab train` in a folder of its own.

    Returns:
        Seconds of the process, seconds of its training, MB at its peak.
    """
    words = [sys.executable, "-m", "nnlab", "train", f"experiment={job.experiment}"]
    words += [f"trainer.max_epochs={epochs}", f"device={job.device}"]
    with TemporaryDirectory() as folder:
        cost, _ = run_process(words, environment(job.threads), Path(folder))
        (result,) = Path(folder).glob("outputs/*/*/result.json")
        return cost.seconds, json.loads(result.read_text())["seconds"], cost.memory_mb


def measure_memory(paths: dict[str, Path], epochs: int) -> list[Memory]:
    """Memory at the peak of whole processes.

    Args:
        paths: of the workloads' jobs.
        epochs: of each.
    """
    found = []
    for name, path in paths.items():
        job = Job.load(path)
        cost, _ = run_process([sys.executable, "-c", "import torch"], environment(job.threads), path.parent)
        trainer = train_once("nnlab", Path(sys.executable), BEST, path, epochs, job.threads)
        command_mb = train_by_command(job, epochs)[2]
        found.append(Memory(name, cost.memory_mb, _content_mb(job), trainer.memory_mb, command_mb))
    return found


def _content_mb(job: Job) -> float:
    parameters = sum(array.nbytes for array in (*job.weights, *job.biases))
    copies = 3 if job.optimizer == "adam" else 1
    return (job.inputs.nbytes + job.target.nbytes + copies * parameters) / 1e6
