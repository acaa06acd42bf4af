"""A sweep's jobs as jobs of submitit: processes of this machine, or SLURM's."""

import io
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from hydra.core.utils import env_override

from nnlab.config import ConfigError
from nnlab.device import own_cores
from nnlab.durable import make_room_for_files
from nnlab.experiment import Result
from nnlab.sweep.crew import Crew, OnMessage, own_paths
from nnlab.sweep.jobs import Job
from nnlab.sweep.ledger import Ledger
from nnlab.sweep.slurm_queue import SlurmQueue
from nnlab.sweep.submitit_asked import Slurm, SubmititAsked
from nnlab.sweep.submitit_task import END_FILE, Turn, letters_of, read_letters
from nnlab.sweep.work import Todo, Working
from nnlab.trainer.interrupt import Interrupt, signals_blocked
from nnlab.words import counted

#: in the sweep's folder; holds a folder for each time that jobs are submitted
FOLDER = ".submitit"
#: seconds between two looks for messages
TICK_S = 0.2
#: seconds for which the last messages of a job that has ended may be on their way through a network file system
PATIENCE_S = 10.0


@final
class SubmititCrew(Crew):
    """Jobs of submitit.

    Args:
        asked: what a job needs, and where.
    """

    def __init__(self, asked: SubmititAsked) -> None:
        self._asked = asked
        self.num_workers = asked.num_workers
        if asked.num_workers is None and asked.cpus_per_task > 1:
            self.num_workers = max(1, own_cores() // asked.cpus_per_task)

    def run(self, jobs: Sequence[Job], num_workers: int, work: Working, on_message: OnMessage) -> dict[int, str]:
        """See ``Crew``.

        Raises:
            ConfigError: if SLURM refuses the jobs.
        """
        folder = _own_folder(work.todo.folder)
        with Interrupt() as interrupt:
            turns = _Turns(self._asked, folder, jobs, work.todo, on_message)
            try:
                return turns.run(num_workers, interrupt)
            finally:
                turns.close()

    def line(self, num_workers: int) -> str | None:
        """See ``Crew``."""
        asked = self._asked
        needs = [counted(asked.cpus_per_task, "core")]
        needs += [counted(asked.gpus_per_node, "GPU")] if asked.gpus_per_node else []
        needs += [f"{asked.mem_gb:g} GB"] if asked.mem_gb is not None and asked.slurm is not None else []
        what = f"{counted(num_workers, 'job')} of {'submitit on this machine' if asked.slurm is None else 'SLURM'}"
        partition = f", partition {asked.slurm.partition}" if asked.slurm is not None and asked.slurm.partition else ""
        return f"as {what}, each with {', '.join(needs)} for {asked.timeout_min} min{partition}"


def _own_folder(sweep: Path) -> Path:
    """Where submitit's files go; what earlier processes have submitted is told to end."""
    folders = sweep.absolute() / FOLDER
    folders.mkdir(exist_ok=True)
    for earlier in folders.iterdir():
        if earlier.is_dir() and not (earlier / END_FILE).exists():
            tell(earlier, 15)
    folder = folders / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{os.getpid()}"
    number = 0
    while True:
        own = folder if number == 0 else folder.with_name(f"{folder.name}_{number}")
        with suppress(FileExistsError):
            own.mkdir()
            return own
        number += 1


def tell(folder: Path, number: int) -> None:
    """Ask all jobs that were submitted from a folder for the end.

    Args:
        folder: which.
        number: the signal that the sweep's own process received.
    """
    unfinished = folder / f"{END_FILE}.tmp"
    unfinished.write_text(f"{number}\n")
    unfinished.replace(folder / END_FILE)


@dataclass
class _Place:
    """A job of the queue.

    Args:
        number: of its turn.
        jobs: the numbers of the sweep's jobs that are not done, in order.
        job: submitit's.
    """

    number: int
    jobs: list[int]
    job: Any
    offset: int = 0
    at_work: bool = False
    under_way: int | None = None
    is_over: bool = False
    why: str = ""
    is_final: bool = False
    gone_s: float | None = field(default=None)


@final
class _Turns:
    """The jobs of one call of ``SubmititCrew.run``."""

    def __init__(
        self, asked: SubmititAsked, folder: Path, jobs: Sequence[Job], todo: Todo, on_message: OnMessage
    ) -> None:
        self._asked = asked
        self._folder = folder
        self._num_jobs = len(jobs)
        self._ledger = Ledger(todo, jobs, asked.max_retries, on_message)
        self._executor = _executor(asked, folder)
        self._queue = SlurmQueue() if asked.slurm is not None else None
        self._places: list[_Place] = []
        self._num_turns = 0
        self._failures: dict[int, str] = {}
        self._is_smooth = True

    def run(self, num_workers: int, interrupt: Interrupt) -> dict[int, str]:
        """See ``Crew.run``."""
        # The longest are first: dealt out like cards, all have about the same to do.
        self._submit([list(range(first, self._num_jobs, num_workers)) for first in range(num_workers)])
        is_told = False
        while self._places:
            if interrupt.received is not None and not is_told:
                is_told = True
                self._tell(interrupt.received)
            for place in list(self._places):
                self._hear(place)
                if place.is_over or self._is_gone(place, is_told):
                    self._places.remove(place)
                    self._end(place, is_told)
            if self._places:
                time.sleep(TICK_S)
        return self._failures

    def close(self) -> None:
        """Keep what somebody may want to read; and end what is left, which is something only after an error."""
        if self._places:
            self._tell(15)
        elif self._is_smooth and not self._failures:
            shutil.rmtree(self._folder, ignore_errors=True)
            with suppress(OSError):
                self._folder.parent.rmdir()
            return
        if not self._places:
            if not (self._folder / END_FILE).exists():
                tell(self._folder, 15)  # whatever of it may still be in the queue
            for pattern in ("*.pkl", "*.jsonl", ".submission_file_*"):
                for path in self._folder.glob(pattern):
                    path.unlink(missing_ok=True)

    def _submit(self, parts: Sequence[list[int]]) -> None:
        turns = []
        for part in parts:
            self._num_turns += 1
            jobs = tuple((index, *self._ledger.alone(index)) for index in part)
            folder, here = str(self._folder), str(Path.cwd())
            turns.append(Turn(jobs, folder, self._num_turns, here, self._asked.cpus_per_task))
        with _surroundings(self._asked.cpus_per_task):
            found = self._executor.submit_array(turns)
        for turn, part, job in zip(turns, parts, found, strict=True):
            self._places.append(_Place(turn.number, part, job))

    def _tell(self, number: int) -> None:
        """Ask all for the end; what still waits in the queue need not begin."""
        tell(self._folder, int(number))
        if self._queue is not None:
            waiting = [place for place in self._places if not place.at_work]
            self._queue.cancel_waiting([place.job.job_id for place in waiting])

    def _hear(self, place: _Place) -> None:
        letters, place.offset = read_letters(letters_of(self._folder, place.number), place.offset)
        for kind, *rest in letters:
            if kind == "at work":
                place.at_work, place.why = True, ""
            elif kind == "job":
                place.under_way = rest[0]
            elif kind == "did":
                self._did(place, *rest)
            elif kind == "over":
                place.is_over = True
            elif kind == "back":
                self._is_smooth = False
                if place.under_way is not None:
                    how = "is saved, and queued again"
                    self._ledger.say(place.under_way, f"its queue takes its place back ({rest[0]})", how)
            elif kind == "lost":
                place.why, place.is_over = rest[0], True
            elif kind == "ended for good":
                place.why, place.is_over, place.is_final = rest[0], True, True
            elif place.under_way is not None:
                if kind == "ended":
                    rest = [rest[0], Result(Path(), rest[1]["content"], rest[1]["signal"])]
                self._ledger.take(place.under_way, (kind, *rest))

    def _did(self, place: _Place, index: int, failure: Sequence[str] | None) -> None:
        place.under_way = None
        if index in place.jobs:
            place.jobs.remove(index)
        if failure is not None:
            self._failures[index] = self._ledger.failure(index, failure[0])

    def _is_gone(self, place: _Place, is_told: bool) -> bool:
        """Whether a job has ended, which it has not said."""
        if self._queue is None:
            if not place.job.done():
                return False
            self._hear(place)
            if not place.is_over:
                place.why = "its process died"
            return True
        state = self._queue.ended(place.job.job_id)
        if state is None:
            place.gone_s = None
            return False
        now = time.monotonic()
        place.gone_s = place.gone_s or now
        if now - place.gone_s < PATIENCE_S and not (is_told and not place.at_work):
            return False
        place.why = place.why or f"job {place.job.job_id} of SLURM ended: {state}"
        place.is_final = state == "CANCELLED"
        return True

    def _end(self, place: _Place, is_told: bool) -> None:
        if place.is_over and not place.why:
            return  # done, or told to end
        self._is_smooth = False
        if is_told:
            return
        again = list(place.jobs)
        at_fault = place.under_way if place.under_way in again else None
        if place.is_final:
            blamed, again = again, []
        elif at_fault is None:
            # Lost before its first job or between two: none is to blame, and each is charged so that it ends some day.
            blamed = [index for index in again if not self._ledger.begins_again(index, place.why)]
        else:
            blamed = [] if self._ledger.begins_again(at_fault, place.why) else [at_fault]
        for index in blamed:
            self._failures[index] = self._ledger.failure(index, place.why)
        again = [index for index in again if index not in blamed]
        if again:
            try:
                self._submit([again])
            except ConfigError as error:
                for index in again:
                    self._failures[index] = self._ledger.failure(index, "; ".join(error.problems))


@contextmanager
def _surroundings(num_threads: int) -> Iterator[None]:
    """While it lasts, whatever is submitted finds the packages that this process finds, and is deaf to its terminal.

    Raises:
        ConfigError: if SLURM refuses a job.
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    variables = {"OMP_NUM_THREADS": str(num_threads), "SUBMITIT_LOG_LEVEL": "INFO"}
    if own_paths():
        variables["PYTHONPATH"] = os.pathsep.join(own_paths())
    make_room_for_files(4)
    try:
        # submitit prints what sbatch says; Ctrl-C reaches all processes of a terminal, and only this one's word counts
        with env_override(variables), signals_blocked(signal.SIGINT), redirect_stderr(io.StringIO()):
            yield
    except (FailedJobError, FailedSubmissionError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"hydra/launcher=submitit_slurm: SLURM refuses the jobs: {text}") from None


def _executor(asked: SubmititAsked, folder: Path) -> Any:
    with env_override({"SUBMITIT_LOG_LEVEL": "NOCONFIG"}):  # else its import would close all handlers of logging
        import submitit
    common = {"timeout_min": asked.timeout_min, "gpus_per_node": asked.gpus_per_node}
    if asked.slurm is None:
        executor: Any = submitit.LocalExecutor(folder, max_num_timeout=asked.max_num_timeout)
        executor.update_parameters(**common, signal_delay_s=asked.signal_delay_s)
        return executor
    executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=asked.max_num_timeout)
    executor.update_parameters(
        **common,
        name=asked.name,
        cpus_per_task=asked.cpus_per_task,
        mem_gb=asked.mem_gb,
        slurm_signal_delay_s=asked.signal_delay_s,
        **_of_slurm(asked.slurm),
    )
    return executor


def _of_slurm(asked: Slurm) -> dict[str, Any]:
    return {
        "slurm_partition": asked.partition,
        "slurm_qos": asked.qos,
        "slurm_account": asked.account,
        "slurm_constraint": asked.constraint,
        "slurm_setup": None if asked.setup is None else list(asked.setup),
        "slurm_additional_parameters": None
        if asked.additional_parameters is None
        else dict(asked.additional_parameters),
    }
