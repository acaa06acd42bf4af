"""What a worker does: the members of one job, from their configs to their results."""

import copy
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from nnlab import experiment
from nnlab.callback.base import Callback, FitView
from nnlab.config import ConfigError
from nnlab.console import log_header
from nnlab.durable import durable_together, make_room_for_files
from nnlab.experiment import Result, refused
from nnlab.folder import RUN_FILE, FolderError
from nnlab.lock import RunLock
from nnlab.pointer import CHECKPOINTS, read_pointer
from nnlab.resume import prepare_again, read_request
from nnlab.rows import Rows
from nnlab.sweep.jobs import Job
from nnlab.sweep.member_log import MemberLogs, member_logs
from nnlab.sweep.plan import PlannedMember
from nnlab.sweep.rung import WHOLE, Rung
from nnlab.sweep.stack_store import StackStore, read_states
from nnlab.trainer import FitResult
from nnlab.trainer.fitting import Fitting
from nnlab.trainer.resume import Found, checked

log = logging.getLogger("nnlab")

#: takes what happens: ("began", number), ("advanced", number, fraction), ("ended", number, Result), ("said", text)
Send = Callable[[tuple[Any, ...]], None]
#: seconds between two words of a member on how far it is
TICK_S = 1.0


@final
@dataclass(frozen=True)
class Todo:
    """What all jobs of a sweep have in common.

    Args:
        folder: the sweep's.
        members: those to be trained.
        plugins: packages that are granted.
        check: raises ConfigError for a config that may not be begun; None where the command itself has made the plan.
        stamp: tells the stacks of this process's sweep from those of earlier ones.
        rung: how far members train before they are compared.
        note: what befell the job before, for the notes of members that go on.
    """

    folder: Path
    members: tuple[PlannedMember, ...]
    plugins: tuple[str, ...]
    check: Callable[[Mapping[str, Any]], None] | None
    stamp: str
    rung: Rung = WHOLE
    note: str | None = None


def work(todo: Todo, job: Job, send: Send) -> None:
    """Train the members of a job. What happens to one changes nothing of another.

    Args:
        todo: what all jobs have in common.
        job: which members.
        send: told of what happens.
    """
    make_room_for_files(4 * len(job.places))
    with member_logs(lambda text: send(("said", text))) as logs, ExitStack() as locks:
        if job.is_stack:
            locks.enter_context(durable_together(todo.folder))
        _Work(todo, [todo.members[place] for place in job.places], job, send, logs, locks).run()


@final
@dataclass(frozen=True)
class Working:
    """``work`` with what all jobs have in common; can be pickled.

    Args:
        todo: what they have in common.
    """

    todo: Todo

    def __call__(self, job: Job, send: Send) -> None:
        """Train the members of a job."""
        work(self.todo, job, send)


@final
class _Work:
    def __init__(
        self,
        todo: Todo,
        members: Sequence[PlannedMember],
        job: Job,
        send: Send,
        logs: MemberLogs,
        locks: ExitStack,
    ) -> None:
        self._todo = todo
        self._members = members
        self._width = max(2, len(members)) if job.is_stack else 1
        self._send = send
        self._logs = logs
        self._locks = locks
        self._shared = Rows()
        self._ready: list[tuple[PlannedMember, experiment.Member]] = []
        self._begun: set[int] = set()
        self._held: dict[int, RunLock] = {}

    def run(self) -> None:
        for member in self._members:
            self._send(("began", member.number))
            with self._logs.of(member.folder):
                result = self._prepare(member)
            if result is not None:
                self._end(member, result)
        if not self._ready:
            return
        store = None
        if self._width > 1:
            store = StackStore(self._todo.folder, f"{self._todo.stamp}_{self._members[0].number}")
        by_folder = {id(prepared): member for member, prepared in self._ready}

        def ended(prepared: experiment.Member) -> None:
            member = by_folder[id(prepared)]
            with self._logs.of(member.folder):
                result = _finished(prepared, member)
            self._end(member, result)

        def save(live: Mapping[int, Fitting]) -> None:
            assert store is not None
            store.save({self._ready[place][0].number: fitting for place, fitting in live.items()})

        experiment.fit(
            [prepared for _, prepared in self._ready],
            begun=self._begun,
            ended=ended,
            found=self._found(),
            save=save if store is not None else None,
        )
        if store is not None:
            store.delete()

    def _end(self, member: PlannedMember, result: Result) -> None:
        # Whoever wants to go on with it need not wait for the others.
        if member.number in self._held:
            self._held[member.number].release()
        self._send(("ended", member.number, result))

    def _prepare(self, member: PlannedMember) -> Result | None:
        """Build a member; a result if it cannot be begun."""
        try:
            member.folder.mkdir(exist_ok=True)
            lock = self._held[member.number] = self._locks.enter_context(RunLock(member.folder))
            try:
                prepared, is_begun = self._prepared(member)
            except FolderError:
                raise
            except Exception as error:
                return _refused(member, error)
        except FolderError as error:
            return lost(member, str(error))
        except OSError as error:
            return lost(member, f"{error.filename or member.folder} cannot be written: {error.strerror or error}")
        if lock.note:
            prepared.built.trainer.sinks.note(lock.note)
        log_header(prepared)
        prepared.built.trainer.watch(_Tick(member.number, self._send))
        rung = self._todo.rung
        prepared.pause_after, prepared.leave = rung.pauses.get(member.number), rung.leaves.get(member.number)
        if is_begun:
            self._begun.add(len(self._ready))
            if self._todo.note is not None:
                prepared.built.trainer.sinks.note(self._todo.note, logging.INFO)
        self._ready.append((member, prepared))
        return None

    def _prepared(self, member: PlannedMember) -> tuple[experiment.Member, bool]:
        """A member that is ready to fit, and whether it has begun before."""
        if (member.folder / RUN_FILE).exists():
            request = read_request(member.folder, [])
            return prepare_again(replace(request, plugins=self._todo.plugins)), True
        # Members share what is equal in their configs.
        config = copy.deepcopy({**member.config, "plugins": list(self._todo.plugins)})
        if self._todo.check is not None:
            self._todo.check(config)
        prepared = experiment.prepare(
            config,
            member.options,
            member.overrides,
            member.folder,
            member.name,
            shared=self._shared,
            stack_width=self._width,
        )
        return prepared, False

    def _found(self) -> dict[int, Found]:
        """Where members go on that an earlier stack has brought further than their own checkpoints."""
        found: dict[int, Found] = {}
        states = read_states(self._todo.folder) if self._begun else {}
        for place in self._begun:
            member, prepared = self._ready[place]
            if member.number not in states or states[member.number][1]["step"] < _own_step(member.folder):
                continue
            where, one = states[member.number]
            trainer = prepared.built.trainer
            try:
                found[place] = checked(
                    member.folder,
                    where,
                    int(one["step"]),
                    one["state"],
                    lambda step, one=one: one["best"],  # type: ignore[misc]
                    trainer.model,
                    trainer.optimizer,
                    [],
                )
            except (FolderError, KeyError, TypeError) as error:
                trainer.sinks.note(f"{error}; it goes on from its own checkpoint, or begins anew")
        return found


@final
class _Tick(Callback):
    """Says now and then how far a member is."""

    def __init__(self, number: int, send: Send) -> None:
        self._number = number
        self._send = send
        self._said_s = time.monotonic()

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """See ``Callback``."""
        now = time.monotonic()
        if now - self._said_s >= TICK_S:
            self._said_s = now
            self._send(("advanced", self._number, step / max(1, view.num_steps)))


def _finished(prepared: experiment.Member, member: PlannedMember) -> Result:
    try:
        return experiment.finish(prepared)
    except Exception as error:
        log.info("%s", traceback.format_exc())
        return lost(member, f"{type(error).__name__}: {error}; train.log has the traceback")


def _own_step(folder: Path) -> int:
    try:
        return read_pointer(folder / CHECKPOINTS / "last.json").step
    except FolderError:
        return -1


def _refused(member: PlannedMember, error: Exception) -> Result:
    problems = error.problems if isinstance(error, ConfigError) else (str(error),)
    if not isinstance(error, ValueError):
        log.info("%s", traceback.format_exc())
        problems = (f"{type(error).__name__}: {error}; train.log has the traceback",)
    if (member.folder / RUN_FILE).exists():
        return lost(member, "; ".join(problems))
    return refused(member.folder, member.name, problems)


def lost(member: PlannedMember, text: str) -> Result:
    """The result of a member in whose folder nothing can be written, or nothing may be.

    Args:
        member: which.
        text: what happened.
    """
    log.error("%s", text)
    content = FitResult("failed", text, 0, 0, 0.0, [], None, "").to_json(member.name) | {"error": text}
    return Result(member.folder, content)
