"""What a job of submitit does: jobs of a sweep one after another, until its queue wants the place back."""

import _thread
import gc
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch

from nnlab.sweep.again import go_on
from nnlab.sweep.jobs import Job
from nnlab.sweep.work import Todo
from nnlab.sweep.worker import attempt
from nnlab.trainer.interrupt import ENDINGS, Interrupt
from nnlab.words import counted

#: where the sweep's own process asks for the end; holds the number of the signal that it received
END_FILE = "end"
#: seconds between two looks at it
LOOK_S = 1.0
#: seconds after a SIGTERM in which SLURM ends a job for good (KillWait is 30 by default) or wants its place back
TERM_S = 60.0


@final
@dataclass(frozen=True)
class Turn:
    """What submitit pickles and calls; and asks for what shall be called next time, where the job is queued again.

    Args:
        jobs: each with its number and what it needs, its own members alone.
        folder: where messages are left; absolute, as everybody's is that works on the sweep.
        number: of the turn, no two of which are alike.
        here: where the sweep's own process works; paths are relative to it.
        num_threads: that it may use.
        num_queued: times that the job was queued again.
    """

    jobs: tuple[tuple[int, Todo, Job], ...]
    folder: str
    number: int
    here: str
    num_threads: int
    num_queued: int = 0

    def __call__(self) -> None:
        """Do the jobs; in the main thread of a process of its own."""
        os.chdir(self.here)
        os.environ["OMP_NUM_THREADS"] = str(self.num_threads)  # nnlab.device.num_cores reads it
        torch.set_num_threads(self.num_threads)
        gc.freeze()  # what is there now stays: else each full collection looks through torch's modules
        logging.getLogger("submitit").propagate = False  # what it says of signals is in its own files
        post = _Post(letters_of(self.folder, self.number))
        post.write("at work", os.getpid())
        with Interrupt(is_patient=True) as interrupt, _listening(Path(self.folder) / END_FILE, interrupt) as is_told:
            for number, todo, job in self.jobs:
                if interrupt.received is not None:
                    break
                self._do(number, todo, job, post, interrupt, is_told)
        if interrupt.received is None or is_told.is_set():
            post.write("over")
        else:
            self._give_back(interrupt.received, post)

    def checkpoint(self) -> Any:
        """What submitit calls before the job is queued again: everything else is in the members' folders."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(replace(self, num_queued=self.num_queued + 1))

    #: the name that submitit's documents give; the signal handler of 1.5 looks for the other one
    __submitit_checkpoint__ = checkpoint

    def _do(
        self, number: int, todo: Todo, job: Job, post: "_Post", interrupt: Interrupt, is_told: threading.Event
    ) -> None:
        def send(message: tuple[Any, ...]) -> None:
            kind, *rest = message
            if kind == "ended":
                member, result = rest
                if result.status in _PAUSED and interrupt.received is not None and not is_told.is_set():
                    return  # it goes on
                rest = [member, {"content": result.content, "signal": result.signal}]
            post.write(kind, *rest)

        if self.num_queued:
            again = f"its queue took its place back, and gave it another ({counted(self.num_queued, 'time')})"
            todo = replace(todo, note=again if todo.note is None else f"{todo.note}; {again}")
        post.write("job", number)
        failure = attempt(lambda job, send: go_on(todo, job, send), job, send, interrupt)
        if failure is not None or interrupt.received is None:
            post.write("did", number, failure)

    def _give_back(self, received: signal.Signals, post: "_Post") -> None:
        """Let submitit do what it does when a queue wants its place back: now that all is saved.

        Its handlers are in place again.
        """
        if ENDINGS[received][0] != "preempted":
            # SLURM sends SIGTERM first. Whoever ends now has ended well, and would not be queued again.
            time.sleep(TERM_S if os.environ.get("SUBMITIT_EXECUTOR") == "slurm" else 0.0)
            post.write("lost", f"{received.name} ended it")
            return
        post.write("back", received.name)
        name = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")
        try:
            signal.raise_signal(getattr(signal, f"SIG{name}"))
        except Exception as error:  # submitit's, for time that was up too often; of scontrol
            text = " ".join(str(error).split()) or type(error).__name__
            post.write("ended for good", text)
            raise


#: how members end that shall go on
_PAUSED = ("interrupted", "preempted")


def letters_of(folder: str | Path, number: int) -> Path:
    """Where the messages of a turn are: a line each, a list in JSON of a kind and what belongs to it.

    Args:
        folder: of all messages.
        number: the turn's.
    """
    return Path(folder) / f"{number}.jsonl"


@final
class _Post:
    """Leaves messages where the sweep's own process looks for them, whole ones only."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._put(b"\n")  # whoever was at it before may have been killed in the middle of a line

    def write(self, *message: Any) -> None:
        self._put(f"{json.dumps(message)}\n".encode())

    def _put(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._descriptor, line) :]


@contextmanager
def _listening(path: Path, interrupt: Interrupt) -> Iterator[threading.Event]:
    """While it lasts, a thread looks whether the sweep's own process asks for the end, and tells the main thread."""
    is_told, is_over = threading.Event(), threading.Event()

    def look() -> None:
        while not is_over.is_set():
            with suppress(OSError, ValueError):
                number = signal.Signals(int(path.read_text()))
                is_told.set()
                if interrupt.received is None:
                    _thread.interrupt_main(number)  # runs the handler in the main thread, as the signal itself would
                return
            is_over.wait(LOOK_S)

    listener = threading.Thread(target=look, daemon=True)
    listener.start()
    try:
        yield is_told
    finally:
        is_over.set()
        listener.join()


def read_letters(path: Path, offset: int) -> tuple[Sequence[Any], int]:
    """Messages that were left since the last time.

    Args:
        path: where.
        offset: bytes that were read before.

    Returns:
        The messages, and the bytes that were read by now.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            found = file.read()
    except OSError:
        return [], offset
    whole = found[: found.rfind(b"\n") + 1]
    letters = []
    for line in whole.splitlines():
        with suppress(ValueError):  # half a line, of a process that was killed
            letters.append(json.loads(line))
    return letters, offset + len(whole)
