"""What a task of Ray does: a job of a sweep, in a worker process of a node, and again if an earlier one was lost."""

import _thread
import gc
import os
import pickle
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import ray
import torch

from nnlab.sweep.again import go_on
from nnlab.sweep.carried import packed, unpack
from nnlab.sweep.jobs import Job
from nnlab.sweep.stack_store import FOLDER as STACKS
from nnlab.sweep.work import Todo
from nnlab.sweep.worker import Failure, attempt
from nnlab.trainer.interrupt import Interrupt, signals_blocked

#: seconds between two looks whether the sweep's own process asks for the end
LOOK_S = 1.0


@final
@dataclass(frozen=True)
class Order:
    """What a task is to do.

    Args:
        attempt: the number of the task, no two of which are alike.
        todo: with the members of the job alone.
        job: all of them.
        ended: the numbers of members that an earlier task has brought to their ends.
        here: where the sweep's own process works; paths are relative to it.
        num_threads: that it may use.
        folders: the job's, packed; None where the node sees them.
    """

    attempt: int
    todo: Todo
    job: Job
    ended: frozenset[int]
    here: str
    num_threads: int
    folders: bytes | None


@final
@dataclass(frozen=True)
class Report:
    """How a task ended.

    Args:
        failure: of the whole job; None where it did all that it could.
        folders: of the members that have not ended, and the stacks', packed; None where the node sees the sweep's.
    """

    failure: Failure | None
    folders: bytes | None = None


def perform(order: Order, mailbox: Any) -> Report:
    """Do a job; what Ray calls, in the main thread of a worker process.

    Args:
        order: which.
        mailbox: an actor, ``nnlab.sweep.ray_mailbox.Mailbox``.
    """
    with suppress(OSError):  # a node without that folder has all paths absolute, or its own
        os.chdir(order.here)
    os.environ["OMP_NUM_THREADS"] = str(order.num_threads)  # nnlab.device.num_cores reads it
    torch.set_num_threads(order.num_threads)
    gc.freeze()  # what is there now stays: else each full collection looks through torch's modules
    post = _Post(mailbox, order.attempt)
    with ExitStack() as stack:
        todo = stack.enter_context(_own_folders(order))
        sent: set[int] = set(order.ended)

        def send(message: tuple[Any, ...]) -> None:
            if message[0] == "ended":
                sent.add(message[1])
                if order.folders is not None:
                    post.send(("files", message[1], packed(todo.folder, [message[2].folder.name])))
            post.send(message)

        with signals_blocked(), Interrupt() as interrupt, _listening(mailbox, interrupt):
            post.send(("at work", ray.get_runtime_context().get_node_id()))
            if interrupt.received is None:
                failure = attempt(lambda job, send: go_on(todo, job, send, order.ended), order.job, send, interrupt)
            else:
                failure = None
        post.flush()
        return Report(failure, _rest(order, todo, sent))


@contextmanager
def _own_folders(order: Order) -> Iterator[Todo]:
    """What is to be done, in folders that this node has."""
    if order.folders is None:
        yield order.todo
        return
    root = Path(tempfile.mkdtemp(prefix="nnlab-"))
    try:
        names = [STACKS, *(member.folder.name for member in order.todo.members)]
        unpack(order.folders, root, names)
        members = tuple(replace(member, folder=root / member.folder.name) for member in order.todo.members)
        yield replace(order.todo, folder=root, members=members)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _rest(order: Order, todo: Todo, sent: set[int]) -> bytes | None:
    if order.folders is None:
        return None
    members = [member for member in todo.members if member.number not in sent]
    return packed(todo.folder, [*(member.folder.name for member in members), *stacks_of(todo)])


def stacks_of(todo: Todo) -> list[str]:
    """The names of folders in which a job's stack may be saved.

    Args:
        todo: with the members of the job alone.
    """
    return [f"{STACKS}/{todo.stamp}_{member.number}" for member in todo.members]


@final
class _Post:
    """Sends messages, in order, without waiting for any but the last.

    Args:
        mailbox: where to.
        attempt: the task's number.
    """

    def __init__(self, mailbox: Any, attempt: int) -> None:
        self._mailbox = mailbox
        self._attempt = attempt
        self._last: Any = None

    def send(self, message: tuple[Any, ...]) -> None:
        self._last = self._mailbox.put.remote(self._attempt, pickle.dumps(message))

    def flush(self) -> None:
        if self._last is not None:
            ray.get(self._last)


@contextmanager
def _listening(mailbox: Any, interrupt: Interrupt) -> Iterator[None]:
    """While it lasts, a thread asks whether the sweep's own process wants the end, and says so to the main thread."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            try:
                number = ray.get(mailbox.told.remote())
            except ray.exceptions.RayError:
                return  # the sweep's own process is gone, and Ray ends this one
            if number is not None and not is_over.is_set():
                _thread.interrupt_main(number)  # runs the handler in the main thread, as the signal itself would
                return
            is_over.wait(LOOK_S)

    listener = threading.Thread(target=look, daemon=True)
    listener.start()
    try:
        yield
    finally:
        is_over.set()
        listener.join()
