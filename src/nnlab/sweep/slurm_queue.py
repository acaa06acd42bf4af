"""What SLURM says of its jobs. It need keep no accounts for that, as ``sacct``, which submitit asks, would need."""

import subprocess
import time
from collections.abc import Sequence
from typing import final

#: seconds between two questions
LOOK_S = 5.0
#: seconds that an answer may take
LIMIT_S = 60.0
#: states in which a job has ended, under SLURM's names
_ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT",
}  # fmt: skip


@final
class SlurmQueue:
    """The queue, as far as this user's jobs go."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._asked_s = float("-inf")
        self._num_missed: dict[str, int] = {}

    def ended(self, job: str) -> str | None:
        """The state in which a job ended; None where it has not, as far as is known.

        Args:
            job: its id, as submitit writes it: ``12``, or ``12_3`` for one of an array.
        """
        if time.monotonic() - self._asked_s >= LOOK_S:
            self._ask()
        state = self._states.get(job)
        if state is not None:
            self._num_missed.pop(job, None)
            return state if state in _ENDED else None
        self._num_missed.setdefault(job, 0)
        # It may be too new to be listed, or have ended so long ago that it no longer is.
        return "no longer in the queue" if self._num_missed[job] > 2 else None

    def cancel_waiting(self, jobs: Sequence[str]) -> None:
        """Take jobs out of the queue that have not begun.

        Args:
            jobs: their ids; those that have begun go on.
        """
        if jobs:
            _answer(["scancel", "--state=PENDING", *jobs])

    def _ask(self) -> None:
        self._asked_s = time.monotonic()
        answer = _answer(["squeue", "--me", "--array", "--states=all", "--noheader", "--format=%i %T"])
        if answer is None:
            return
        found = [line.split() for line in answer.splitlines()]
        seen = {words[0]: words[1] for words in found if len(words) == 2}
        for job in self._num_missed.keys() - seen.keys():
            self._num_missed[job] += 1
        self._states = seen


def _answer(command: Sequence[str]) -> str | None:
    """What a command prints; None where SLURM does not answer, which passes."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
