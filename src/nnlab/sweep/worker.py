"""The child's side of a worker process: takes job after job from its parent, and ends when the parent does."""

import _thread
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, TypeVar

import torch

from nnlab.trainer.interrupt import Interrupt

J = TypeVar("J")
#: does a job; what it hands to ``send`` reaches the parent
Work = Callable[[J, Callable[[Any], None]], None]
#: one sentence on what became of a job, and the traceback
Failure = tuple[str, str]


def attempt(work: Work[J], job: J, send: Callable[[Any], None], interrupt: Interrupt) -> Failure | None:
    """Do a job.

    Args:
        work: does it.
        job: what to do.
        send: takes the job's messages.
        interrupt: knows whether a signal asked for the end, after which leaving by ``SystemExit`` is no failure.

    Returns:
        None, or how it failed.
    """
    try:
        work(job, send)
    except SystemExit as ending:
        if ending.code in (None, 0) or interrupt.received is not None:
            return None
        return f"it left with exit code {ending.code}", traceback.format_exc()
    except Exception as error:
        text = "; ".join(str(error).splitlines())
        return f"{type(error).__name__}{': ' * bool(text)}{text}", traceback.format_exc()
    return None


def serve(
    connection: "Connection[Any, Any]",
    others: "Sequence[Connection[Any, Any]]",
    jobs: Sequence[J],
    work: Work[J],
    num_threads: int,
) -> None:
    """Do the jobs whose numbers the parent sends, until it sends None.

    The parent has blocked the signals of ``nnlab.trainer.interrupt`` for this process, and they stay blocked: a
    terminal's Ctrl-C and a cluster's signal reach every process, and only the parent's word must count, once.

    Args:
        connection: to the parent.
        others: the parent's ends, of this connection and of earlier ones, as far as this process has copies of them.
        jobs: all of them.
        work: does one.
        num_threads: CPU threads that this process may use.
    """
    for other in others:
        other.close()  # else this process would keep alive what tells it and its siblings that the parent is gone
    os.environ["OMP_NUM_THREADS"] = str(num_threads)  # nnlab.device.num_cores reads it
    torch.set_num_threads(num_threads)
    _keep_off_the_terminal()
    gc.freeze()  # what is there now stays: else each full collection takes 0.2 s to look through torch's modules

    def report(kind: str, content: Any) -> None:
        try:
            connection.send((kind, content))
        except OSError:  # the parent is gone, and there is nobody to tell
            os._exit(1)

    numbers: SimpleQueue[int | None] = SimpleQueue()
    with Interrupt() as interrupt:
        threading.Thread(target=_listen, args=(connection, numbers), daemon=True).start()
        while (number := numbers.get()) is not None:
            report("ended", attempt(work, jobs[number], lambda message: report("message", message), interrupt))


def _listen(connection: "Connection[Any, Any]", numbers: "SimpleQueue[int | None]") -> None:
    """Hear the parent while the main thread works."""
    with suppress(EOFError, OSError):
        while True:
            kind, number = connection.recv()
            if kind == "signal":
                _thread.interrupt_main(number)  # runs the handler in the main thread, as the signal itself would
            else:
                numbers.put(number)
            if number is None:
                return
    os._exit(1)  # the parent is gone, however it ended: nobody waits for this process's work


def _keep_off_the_terminal() -> None:
    """Leave standard output to the parent's live line; standard error stays, for what ends a process."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # a live line of the parent has put its own in their place
