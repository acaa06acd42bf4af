"""Jobs of a sweep as tasks of a Ray cluster: lost workers and nodes cost what was not saved, and nothing twice."""

import _thread
import logging
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

from nnlab.config import ConfigError
from nnlab.sweep.crew import Crew, OnMessage
from nnlab.sweep.jobs import Job
from nnlab.sweep.worker import Failure, Work, attempt
from nnlab.trainer.interrupt import ENDINGS, Interrupt

log = logging.getLogger("nnlab")

#: seconds between two looks for messages, signals and tasks that have ended
TICK_S = 0.2


@final
@dataclass(frozen=True)
class RayAsked:
    """What ``hydra.launcher`` says of Ray.

    Args:
        address: of a cluster, such as ``auto`` or ``10.0.0.1:6379``; None for a cluster of this machine alone.
        num_cpus: of each task.
        num_gpus: of each task; a fraction lets several share one.
        resources: other ones that each task takes, by name.
        max_retries: how often a job is begun again whose worker or node was lost.
        num_workers: tasks at a time; None for as many as the cluster has room for.
    """

    address: str | None
    num_cpus: float
    num_gpus: float
    resources: Mapping[str, float]
    max_retries: int
    num_workers: int | None

    def check(self) -> None:
        """Refuse what means nothing.

        Raises:
            ConfigError: with every problem.
        """
        above_zero = {"num_cpus": self.num_cpus, **{f"resources.{name}": x for name, x in self.resources.items()}}
        problems = [f"{name}: expected a number above 0, found {x}" for name, x in above_zero.items() if not x > 0]
        if self.num_gpus < 0:
            problems.append(f"num_gpus: expected 0 or more, found {self.num_gpus}")
        if self.max_retries < 0:
            problems.append(f"max_retries: expected 0 or more, found {self.max_retries}")
        if self.num_workers is not None and self.num_workers < 1:
            problems.append(f"num_workers: expected at least 1, or null for a rule, found {self.num_workers}")
        if problems:
            raise ConfigError(*(f"hydra.launcher.{problem}" for problem in problems))


@final
class RayCrew(Crew):
    """Tasks of a Ray cluster.

    Args:
        asked: of the cluster and of each task.

    Raises:
        ConfigError: for values without a meaning.
    """

    #: a worker whose node is lost ends a moment after it
    patience_s: ClassVar[float] = 60.0

    def __init__(self, asked: RayAsked) -> None:
        asked.check()
        self.asked = asked
        self._is_mine = False

    @property
    def num_workers(self) -> int:
        """See ``Crew``: as many tasks as the cluster has room for."""
        if self.asked.num_workers is not None:
            return self.asked.num_workers
        there = self._ray.cluster_resources()
        wanted = {"CPU": self.asked.num_cpus, "GPU": self.asked.num_gpus, **self.asked.resources}
        room = min(there.get(name, 0) / amount for name, amount in wanted.items() if amount)
        if room < 1:
            lacking = ", ".join(f"{name} {amount:g}" for name, amount in wanted.items() if there.get(name, 0) < amount)
            raise ConfigError(f"hydra/launcher=ray: no task finds what it needs in this cluster: {lacking}")
        return int(room)

    def line(self, num_workers: int) -> str | None:
        """See ``Crew``."""
        nodes = sum(node["Alive"] for node in self._ray.nodes())
        where = self.asked.address or "a cluster of this machine"
        return f"as Ray tasks, {num_workers} at a time, on {nodes} node{'s' * (nodes != 1)} ({where})"

    def close(self) -> None:
        """See ``Crew``."""
        if self._is_mine:
            self._ray.shutdown()

    def run(self, jobs: Sequence[Job], num_workers: int, work: Work[Job], on_message: OnMessage) -> dict[int, str]:
        """See ``Crew``."""
        with Interrupt() as interrupt:
            return _Run(self, jobs, num_workers, work, on_message, interrupt).run()

    @cached_property
    def _ray(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        if not ray.is_initialized():
            quiet = {"log_to_driver": False, "configure_logging": False}
            before = {number: signal.getsignal(number) for number in ENDINGS}
            if self.asked.address is None:
                # Without "local", Ray would join whatever cluster it finds on this machine.
                ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
            else:
                ray.init(address=self.asked.address, **quiet)
            if threading.current_thread() is threading.main_thread():
                for number, handler in before.items():  # Ray has put its own in the place of some
                    signal.signal(number, handler)
            self._is_mine = True
        return ray

    def start(self, payload: bytes, mail: Any, index: int) -> Any:
        """Begin a job; what it gives is a reference to how it failed, or to None.

        Args:
            payload: the work and the job, pickled.
            mail: takes its messages.
            index: the job's.
        """
        asked = self.asked
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if not asked.num_gpus else {}
        # The granted plugins must be found there, and nnlab itself where it is not installed.
        paths = os.pathsep.join(path for path in [os.getcwd(), *sys.path] if path)
        task = self._ray.remote(_task).options(
            num_cpus=asked.num_cpus,
            num_gpus=asked.num_gpus,
            resources=dict(asked.resources),
            max_retries=0,  # a task that Ray repeats by itself could not be told from the first one
            runtime_env={"env_vars": {"PYTHONPATH": paths, **hidden}},
        )
        return task.remote(payload, mail, index, os.getcwd(), max(1, int(asked.num_cpus)))

    def post(self) -> Any:
        """An actor that keeps what tasks say until it is asked for, on the one node that no cluster goes on without."""
        head = {"node:__internal_head__": 0.001}
        return self._ray.remote(_Mail).options(num_cpus=0, resources=head).remote()

    def get(self, reference: Any) -> Any:
        """What a reference stands for."""
        return self._ray.get(reference)

    def done(self, references: Sequence[Any]) -> list[Any]:
        """Those of some references that stand for something by now, or for a loss."""
        found: list[Any] = self._ray.wait(list(references), num_returns=len(references), timeout=TICK_S)[0]
        return found

    @contextmanager
    def losses(self, note: Callable[[str], None]) -> Iterator[None]:
        """While it lasts, the loss of a worker or a node is noted rather than raised."""
        errors = self._ray.exceptions
        try:
            yield
        except errors.RayTaskError:
            raise
        except errors.RayError as error:
            note(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")


@final
class _Run:
    """Some jobs under way."""

    def __init__(
        self,
        crew: RayCrew,
        jobs: Sequence[Job],
        num_workers: int,
        work: Work[Job],
        on_message: OnMessage,
        interrupt: Interrupt,
    ) -> None:
        self._crew = crew
        self._jobs = jobs
        self._num_workers = num_workers
        self._work = work
        self._on_message = on_message
        self._interrupt = interrupt
        self._mail = crew.post()
        self._waiting = deque(range(len(jobs)))
        self._tries = dict.fromkeys(range(len(jobs)), 0)
        self._under_way: dict[Any, int] = {}
        self._lost: dict[int, str] = {}

    def run(self) -> dict[int, str]:
        is_told = False
        while self._waiting or self._under_way:
            received = self._interrupt.received
            if received is not None and not is_told:
                is_told = True
                self._waiting.clear()
                self._crew.get(self._mail.signal.remote(int(received)))
            while self._waiting and len(self._under_way) < self._num_workers:
                self._begin(self._waiting.popleft())
            ended = self._crew.done(list(self._under_way)) if self._under_way else []
            self._hear()
            for reference in ended:
                self._end(reference)
        return self._lost

    def _begin(self, index: int) -> None:
        payload = pickle.dumps((self._work, self._jobs[index]))
        self._under_way[self._crew.start(payload, self._mail, index)] = index

    def _hear(self) -> None:
        for index, message in self._crew.get(self._mail.take.remote()):
            self._on_message(index, pickle.loads(message))

    def _end(self, reference: Any) -> None:
        index = self._under_way.pop(reference)
        losses: list[str] = []
        with self._crew.losses(losses.append):
            failure: Failure | None = self._crew.get(reference)
            if failure is not None:
                self._lost[index] = failure[0]
                log.info("job %d: %s", index, failure[1])
        self._hear()  # what it said before it ended
        if losses:
            self._again(index, losses[0])

    def _again(self, index: int, why: str) -> None:
        """Begin a job again whose worker or node was lost, unless that was done often enough."""
        self._tries[index] += 1
        most = self._crew.asked.max_retries
        if self._interrupt.received is not None or self._tries[index] > most:
            tried = f", as {self._tries[index]} times in all" if most else ""
            self._lost[index] = f"its worker was lost ({why}){tried}"
            return
        log.warning("job %d lost its worker (%s) and goes on with another one", index, why)
        self._on_message(index, ("said", f"a worker was lost ({why}): its members go on from where they were saved"))
        self._waiting.append(index)


class _Mail:
    """Keeps what tasks say until the driver asks, and the signal that it has received."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, bytes]] = []
        self._signal = 0

    def put(self, index: int, message: bytes) -> None:
        self._kept.append((index, message))

    def take(self) -> list[tuple[int, bytes]]:
        kept, self._kept = self._kept, []
        return kept

    def signal(self, number: int) -> None:
        self._signal = number

    def received(self) -> int:
        return self._signal


def _task(payload: bytes, mail: Any, index: int, folder: str, num_threads: int) -> Failure | None:
    """What a worker does."""
    import ray

    os.chdir(folder)
    os.environ["OMP_NUM_THREADS"] = str(num_threads)  # nnlab.device.num_cores reads it
    import torch

    torch.set_num_threads(num_threads)
    work, job = pickle.loads(payload)
    over = threading.Event()

    def send(message: Any) -> None:
        mail.put.remote(index, pickle.dumps(message))

    def listen() -> None:
        told = 0
        while not over.wait(2 * TICK_S):
            number = ray.get(mail.received.remote())
            if number and not told:
                told = number
                _thread.interrupt_main(number)  # runs the handler in the main thread, as the signal itself would

    with Interrupt() as interrupt:
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            return attempt(work, job, send, interrupt)
        finally:
            over.set()
            listener.join(5)
            ray.get(mail.received.remote())  # behind everything that was put
