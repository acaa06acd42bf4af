"""A job that may have been begun before, by a worker that was lost: what of it has ended stays, the rest goes on."""

import time
from collections.abc import Set
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nnlab.experiment import Result
from nnlab.folder import FolderError
from nnlab.lock import is_locked
from nnlab.resume import ENDED
from nnlab.sweep.jobs import Job
from nnlab.sweep.run_plan import results_of
from nnlab.sweep.work import Send, Todo, work

#: seconds for which a job that begins again waits for a lost worker to be really gone
GONE_S = 60.0


def go_on(todo: Todo, job: Job, send: Send, ended: Set[int] = frozenset()) -> None:
    """Train those members of a job that have not ended, once nobody else is at them.

    Args:
        todo: what all jobs have in common.
        job: which members.
        send: told of what happens, and of what was not told before.
        ended: the numbers of members that are known to have ended.
    """
    members = [todo.members[place] for place in job.places]
    deadline = time.monotonic() + GONE_S
    while any(_is_held(member.folder) for member in members) and time.monotonic() < deadline:
        time.sleep(0.1)  # after that, the lock says who is at work
    # A worker may be lost between the last file of a member and the word that it has ended.
    found = results_of([member for member in members if member.number not in ended])
    done = {number: result for number, result in found.items() if _is_done(todo, number, result)}
    for number, result in done.items():
        send(("began", number))
        send(("ended", number, result))
    skipped = ended | done.keys()
    places = tuple(place for place in job.places if todo.members[place].number not in skipped)
    if places:
        work(todo, replace(job, places=places), send)


def _is_done(todo: Todo, number: int, result: Result) -> bool:
    pause = todo.rung.pauses.get(number)
    is_paused = pause is not None and result.status == "preempted" and int(result.content["steps"]) >= pause
    return result.status in ENDED or is_paused


def _is_held(folder: Path) -> bool:
    with suppress(FolderError):
        return folder.is_dir() and is_locked(folder)
    return False
