"""Training what is not done of a plan: it begins, goes on exactly where it stopped, or is tried again."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, final

from rich.console import Console

from nnlab.experiment import Result
from nnlab.folder import RESULT_FILE, RUN_FILE, FolderError, read_json
from nnlab.resume import ENDED
from nnlab.run_record import read_record
from nnlab.sweep.crew import Crew, Processes
from nnlab.sweep.jobs import Jobs, plan_jobs
from nnlab.sweep.member_log import member_logs
from nnlab.sweep.plan import Plan, PlannedMember
from nnlab.sweep.progress import SweepProgress
from nnlab.sweep.rung import WHOLE, Rung
from nnlab.sweep.stack_store import FOLDER as STACKS
from nnlab.sweep.work import Todo, Working, lost
from nnlab.trainer.interrupt import ENDINGS, Interrupt


@final
@dataclass
class Outcome:
    """What a sweep came to.

    Args:
        results: of the members that have begun, those of earlier times too, in the order of their numbers.
        code: the exit code: 1 if a member failed, and that of the signal that ended the sweep.
    """

    results: list[Result] = field(default_factory=list)
    code: int = 0


def run_plan(
    plan: Plan,
    console: Console,
    plugins: Sequence[str],
    check: Callable[[Mapping[str, Any]], None] | None = None,
    crew: Crew | None = None,
    said: set[str] | None = None,
    rung: Rung = WHOLE,
) -> Outcome:
    """Bring the members of a plan to their ends. What happens to one changes nothing of another.

    Args:
        plan: frozen; the caller holds the sweep's lock.
        console: where to.
        plugins: packages that are granted; what the plan itself names counts for nothing.
        check: raises ConfigError for a config that may not be begun; None where the command itself has made the plan.
        crew: who trains them; None for processes of this machine.
        said: what was said of earlier batches of the same search, which is not said again, and gets what is said now.
        rung: how far members train before they are compared.

    Returns:
        What they came to. A signal ends what is under way, and nothing begins after it.
    """
    outcome, crew = Outcome(), crew or Processes()
    results = {member.number: result for member in plan.members if (result := _ended(member)) is not None}
    if results:
        _say(console, f"{len(results):,} of {len(plan.members):,} members are done already")
    members = tuple(member for member in plan.members if member.number not in results)
    with Interrupt() as interrupt:
        if members:
            done = [member for member in plan.members if member.number in results]
            stacked = [done[place] for place, width in _widths(done).items() if width > 1]
            jobs = plan_jobs(members, plugins, _widths(members), crew.num_workers, check, stacked)
            lines = [*(f"note: {note}" for note in jobs.notes), *lines_of(jobs, crew)]
            for line in [] if rung.leaves else lines if said is None else [line for line in lines if line not in said]:
                _say(console, line)
            if said is not None:
                said.update(lines)
            todo = Todo(plan.folder, members, tuple(plugins), check, time.strftime("%Y-%m-%d_%H-%M-%S"), rung)
            results |= _done(todo, jobs, crew, console, len(plan.members))
        outcome.results = [results[number] for number in sorted(results)]
        failed = any(result.status == "failed" for result in outcome.results)
        outcome.code = int(failed) if interrupt.received is None else ENDINGS[interrupt.received][1]
    if all(result.status in ENDED for result in outcome.results) and len(results) == len(plan.members):
        shutil.rmtree(plan.folder / STACKS, ignore_errors=True)  # what killed processes have left
    return outcome


def results_of(members: Sequence[PlannedMember]) -> dict[int, Result]:
    """What members came to that have begun, by their numbers.

    Args:
        members: any of a sweep.
    """
    found: dict[int, Result] = {}
    for member in members:
        with suppress(FolderError):
            result = _result(member)
            if result is not None:
                found[member.number] = result
    return found


def lines_of(jobs: Jobs, crew: Crew) -> list[str]:
    """What goes where and why, and who does it.

    Args:
        jobs: planned for the crew.
        crew: who does them.
    """
    line = crew.line(jobs.num_workers)
    return [*jobs.lines, *([line] if line is not None else [])]


def _done(todo: Todo, jobs: Jobs, crew: Crew, console: Console, num_members: int) -> dict[int, Result]:
    """Do the jobs; the results of their members by number."""
    results: dict[int, Result] = {}
    by_number = {member.number: member for member in todo.members}
    began: set[int] = set()
    with SweepProgress(console, num_members, num_members - len(todo.members)) as progress:

        def on_message(job: int, message: tuple[Any, ...]) -> None:
            kind, *rest = message
            if kind == "said":
                _say(console, rest[0])
                return
            number = rest[0]
            name = by_number[number].folder.name
            if kind == "began":
                began.add(number)
                progress.began(name)
            elif kind == "advanced":
                progress.advanced(name, rest[1])
            else:
                result = results[number] = rest[1]
                best = result.content["best"]
                metric = str(best.get("metric", ""))
                grows = metric.partition("/")[2] in result.content["greater_is_better"]
                progress.ended(name, result.status, metric, best.get("value"), grows)

        failures = crew.run(jobs.jobs, jobs.num_workers, Working(todo), on_message)
    with member_logs(partial(_say, console)) as logs:
        for index, text in failures.items():
            for member in (todo.members[place] for place in jobs.jobs[index].places):
                if member.number in began and member.number not in results:
                    with logs.of(member.folder):
                        results[member.number] = lost(member, f"{text}; the same command goes on with it")
    return results


def _widths(members: Sequence[PlannedMember]) -> dict[int, int]:
    """What members were begun with that have begun, by their places."""
    widths = {}
    for place, member in enumerate(members):
        if (member.folder / RUN_FILE).exists():
            try:
                widths[place] = read_record(member.folder).stack_width
            except FolderError:
                continue  # what is wrong with it is said when it is its turn
    return widths


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _ended(member: PlannedMember) -> Result | None:
    """What a member came to that has nothing left to do."""
    try:
        result = _result(member)
    except FolderError:
        return None  # what is wrong with it is said when it is its turn
    return result if result is not None and result.status in ENDED else None


def _result(member: PlannedMember) -> Result | None:
    """What ``result.json`` says, as far as it can be shown; None without one."""
    if not (member.folder / RESULT_FILE).exists():
        return None
    content = read_json(member.folder / RESULT_FILE)
    best, test = content.get("best"), content.get("test")
    is_best = isinstance(best, Mapping) and isinstance(best.get("metric"), str) and _is_number(best.get("value"))
    is_test = isinstance(test, Mapping) and all(map(_is_number, test.values()))
    return Result(member.folder, content | {"best": best if is_best else {}, "test": test if is_test else {}})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
