"""A peer in a process of its own, in whatever environment it is installed: serves rounds, or trains once and ends.

    peers/worker.py serve PEER                       asked over stdin, answers on stdout, a line of JSON each
    peers/worker.py once PEER SETTING JOB EPOCHS     prints the losses of the epochs

A peer is a module that offers ``make(job, setting)``, which returns a ``Training``.
"""

import gc
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Protocol, TextIO

from peers.job import Job
from peers.known import PEERS


class Training(Protocol):
    """A job in the hands of a peer, which may keep from one run to the next what it has compiled."""

    def start(self, epochs: int, shuffle: bool) -> None:
        """Go back to the initial weights; what is done here is not timed.

        Args:
            epochs: of the run to come.
            shuffle: whether each epoch has an order of its own.
        """

    def run(self) -> list[float]:
        """Train, and give each epoch's mean loss."""


def main() -> None:
    """Serve, or train once."""
    # Libraries print bars and remarks: the answers have a stream of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    kind, peer, *rest = sys.argv[1:]
    if kind == "serve":
        _serve(peer, answers)
        return
    setting, path, epochs = rest
    training = _make(peer, Path(path), setting)
    training.start(int(epochs), Job.load(Path(path)).shuffle)
    print(json.dumps({"losses": training.run()}), file=answers, flush=True)


def _serve(peer: str, answers: TextIO) -> None:
    training: Training | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if asked["do"] == "prepare":
                training = None
                gc.collect()
                training = _make(peer, Path(asked["job"]), asked["setting"])
                gc.freeze()  # what the libraries are made of: to look through it takes 0.15 s
                answer: dict[str, Any] = {}
            else:
                assert training is not None, "nothing is prepared"
                answer = _train(training, asked["epochs"], asked["shuffle"])
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


def _make(peer: str, path: Path, setting: str) -> Training:
    training: Training = importlib.import_module(PEERS[peer].module).make(Job.load(path), setting)
    return training


def _train(training: Training, epochs: int, shuffle: bool) -> dict[str, Any]:
    training.start(epochs, shuffle)
    gc.collect()
    start = time.perf_counter()
    losses = training.run()
    return {"seconds": time.perf_counter() - start, "losses": losses}


if __name__ == "__main__":
    main()
