"""Processes of the peers: one that serves rounds, and one that trains once, from its start to its end."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any, NamedTuple, final

import nnlab
from peers.known import PEERS

WORKER = Path(__file__).with_name("worker.py")
#: glibc's own thresholds adapt, by which 1-100-1 at batch 1,000 takes twice as long in torch: nnlab sets these for
#: itself (nnlab.device.keep_freed_memory), and here every peer gets them
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}


class PeerError(RuntimeError):
    """A peer did not do what it was asked for, and what it said."""


class Cost(NamedTuple):
    """What a whole process took: seconds, MB at its peak, and the losses that it printed."""

    seconds: float
    memory_mb: float
    losses: list[float]


def environment(threads: int) -> dict[str, str]:
    """Variables of every peer's process.

    Args:
        threads: CPU threads; the cores are those of this process.
    """
    counts = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS")}
    backends = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    folders = Path(nnlab.__file__).parents[1], WORKER.parents[1]
    own = {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    return os.environ | counts | backends | MALLOC | own


@final
class Server:
    """A peer that serves rounds; ``serving`` makes it.

    Args:
        peer: its name.
        process: where it runs.
        said: what it prints beside its answers.
    """

    def __init__(self, peer: str, process: subprocess.Popen[str], said: IO[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.peer = peer
        self.requests, self.answers, self.said = process.stdin, process.stdout, said

    def prepare(self, job: Path, setting: str) -> None:
        """Have it take up a job."""
        self._ask({"do": "prepare", "job": str(job), "setting": setting})

    def train(self, epochs: int, shuffle: bool) -> tuple[float, list[float]]:
        """Have it train from the initial weights.

        Returns:
            Seconds, and each epoch's mean loss.
        """
        answer = self._ask({"do": "train", "epochs": epochs, "shuffle": shuffle})
        return answer["seconds"], answer["losses"]

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            print(json.dumps(request), file=self.requests, flush=True)
            line = self.answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.said.seek(0)
            raise PeerError(f"{PEERS[self.peer].title} ended: {self.said.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{PEERS[self.peer].title}: {answer['error']}")
        return answer


@contextmanager
def serving(peer: str, python: Path, threads: int) -> Iterator[Server]:
    """A peer's process, for as long as it is needed.

    Args:
        peer: its name.
        python: its environment's.
        threads: CPU threads.
    """
    words = [str(python), str(WORKER), "serve", peer]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(words, stdin=PIPE, stdout=PIPE, stderr=said, env=environment(threads), text=True) as process,
    ):
        try:
            yield Server(peer, process, said)
        except BaseException:
            process.terminate()  # else it would be waited for until its round is over
            raise
        finally:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it may have ended before it read all
                process.stdin.close()


def train_once(peer: str, python: Path, setting: str, job: Path, epochs: int, threads: int) -> Cost:
    """A process from its start to the losses of some epochs, its imports and compilations included."""
    words = [str(python), str(WORKER), "once", peer, setting, str(job), str(epochs)]
    # A compiled step is found again in a cache: each process has an empty one.
    with tempfile.TemporaryDirectory() as folder:
        cost, printed = run_process(words, environment(threads) | {"TORCHINDUCTOR_CACHE_DIR": folder}, Path(folder))
    return cost._replace(losses=json.loads(printed)["losses"])


def run_process(words: Sequence[str], variables: Mapping[str, str], folder: Path) -> tuple[Cost, str]:
    """Run a process to its end.

    Args:
        words: its command.
        variables: its environment.
        folder: where it runs.

    Returns:
        What it took, without losses, and what it printed.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, cwd=folder, env=variables, stdout=printed, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # else it would be waited for once more
        for file in (printed, said):
            file.seek(0)
        if process.returncode != 0:
            text = said.read().decode(errors="replace")[-2000:]
            raise PeerError(f"{' '.join(words[1:])} ended with exit code {process.returncode}: {text}")
        text = printed.read().decode(errors="replace")
    # Linux counts in KB, macOS in bytes.
    return Cost(seconds, used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3), []), text
