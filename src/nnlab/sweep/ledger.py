"""What is known of jobs whose workers may be lost: what has begun and ended, and what is tried again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

from nnlab.sweep.crew import OnMessage
from nnlab.sweep.jobs import Job
from nnlab.sweep.plan import PlannedMember
from nnlab.sweep.work import Todo


@final
class Ledger:
    """Passes on what is said of members, each thing once, however often a job is begun.

    Args:
        todo: what all jobs have in common.
        jobs: all of them.
        max_retries: times that a job begins again whose worker was lost.
        on_message: takes what has not been said before.
    """

    def __init__(self, todo: Todo, jobs: Sequence[Job], max_retries: int, on_message: OnMessage) -> None:
        self._todo = todo
        self._jobs = jobs
        self._max_retries = max_retries
        self._on_message = on_message
        self._num_lost = [0] * len(jobs)
        self._why: list[str | None] = [None] * len(jobs)
        self._began: set[int] = set()
        self._ended: set[int] = set()

    def members(self, index: int) -> list[PlannedMember]:
        """Those of a job."""
        return [self._todo.members[place] for place in self._jobs[index].places]

    def alone(self, index: int) -> tuple[Todo, Job]:
        """A job with what it needs, and nothing of the others'."""
        members = self.members(index)
        own = replace(self._todo, members=tuple(members), note=self._why[index])
        return own, replace(self._jobs[index], places=tuple(range(len(members))))

    def ended(self, index: int) -> frozenset[int]:
        """The numbers of a job's members that have ended."""
        return frozenset(member.number for member in self.members(index) if member.number in self._ended)

    def num_lost(self, index: int) -> int:
        """How often a job's worker was lost."""
        return self._num_lost[index]

    def take(self, index: int, message: tuple[Any, ...]) -> None:
        """Pass a message on, if it is news."""
        kind, *rest = message
        known = {"began": self._began, "ended": self._ended}.get(kind)
        if known is not None:
            if rest[0] in known:
                return  # by a worker that was lost
            known.add(rest[0])
        if kind == "ended":
            folder = next(member.folder for member in self.members(index) if member.number == rest[0])
            message = (kind, rest[0], replace(rest[1], folder=folder))
        self._on_message(index, message)

    def begins_again(self, index: int, text: str, how: str = "goes on from what is saved") -> bool:
        """Whether a job whose worker was lost is tried again, which is said then.

        Args:
            index: which.
            text: what happened.
            how: what the job does now.
        """
        if self._num_lost[index] >= self._max_retries:
            return False
        self._num_lost[index] += 1
        self._why[index] = f"{text}; begun again, {self._num_lost[index]} of {self._max_retries} times"
        self.say(index, text, how)
        return True

    def say(self, index: int, text: str, how: str) -> None:
        """Say what happened to a job, if anything is left of it.

        Args:
            index: which.
            text: what happened.
            how: what the job does now.
        """
        left = [member for member in self.members(index) if member.number not in self._ended]
        if left:
            names = left[0].folder.name if len(left) == 1 else f"{len(left)} members from {left[0].folder.name} on"
            self._on_message(index, ("said", f"note: {names}: {text}; the job {how}"))

    def failure(self, index: int, text: str) -> str:
        """What is said of a job that is given up; its members have begun, and failed, wherever its worker came to."""
        for member in self.members(index):
            self.take(index, ("began", member.number))
        lost = self._num_lost[index]
        return text + (f", the last of {lost + 1} times (hydra.launcher.max_retries={lost})" if lost else "")
