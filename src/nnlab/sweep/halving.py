"""Successive halving: all trials begin, the better ones of each rung go on from where they are, the others leave."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

from nnlab.config import ConfigError
from nnlab.experiment import Result
from nnlab.folder import FolderError
from nnlab.report.search_record import (
    SEARCH_FILE,
    Head,
    RungRecord,
    SearchRecord,
    Trial,
    head_differences,
    read_search,
)
from nnlab.resume import ENDED
from nnlab.sweep.asked import DIRECTIONS
from nnlab.sweep.candidates import candidates
from nnlab.sweep.judging import best_of, came_to
from nnlab.sweep.ladder import brackets, cost, kept, ladder
from nnlab.sweep.launching import Launching
from nnlab.sweep.likeness import likeness
from nnlab.sweep.plan import Plan, PlannedMember
from nnlab.sweep.run_plan import results_of
from nnlab.sweep.rung import Rung
from nnlab.sweep.space import Space
from nnlab.words import counted


@final
@dataclass(frozen=True)
class HalvingAsked:
    """What ``hydra.sweeper`` says of successive halving.

    Args:
        n_trials: random points of the space; None for all of them.
        reduction_factor: one of so many goes on at each rung, which is so many times as far as the one before.
        min_steps: optimizer steps of the first rung, at least; None for as few as an evaluation allows.
        brackets: 1 for successive halving; more begin at higher rungs with fewer trials, as in Hyperband.
        seed: of the random points.
        metric: what decides; None for ``trainer.monitor``.
        direction: of it; None for what the metric says of itself.
        num_seeds: runs of each trial, whose mean it comes to.
    """

    n_trials: int | None
    reduction_factor: int
    min_steps: int | None
    brackets: int
    seed: int
    metric: str | None
    direction: str | None
    num_seeds: int

    def check(self, space: Space) -> None:
        """Refuse what means nothing.

        Args:
            space: what is chosen from.

        Raises:
            ConfigError: with every problem.
        """
        least = {"n_trials": 2, "reduction_factor": 2, "min_steps": 1, "brackets": 1, "seed": 0, "num_seeds": 1}
        problems = [
            f"hydra.sweeper.{key}: expected at least {number}, found {getattr(self, key)}"
            for key, number in least.items()
            if getattr(self, key) is not None and getattr(self, key) < number
        ]
        if self.n_trials is None and space.num_cells is None:
            problems.append("hydra.sweeper.n_trials: expected how many points of an interval to try, found null")
        if self.direction is not None and self.direction not in DIRECTIONS:
            problems.append(f"hydra.sweeper.direction: expected minimize or maximize, found {self.direction!r}")
        if self.metric is not None and not self.metric.startswith(("train/", "valid/")):
            problems.append(f"hydra.sweeper.metric: expected train/… or valid/…, found {self.metric!r}")
        if self.num_seeds > 1 and "seed" in space.dimensions:
            problems.append("hydra.sweeper.num_seeds: seed is searched, so that it cannot be the replicates' too")
        if problems:
            raise ConfigError(*problems)


@final
class Halving:
    """One search by successive halving.

    Args:
        asked: what for.
        space: what is chosen from.
        launching: trains members.

    Raises:
        ConfigError: for what cannot be searched.
    """

    def __init__(self, asked: HalvingAsked, space: Space, launching: Launching) -> None:
        asked.check(space)
        self.asked = asked
        self.space = space
        self.launching = launching
        self.folder = launching.folder
        points = candidates(space, asked.n_trials, asked.seed)
        self.trials = [Trial(number, values) for number, values in enumerate(points)]
        samples = launching.planned(space.ends())
        self._seed = int(samples[0].config["seed"])
        self._about = likeness(samples, launching.session.plugins)
        metric = asked.metric or self._about.monitor
        if metric not in self._about.columns:
            raise ConfigError(f"hydra.sweeper.metric: expected one of {', '.join(self._about.columns)}, found {metric}")
        self.rungs = self._ladder()
        if asked.brackets > len(self.rungs):
            raise ConfigError(
                f"hydra.sweeper.brackets: expected at most {len(self.rungs)}, one for each rung "
                f"(steps {', '.join(map(str, self.rungs))}), found {asked.brackets}"
            )
        self.brackets = brackets(len(self.trials), len(self.rungs), asked.brackets, asked.reduction_factor)
        direction = asked.direction or self._about.direction(metric)
        self.head = Head(
            "halving",
            asked.seed,
            space.typed,
            (metric,),
            (direction,),  # type: ignore[arg-type]
            len(self.trials),
            asked.num_seeds,
            0,
            {
                "reduction_factor": asked.reduction_factor,
                "brackets": asked.brackets,
                "min_steps": self.rungs[0],
                "num_steps": self.rungs[-1],
            },
        )

    def run(self) -> None:
        """Bring the best trials to their ends, unless a signal ends it before.

        Raises:
            FolderError: if the folder holds something else.
        """
        with self.launching.held():
            plan = self.launching.freeze([words for trial in self.trials for words in self._overrides(trial)])
            record = self._record()
            self._say_plan()
            try:
                while waiting := self._waiting(record):
                    if not self._climb(plan, record, waiting):
                        return
                self._conclude(plan, record)
            finally:
                results = results_of(plan.members)
                self.launching.session.took([results[number] for number in sorted(results)])

    def _ladder(self) -> list[int]:
        least = max(self._about.steps_between, self.asked.min_steps or 1)
        # More rungs than there are trials to leave decide nothing.
        most, left = 1, len(self.trials)
        while left > 1:
            most, left = most + 1, left // self.asked.reduction_factor
        found = ladder(self._about.steps, least, self.asked.reduction_factor, most)
        if len(found) < 2:
            raise ConfigError(
                f"hydra/sweeper=halving: a whole training is {self._about.steps:,} steps, and {least:,} the fewest to "
                f"compare after: there is no rung between them; trainer.max_epochs, trainer.eval_every or "
                "hydra.sweeper.min_steps makes one"
            )
        return found

    def _record(self) -> SearchRecord:
        if not (self.folder / SEARCH_FILE).exists():
            record = SearchRecord(self.head)
            record.write(self.folder)
            return record
        record = read_search(self.folder)
        found = head_differences(record.head, self.head)
        if found:
            raise FolderError("\n  ".join([f"{self.folder} already holds another search:", *found]))
        return record

    def _waiting(self, record: SearchRecord) -> dict[int, tuple[int, list[int]]]:
        """For each bracket that is not done, the place of its next rung and the trials that climb to it."""
        waiting = {}
        for bracket, numbers in enumerate(self.brackets):
            done = [rung for rung in record.rungs if rung.bracket == bracket]
            place = bracket + len(done)
            live = list(done[-1].trials[: done[-1].num_kept]) if done else numbers
            if place < len(self.rungs) and live:
                waiting[bracket] = (place, live)
        return waiting

    def _climb(self, plan: Plan, record: SearchRecord, waiting: dict[int, tuple[int, list[int]]]) -> bool:
        """Bring the live trials of every bracket to their next rung; False if a signal came before."""
        self._leave(plan, record)
        pauses, live = {}, []
        for place, numbers in waiting.values():
            step = self.rungs[place]
            self._say(f"rung {place + 1} of {len(self.rungs)}: {counted(len(numbers), 'trial')} to step {step:,}")
            for member in self._members(plan, numbers):
                live.append(member)
                if place + 1 < len(self.rungs):
                    pauses[member.number] = step
        results = results_of(live)
        missing = [member for member in live if not _is_there(results.get(member.number), pauses.get(member.number))]
        if missing:
            self._train(plan, missing, Rung(pauses))
            results = results_of(live)
        if any(not _is_there(results.get(member.number), pauses.get(member.number)) for member in live):
            return False
        for bracket, (place, numbers) in waiting.items():
            self._decide(record, bracket, place, numbers, results)
        record.write(self.folder)
        return True

    def _decide(
        self, record: SearchRecord, bracket: int, place: int, numbers: Sequence[int], results: dict[int, Result]
    ) -> None:
        """Rank the trials of a rung, and note who goes on."""
        sign = 1 if self.head.direction[0] == "minimize" else -1
        values: dict[int, float] = {}
        for number in numbers:
            trial = came_to(self.head, self.trials[number], self._results(number, results))
            values[number] = sign * trial.objectives[0] if trial.objectives else float("inf")
        ranked = sorted(numbers, key=lambda number: (values[number], number))
        is_last = place + 1 == len(self.rungs)
        num_kept = len(ranked) if is_last else kept(len(ranked), self.asked.reduction_factor)
        record.rungs.append(RungRecord(bracket, self.rungs[place], tuple(ranked), num_kept))

    def _leave(self, plan: Plan, record: SearchRecord) -> None:
        """Bring those to their ends that train no further: their test metrics are those of their best epochs."""
        leaves = {}
        for rung in record.rungs:
            for place, number in enumerate(rung.trials[rung.num_kept :], rung.num_kept + 1):
                for member in self._members(plan, [number]):
                    leaves[member.number] = f"left by halving at step {rung.step}: {place} of {len(rung.trials)} there"
        results = results_of([plan.members[number] for number in leaves])
        missing = [plan.members[number] for number, one in results.items() if one.status not in (*ENDED, "failed")]
        if missing:
            self._train(plan, missing, Rung(leaves=leaves))

    def _conclude(self, plan: Plan, record: SearchRecord) -> None:
        self._leave(plan, record)
        results = results_of(plan.members)
        last = {number for rung in record.rungs if rung.step == self.rungs[-1] for number in rung.trials}
        record.trials = []
        for trial in self.trials:
            ended = came_to(self.head, trial, self._results(trial.number, results))
            is_left = ended.state == "completed" and trial.number not in last
            record.trials.append(replace(ended, state="left") if is_left else ended)
        record.batches = [len(self.trials)]
        record.steps = sum(int(one.content["steps"]) for one in results.values())
        record.best = best_of(self.head, record.trials)
        record.write(self.folder)

    def _train(self, plan: Plan, members: Sequence[PlannedMember], rung: Rung) -> None:
        batch = Plan(plan.folder, plan.command, tuple(members))
        self.launching.session.sweep(batch, self.launching.crew, rung)

    def _say_plan(self) -> None:
        whole = len(self.trials) * self.rungs[-1]
        share = cost(self.brackets, self.rungs, self.asked.reduction_factor) / whole
        sizes = ", ".join(str(len(one)) for one in self.brackets)
        shape = f" in brackets of {sizes}" if len(self.brackets) > 1 else ""
        self._say(
            f"{len(self.trials)} trials{shape}, rungs at steps {', '.join(f'{step:,}' for step in self.rungs)}: about "
            f"{share:.0%} of the steps of training all"
        )

    def _members(self, plan: Plan, numbers: Sequence[int]) -> Iterator[PlannedMember]:
        for number in numbers:
            first = number * self.asked.num_seeds
            yield from plan.members[first : first + self.asked.num_seeds]

    def _results(self, number: int, results: dict[int, Result]) -> list[Result]:
        first = number * self.asked.num_seeds
        return [results[place] for place in range(first, first + self.asked.num_seeds)]

    def _overrides(self, trial: Trial) -> Iterator[list[str]]:
        words = [*self.space.fixed, *(f"{key}={text}" for key, text in trial.values.items())]
        if self.asked.num_seeds == 1:
            yield words
            return
        for seed in range(self._seed, self._seed + self.asked.num_seeds):
            yield [*(word for word in words if word.partition("=")[0] != "seed"), f"seed={seed}"]

    def _say(self, text: str) -> None:
        self.launching.session.say(text)


def _is_there(result: Result | None, pause: int | None) -> bool:
    """Whether a member has come to a rung, or to its end."""
    if result is None:
        return False
    if result.status in (*ENDED, "failed"):
        return True
    return pause is not None and result.status == "preempted" and int(result.content["steps"]) >= pause
