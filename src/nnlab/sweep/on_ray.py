"""A sweep's jobs as tasks of Ray: one whose worker or node is lost begins again from what its members have saved."""

import logging
import math
import pickle
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import ray
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nnlab.config import ConfigError
from nnlab.folder import FolderError
from nnlab.sweep.carried import packed, unpack
from nnlab.sweep.crew import Crew, OnMessage
from nnlab.sweep.jobs import Job
from nnlab.sweep.ledger import Ledger
from nnlab.sweep.ray_asked import RayAsked, surroundings
from nnlab.sweep.ray_cluster import Cluster
from nnlab.sweep.ray_mailbox import Mailbox
from nnlab.sweep.ray_task import Order, Report, perform, stacks_of
from nnlab.sweep.stack_store import FOLDER as STACKS
from nnlab.sweep.work import Todo, Working
from nnlab.trainer.interrupt import Interrupt

log = logging.getLogger("nnlab")

#: seconds after which signals and messages are looked for
TICK_S = 0.2
#: seconds after a signal for tasks that have not begun to be told that they need not
GRACE_S = 5.0
#: what befell a task that is not to blame for it -> what is said of that
_LOST: dict[type[RayError], str] = {
    OutOfMemoryError: "Ray ended its worker process, as the memory of its node ran out",
    NodeDiedError: "its node was lost",
    LocalRayletDiedError: "its node was lost",
    WorkerCrashedError: "its worker process died, or its node was lost",
    ObjectLostError: "its node was lost",
}


@final
class RayCrew(Crew):
    """Tasks of Ray.

    Args:
        asked: what a task needs, and where.
        environment: variables that tasks find, by name.

    Raises:
        ConfigError: if no cluster answers, or none of its nodes has what a task needs.
    """

    def __init__(self, asked: RayAsked, environment: Mapping[str, str]) -> None:
        self._asked = asked
        self._environment = environment
        self._cluster = Cluster(asked)
        try:
            room = self._cluster.room()
        except ConfigError:
            self._cluster.close()
            raise
        self.num_workers = room if asked.num_workers is None else asked.num_workers

    def run(self, jobs: Sequence[Job], num_workers: int, work: Working, on_message: OnMessage) -> dict[int, str]:
        """See ``Crew``."""
        self._cluster.connect()
        with Interrupt() as interrupt:
            tasks = _Tasks(self._asked, self._environment, jobs, work.todo, on_message)
            try:
                return tasks.run(num_workers, interrupt)
            finally:
                tasks.close()

    def line(self, num_workers: int) -> str | None:
        """See ``Crew``."""
        needs = ", ".join(f"{amount:g} {name}" for name, amount in self._asked.needs.items())
        where = "a cluster on this machine" if self._asked.address is None else f"Ray at {self._asked.address}"
        return f"as tasks of Ray, {num_workers} at a time, each with {needs or 'nothing reserved'}, on {where}"

    def close(self) -> None:
        """See ``Crew``."""
        self._cluster.close()


@final
class _Tasks:
    """The jobs of one call of ``RayCrew.run``."""

    def __init__(
        self,
        asked: RayAsked,
        environment: Mapping[str, str],
        jobs: Sequence[Job],
        todo: Todo,
        on_message: OnMessage,
    ) -> None:
        self._asked = asked
        self._num_jobs = len(jobs)
        self._todo = todo
        self._on_message = on_message
        self._ledger = Ledger(todo, jobs, asked.max_retries, on_message)
        self._runtime_env = surroundings(asked, environment)
        self._task = ray.remote(perform).options(
            num_cpus=asked.num_cpus,
            num_gpus=asked.num_gpus,
            resources=dict(asked.resources or {}) or None,
            max_retries=0,  # Ray would begin again without a word, and without limit where memory runs out
            runtime_env=self._runtime_env,
        )
        # Beside this process: it is lost only with the sweep itself.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox: Any = (
            ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here, runtime_env=self._runtime_env).remote()
        )
        self._how = "goes on from what is saved" if asked.shared_folder else "begins again from what this machine has"
        self._first = self._mailbox.told.remote()
        self._is_up = False
        self._under_way: dict[Any, tuple[int, int]] = {}  # a task's reference -> its number, and its job's
        self._at_work: set[int] = set()  # numbers of tasks that have begun
        self._num_tasks = 0

    def run(self, num_workers: int, interrupt: Interrupt) -> dict[int, str]:
        """See ``Crew.run``."""
        failures: dict[int, str] = {}
        try:
            self._run(num_workers, interrupt, failures)
        except RayActorError as error:
            text = f"the cluster was lost ({' '.join(str(error).split())[:300]})"
            failures |= {index: self._ledger.failure(index, text) for _, index in self._under_way.values()}
            self._under_way.clear()
        return failures

    def _run(self, num_workers: int, interrupt: Interrupt, failures: dict[int, str]) -> None:
        waiting = deque(range(self._num_jobs))
        is_told, patience_until = False, math.inf
        while True:
            if interrupt.received is not None and not is_told:
                is_told, patience_until = True, time.monotonic() + GRACE_S
                waiting.clear()
                self._tell(interrupt.received)
            if time.monotonic() > patience_until:  # Ray may look for workers that it cannot start
                self._under_way = {ref: task for ref, task in self._under_way.items() if task[0] in self._at_work}
            while waiting and len(self._under_way) < num_workers:
                self._begin(waiting.popleft())
            if not self._under_way:
                return
            ready, _ = ray.wait(list(self._under_way), num_returns=1, timeout=TICK_S)
            self._hear()
            for reference in ready:
                number, index = self._under_way.pop(reference)
                text, is_lost = self._outcome(reference, index)
                if is_lost and not is_told and self._ledger.begins_again(index, text, self._how):
                    waiting.appendleft(index)
                elif text and not (is_told and number not in self._at_work):
                    failures[index] = self._ledger.failure(index, text)

    def close(self) -> None:
        """End what is left, which is something only where an error ends all this."""
        with suppress(RayError):
            for reference in self._under_way:
                ray.cancel(reference, force=True)
            ray.kill(self._mailbox)

    def _begin(self, index: int) -> None:
        own, job = self._ledger.alone(index)
        names = [STACKS, *(member.folder.name for member in own.members)]
        self._num_tasks += 1
        order = Order(
            self._num_tasks,
            own,
            job,
            self._ledger.ended(index),
            str(Path.cwd()),
            self._asked.num_threads,
            None if self._asked.shared_folder else packed(self._todo.folder, names),
        )
        self._under_way[self._task.remote(order, self._mailbox)] = (self._num_tasks, index)

    def _tell(self, number: int) -> None:
        """Ask all tasks for the end; those that still wait for a place need not begin."""
        self._hear()
        self._mailbox.tell.remote(int(number))
        for reference, (task, _) in self._under_way.items():
            if task not in self._at_work:
                ray.cancel(reference)

    def _hear(self) -> None:
        """Pass on what tasks have sent. What a lost one sends later is not heard: another one is at its job."""
        if not self._is_up:
            # Until it is there, no task has said anything, and it may never come.
            self._is_up = bool(ray.wait([self._first], timeout=0)[0])
            if not self._is_up:
                return
        jobs = dict(self._under_way.values())
        for task, letter in ray.get(self._mailbox.take.remote()):
            if task in jobs:
                self._take(task, jobs[task], pickle.loads(letter))

    def _take(self, task: int, index: int, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        if kind == "at work":
            self._at_work.add(task)
            return
        if kind == "files":
            folder = next(member.folder for member in self._ledger.members(index) if member.number == rest[0])
            self._unpack(rest[1], index, [folder.name])
            return
        self._ledger.take(index, message)

    def _outcome(self, reference: Any, index: int) -> tuple[str, bool]:
        """What became of a task that has ended, nothing if it ended well; and whether it was lost."""
        try:
            report: Report = ray.get(reference)
        except tuple(_LOST) as error:
            log.info("job %d: %s", index, error)
            return next(text for kind, text in _LOST.items() if isinstance(error, kind)), True
        except TaskCancelledError:
            return "its task was cancelled", False
        except RayTaskError as error:
            log.info("job %d: %s", index, error)
            lines = str(error.cause or error).strip().splitlines()
            return f"its task could not be done: {lines[-1] if lines else type(error).__name__}", False
        except RayError as error:
            return f"its task could not be done: {' '.join(str(error).split())[:300]}", False
        if report.folders is not None:
            own, _ = self._ledger.alone(index)
            ended = self._ledger.ended(index)
            names = [member.folder.name for member in own.members if member.number not in ended]
            self._unpack(report.folders, index, [*names, *stacks_of(own)])
        if report.failure is None:
            return "", False
        sentence, trace = report.failure
        if trace:
            log.info("job %d: %s", index, trace)
        return sentence, False

    def _unpack(self, payload: bytes, index: int, names: Sequence[str]) -> None:
        try:
            unpack(payload, self._todo.folder, names)
        except FolderError as error:
            self._on_message(index, ("said", f"ERROR: {error}"))
        except OSError as error:
            where = error.filename or self._todo.folder
            self._on_message(index, ("said", f"ERROR: {where} cannot be written: {error.strerror or error}"))
