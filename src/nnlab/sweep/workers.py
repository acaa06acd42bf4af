"""Jobs on worker processes: one that fails, or whose process dies, ends no other."""

import logging
import multiprocessing
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from types import ModuleType
from typing import Any, Generic, Literal, TypeVar, final

import torch

from nnlab import collector
from nnlab.device import num_cores
from nnlab.sweep.worker import Failure, Work, attempt, serve
from nnlab.trainer.interrupt import Interrupt, signals_blocked

log = logging.getLogger("nnlab")

J = TypeVar("J")
Method = Literal["fork", "spawn"]
#: seconds after which signals and dead processes are looked for, if no message comes
TICK_S = 0.2
#: seconds that a process has for its own exit handlers once there is no job for it
GRACE_S = 5.0


def run_jobs(
    jobs: Sequence[J],
    num_workers: int,
    work: Work[J],
    on_message: Callable[[int, Any], None],
    *,
    method: Method | None = None,
) -> dict[int, str]:
    """Do jobs on worker processes, in order, as many at a time as there are workers.

    A process takes job after job. One that dies costs the job that it was at; a fresh one takes its place. No job is
    tried twice. One worker or one job needs no process: it is done in this one.

    At the first signal (see ``nnlab.trainer.interrupt``) no further job begins, those under way are told of it once
    and brought to their end; a second one ends this process at once, and with it the others, as does anything else
    that ends it. Whoever calls this inside an ``Interrupt`` finds the signal there afterwards. Signals sent to a worker
    itself, other than SIGKILL, wait for ever: it goes by this process's word.

    A forked worker has no copies of this process's threads, only of the locks that they held: a logger's or a figure's
    thread must be at rest meanwhile. Its standard output goes nowhere.

    Args:
        jobs: what to do; can be pickled.
        num_workers: processes at a time; each may use an equal share of the cores.
        work: does a job, in a worker, and sends messages that can be pickled, from the thread that it is called in; a
            function of a module or a ``functools.partial`` of one, so that every way to start a process can find it.
        on_message: called here with a job's index and each of its messages, in the order in which the job sent them.
        method: how processes start; None for ``default_method``.

    Returns:
        For each job that began and did not end well, what became of it: index -> one sentence. Tracebacks are logged.

    Raises:
        pickle.PicklingError, AttributeError, TypeError: if ``work`` is no function that another process can find.
    """
    pickle.dumps(work)  # also where nothing needs it: what works on two cores must work on sixteen, or with CUDA
    num_workers = min(num_workers, len(jobs))
    with Interrupt() as interrupt:
        if num_workers <= 1:
            return _run_here(jobs, work, on_message, interrupt)
        num_threads = max(1, num_cores() // num_workers)
        start = _Start(method or default_method(num_threads), jobs, work, num_threads)
        crew: list[_Worker] = []
        try:
            return _run(start, num_workers, crew, on_message, interrupt)
        finally:
            for worker in crew:  # none is left but where an error ends all this
                worker.kill()


def default_method(num_threads: int) -> Method:
    """How to start worker processes: ``fork``, which takes milliseconds, where that is safe, else ``spawn``.

    OpenMP's threads do not survive a fork: once this process has used several, a child that uses several hangs. And
    where there is CUDA, a child of a process that has counted the devices or run a backward pass can do neither. Of the
    threads of somebody else's program, such as a notebook's, nobody knows which locks they hold.

    Args:
        num_threads: CPU threads that each process may use.
    """
    is_safe = sys.platform == "linux" and num_threads == 1 and not torch.cuda.is_available()
    is_alone = collector.is_sole_user() or threading.active_count() == 1
    return "fork" if is_safe and is_alone else "spawn"


def _run_here(
    jobs: Sequence[J], work: Work[J], on_message: Callable[[int, Any], None], interrupt: Interrupt
) -> dict[int, str]:
    lost: dict[int, str] = {}
    for index, job in enumerate(jobs):
        if interrupt.received is not None:
            break
        failure = attempt(work, job, partial(on_message, index), interrupt)
        if failure is not None:
            lost[index] = _logged(index, failure)
    return lost


def _run(
    start: "_Start[J]",
    num_workers: int,
    crew: "list[_Worker]",
    on_message: Callable[[int, Any], None],
    interrupt: Interrupt,
) -> dict[int, str]:
    lost: dict[int, str] = {}
    waiting = deque(range(len(start.jobs)))
    is_told = False
    while True:
        if interrupt.received is not None and not is_told:
            is_told = True
            waiting.clear()
            for worker in crew:
                worker.tell("signal", interrupt.received)
        while waiting and len(crew) < num_workers:
            crew.append(_Worker(start, waiting.popleft(), crew))
        if not crew:
            return lost
        ready = wait([worker.connection for worker in crew], TICK_S)
        for worker in list(crew):
            news = worker.news(worker.connection in ready)
            if news is None:
                continue
            kind, content = news
            if kind == "message":
                on_message(worker.index, content)
                continue
            if content is not None:
                lost[worker.index] = _logged(worker.index, content)
            if kind == "ended" and waiting:
                worker.begin(waiting.popleft())
            else:
                crew.remove(worker)
                worker.dismiss()


def _logged(index: int, failure: Failure) -> str:
    sentence, trace = failure
    if trace:
        log.info("job %d: %s", index, trace)
    return sentence


@final
class _Start(Generic[J]):
    """What every worker starts with."""

    def __init__(self, method: Method, jobs: Sequence[J], work: Work[J], num_threads: int) -> None:
        self.method = method
        self.jobs = jobs
        self.work = work
        self.num_threads = num_threads


@final
class _Worker:
    """A process, and the job that it is at.

    Args:
        start: what it starts with.
        index: its first job.
        crew: the other workers.
    """

    def __init__(self, start: _Start[Any], index: int, crew: "Sequence[_Worker]") -> None:
        context = multiprocessing.get_context(start.method)
        self.connection, theirs = context.Pipe()
        copies = [self.connection, *(worker.connection for worker in crew)] if start.method == "fork" else []
        for handler in logging.getLogger().handlers:
            with suppress(ValueError, OSError):  # somebody has closed its file
                handler.flush()  # else a child could write what is buffered twice; multiprocessing flushes stdio
        self._process: Any = context.Process(  # type: ignore[attr-defined]
            target=serve, args=(theirs, copies, start.jobs, start.work, start.num_threads)
        )
        if start.method == "spawn":
            resource_tracker.ensure_running()  # its start would unblock the signals
        with signals_blocked(), _main_left_out():
            self._process.start()
        theirs.close()
        self.begin(index)

    def begin(self, index: int) -> None:
        """Give it a job."""
        self.index = index
        self.tell("job", index)

    def tell(self, kind: str, number: int | None) -> None:
        """Send a word; without effect if the process is dead, which its silence will show."""
        with suppress(OSError):
            self.connection.send((kind, number))

    def news(self, is_ready: bool) -> tuple[str, Any] | None:
        """What it says, or that it died.

        Args:
            is_ready: whether its connection has something to be read, be it the end.

        Returns:
            ``("message", content)``, ``("ended", failure or None)``, ``("died", failure)``, or None for no news.
        """
        # Children of its own may hold the connection open after its death, which then has to be looked for.
        if not is_ready and self._process.is_alive():
            return None
        with suppress(EOFError, OSError):
            if is_ready or self.connection.poll():
                news: tuple[str, Any] = self.connection.recv()
                return news
        self._process.join()
        return "died", (_cause_of_death(self._process.exitcode), "")

    def dismiss(self) -> None:
        """Let it end by itself, for a moment."""
        self.tell("job", None)
        self._process.join(GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _cause_of_death(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    hint = ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
    return f"its process was killed by {names.get(-code, f'signal {-code}')}{hint}"


@contextmanager
def _main_left_out() -> Iterator[None]:
    """While it lasts, a process that is started does not run the program's own file: no job needs anything of it.

    So a script that calls ``nnlab.sweep`` needs no ``if __name__ == "__main__"``.
    """
    before = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before
