"""A search: batch by batch, trials are suggested, trained as members of a sweep, and learned from."""

from collections.abc import Iterator, Sequence
from typing import final

from nnlab.config import ConfigError
from nnlab.device import own_cores
from nnlab.experiment import Result
from nnlab.folder import FolderError
from nnlab.report.search_record import (
    Head,
    SearchRecord,
    Trial,
    head_differences,
    read_search,
)
from nnlab.resume import ENDED
from nnlab.sweep.asked import Asked
from nnlab.sweep.judging import best_of, came_to
from nnlab.sweep.launching import Launching
from nnlab.sweep.likeness import Likeness, likeness
from nnlab.sweep.plan import PLAN_FILE, read_plan
from nnlab.sweep.run_plan import results_of
from nnlab.sweep.space import Space
from nnlab.sweep.study import LEARNS_NOT, Study, check_sampler
from nnlab.sweep.study_copy import StudyCopy

#: batches that a search is divided into, at least: a sampler learns between them
LEAST_BATCHES = 10


@final
class Search:
    """One search.

    Args:
        asked: what for.
        space: what is chosen from.
        launching: trains members.

    Raises:
        ConfigError: for what no search can do.
    """

    def __init__(self, asked: Asked, space: Space, launching: Launching) -> None:
        asked.check()
        check_sampler(asked.sampler, space, max(1, len(asked.metric)))
        if asked.num_seeds > 1 and "seed" in space.dimensions:
            raise ConfigError("hydra.sweeper.num_seeds: seed is searched, so that it cannot be the replicates' too")
        self.asked = asked
        self.space = space
        self.launching = launching
        self.folder = launching.folder
        self._total = _total(asked, space)
        self._results: dict[int, Result] = {}
        # The two ends of every dimension tell what all trials have in common.
        self._samples = launching.planned(space.ends())

    def run(self) -> None:
        """Search until there are as many trials as were asked for, or a signal ends it.

        Raises:
            ConfigError: if a whole batch failed.
            FolderError: if the folder holds something else.
        """
        is_new = not (self.folder / PLAN_FILE).exists()
        head = self._head(None if is_new else read_search(self.folder).head)
        with self.launching.held():
            record = self._record(head)
            study = Study(record.head, self.space)
            copy = StudyCopy(
                study, self.folder, self.asked.storage, self.asked.study_name or self.folder.absolute().name
            )
            try:
                if self._finish(record, study, copy):
                    record.importances = study.importances(record.trials)
                    record.write(self.folder)
            finally:
                copy.close()
                self.launching.session.took([self._results[number] for number in sorted(self._results)])

    def _record(self, head: Head) -> SearchRecord:
        """What is known of the search; its file is there afterwards."""
        if not (self.folder / PLAN_FILE).exists():
            record = SearchRecord(head)
            record.write(self.folder)
            return record
        known = read_search(self.folder)
        found = head_differences(known.head, head)
        if found:
            raise FolderError(
                "\n  ".join(
                    [
                        f"{self.folder} already holds a search, and this command asks for another one:",
                        *found,
                        "the same command goes on with it; another hydra.sweep.dir starts a new search",
                    ]
                )
            )
        return known

    def _head(self, known: Head | None) -> Head:
        asked = self.asked
        metric, direction, size = asked.metric, asked.direction, asked.batch_size
        if known is not None:  # what a rule has chosen stays
            metric, direction, size = metric or known.metric, direction or known.direction, size or known.batch_size
        if not metric or not direction or not size:
            about = likeness(self._samples, self.launching.session.plugins)
            metric = metric or (about.monitor,)
            unknown = [name for name in metric if name not in about.columns]
            if unknown:
                raise ConfigError(
                    f"hydra.sweeper.metric: expected one of {', '.join(about.columns)}, found {', '.join(unknown)}"
                )
            direction = direction or tuple(about.direction(name) for name in metric)
            size = size or self._size(about)
        return Head(
            asked.sampler,
            asked.seed,
            self.space.typed,
            metric,
            direction,  # type: ignore[arg-type]
            size,
            asked.num_seeds,
            asked.startup_trials,
        )

    def _size(self, about: Likeness) -> int:
        """As many trials as are trained at a time, and few enough for a sampler to learn from."""
        if self.asked.sampler in LEARNS_NOT:
            return self._total
        workers = self.launching.crew.num_workers or own_cores()
        at_a_time = max(1, workers * about.width // self.asked.num_seeds)
        return min(at_a_time, max(workers, -(-self._total // LEAST_BATCHES)))

    def _next_size(self, record: SearchRecord) -> int:
        head, num = record.head, len(record.trials)
        # While a sampler draws at random, it learns nothing.
        startup = head.startup_trials - num if self.asked.batch_size is None else 0
        return min(max(head.batch_size, startup), self._total - num)

    def _finish(self, record: SearchRecord, study: Study, copy: StudyCopy) -> bool:
        """Do what is missing; whether all of it was done."""
        if record.trials:  # what is the same for all trials must be what it was
            self.launching.compare(list(self._overrides(record.trials[0], record.head.num_seeds)))
        first = 0
        for size in list(record.batches):
            known = record.trials[first : first + size]
            trials = known if len(known) == size else self._of_plan(first, size)
            first += size
            if not trials:
                record.batches.pop()  # it was never planned
                break
            study.repeat(trials)
            copy.begin(trials)
            if known:
                study.tell(known)
                copy.end(known)
                self._take_over(known)
            elif not self._train(record, study, copy, trials):
                return False
        while (size := self._next_size(record)) > 0:
            trials = study.ask(size)
            record.batches.append(size)
            record.write(self.folder)
            copy.begin(trials)
            if not self._train(record, study, copy, trials):
                return False
        return True

    def _train(self, record: SearchRecord, study: Study, copy: StudyCopy, trials: Sequence[Trial]) -> bool:
        """Train a batch and learn from it; False if a signal has ended it before."""
        num_seeds = record.head.num_seeds
        self._say(f"{_named(trials)} of {self._total:,}{_so_far(record)}")
        members = [words for trial in trials for words in self._overrides(trial, num_seeds)]
        first = trials[0].number * num_seeds
        results = self.launching.train(members, first)
        self._results |= {first + place: result for place, result in enumerate(results)}
        if len(results) < len(members) or any(one.status not in (*ENDED, "failed") for one in results):
            return False
        ended = [
            came_to(record.head, trial, results[place * num_seeds : (place + 1) * num_seeds])
            for place, trial in enumerate(trials)
        ]
        study.tell(ended)
        copy.end(ended)
        record.trials += ended
        record.best = best_of(record.head, record.trials)
        record.write(self.folder)
        if all(trial.state == "failed" for trial in ended):
            raise ConfigError(f"{_named(ended)}: all failed, which ends the search; their train.log says why")
        return True

    def _overrides(self, trial: Trial, num_seeds: int) -> Iterator[list[str]]:
        """The overrides of a trial's members."""
        words = [*self.space.fixed, *(f"{key}={text}" for key, text in trial.values.items())]
        if num_seeds == 1:
            yield words
            return
        first = int(self._samples[0].config["seed"])
        for seed in range(first, first + num_seeds):
            yield [*(word for word in words if word.partition("=")[0] != "seed"), f"seed={seed}"]

    def _of_plan(self, first: int, size: int) -> list[Trial]:
        """Trials that were planned and have not all ended; none if the plan does not know of them."""
        members = read_plan(self.folder).members[first * self.asked.num_seeds :: self.asked.num_seeds][:size]
        found = []
        for number, member in enumerate(members, first):
            typed = dict(word.partition("=")[::2] for word in member.overrides)
            if not set(self.space.dimensions) <= set(typed):
                raise FolderError(f"{self.folder / PLAN_FILE}: member {member.number} is no trial of this search")
            found.append(Trial(number, {key: typed[key] for key in self.space.dimensions}))
        return found

    def _take_over(self, trials: Sequence[Trial]) -> None:
        """Results of trials that have ended, for the tables at the end."""
        num_seeds = self.asked.num_seeds
        first, end = trials[0].number * num_seeds, (trials[-1].number + 1) * num_seeds
        self._results |= results_of(read_plan(self.folder).members[first:end])

    def _say(self, text: str) -> None:
        self.launching.session.say(text)


def _so_far(record: SearchRecord) -> str:
    if not record.best or len(record.head.metric) > 1:
        return ""
    trial = record.trials[record.best[0]]
    return f"; best so far {record.head.metric[0]} {trial.objectives[0]:.6g} (trial {trial.number})"


def _total(asked: Asked, space: Space) -> int:
    cells = space.num_cells if asked.sampler == "grid" else None
    if cells is None:
        assert asked.n_trials is not None
        return asked.n_trials
    return cells if asked.n_trials is None else min(cells, asked.n_trials)


def _named(trials: Sequence[Trial]) -> str:
    first, last = trials[0].number, trials[-1].number
    return f"trial {first}" if first == last else f"trials {first} to {last}"
