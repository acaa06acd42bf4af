"""``search.json``: what a search was asked, what its trials chose and came to. A resumed search goes by it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from nnlab.folder import SCHEMA_VERSION, FolderError, read_json, write_json

SEARCH_FILE = "search.json"

Direction = Literal["minimize", "maximize"]
State = Literal["completed", "left", "diverged", "failed"]
_STATES = ("completed", "left", "diverged", "failed")


@final
@dataclass(frozen=True)
class Trial:
    """One point of the space, and what it came to.

    Args:
        number: from 0.
        values: what was chosen, as typed, by key.
        objectives: what came of it where it was completed, or left.
        state: how it ended, or None while it is under way; ``left`` if it was not worth going on with.
    """

    number: int
    values: Mapping[str, str]
    objectives: tuple[float, ...] = ()
    state: State | None = None


@final
@dataclass(frozen=True)
class Head:
    """What a search goes by from its first trial to its last.

    Args:
        sampler: its name.
        seed: of the suggestions.
        space: what is chosen from, as typed, by key.
        metric: the objectives.
        direction: of each.
        batch_size: trials that are suggested together.
        num_seeds: runs of each trial.
        startup_trials: random ones before the sampler learns.
        options: what else it goes by, by name.
    """

    sampler: str
    seed: int
    space: Mapping[str, str]
    metric: tuple[str, ...]
    direction: tuple[Direction, ...]
    batch_size: int
    num_seeds: int
    startup_trials: int
    options: Mapping[str, int] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class RungRecord:
    """Trials that waited for one another.

    Args:
        bracket: theirs.
        step: that they were brought to, or to the evaluation that followed it.
        trials: their numbers, the best ones first.
        num_kept: how many of them went on.
    """

    bracket: int
    step: int
    trials: tuple[int, ...]
    num_kept: int


@final
@dataclass
class SearchRecord:
    """A search as far as it is known.

    Args:
        head: what it goes by.
        trials: that have ended, in the order of their numbers.
        batches: the sizes of the batches that were suggested, the one under way included.
        importances: of each key for each objective, where enough trials tell.
        best: the numbers of the best trials.
        rungs: where trials waited for one another, in this order.
        steps: optimizer steps of all runs, once it has ended; 0 where nobody has counted them.
    """

    head: Head
    trials: list[Trial] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    importances: list[dict[str, float]] = field(default_factory=list)
    best: list[int] = field(default_factory=list)
    rungs: list[RungRecord] = field(default_factory=list)
    steps: int = 0

    def write(self, folder: Path) -> None:
        """Write it as it is now.

        Args:
            folder: the sweep's.
        """
        content = {
            "schema_version": SCHEMA_VERSION,
            **asdict(self.head),
            "batches": self.batches,
            "best": self.best,
            "importances": self.importances,
            "steps": self.steps,
            "rungs": [asdict(rung) for rung in self.rungs],
            "trials": [asdict(trial) for trial in self.trials],
        }
        write_json(folder / SEARCH_FILE, content)


def read_search(folder: Path) -> SearchRecord:
    """Read ``search.json``, as if a stranger had written it.

    Args:
        folder: the sweep's.

    Raises:
        FolderError: if it is missing or damaged, or newer than this nnlab.
    """
    path = folder / SEARCH_FILE
    content = read_json(path)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise FolderError(f"{path}: schema_version: expected {SCHEMA_VERSION}, found {content.get('schema_version')!r}")
    try:
        head = Head(
            str(content["sampler"]),
            int(content["seed"]),
            {str(key): str(text) for key, text in content["space"].items()},
            tuple(map(str, content["metric"])),
            tuple(_one_of(word, ("minimize", "maximize")) for word in content["direction"]),
            int(content["batch_size"]),
            int(content["num_seeds"]),
            int(content["startup_trials"]),
            {str(key): int(value) for key, value in content["options"].items()},
        )
        trials = [_trial(place, one, head) for place, one in enumerate(content["trials"])]
        batches = [int(size) for size in content["batches"]]
        importances = [{str(key): float(x) for key, x in one.items()} for one in content["importances"]]
        best = [int(number) for number in content["best"]]
        rungs = [_rung(one) for one in content["rungs"]]
        steps = int(content["steps"])
        if min([head.batch_size, head.num_seeds, *batches]) < 1 or not set(best) <= set(range(len(trials))):
            raise ValueError("a number is out of its range")
        if len(head.metric) != len(head.direction) or not head.metric:
            raise ValueError("metric and direction do not agree")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FolderError(f"{path} is damaged ({type(error).__name__}: {error}); put it back from a copy") from None
    return SearchRecord(head, trials, batches, importances, best, rungs, steps)


def _rung(one: Mapping[str, Any]) -> RungRecord:
    numbers = tuple(int(number) for number in one["trials"])
    rung = RungRecord(int(one["bracket"]), int(one["step"]), numbers, int(one["num_kept"]))
    if not 0 <= rung.num_kept <= len(numbers) or len(set(numbers)) < len(numbers) or min(numbers, default=0) < 0:
        raise ValueError(f"a rung at step {rung.step}")
    return rung


def _trial(place: int, one: Mapping[str, Any], head: Head) -> Trial:
    trial = Trial(
        int(one["number"]),
        {str(key): str(text) for key, text in one["values"].items()},
        tuple(float(value) for value in one["objectives"]),
        _one_of(one["state"], _STATES),
    )
    size = len(head.metric) if trial.state in ("completed", "left") else 0
    if trial.number != place or len(trial.objectives) != size or not all(map(math.isfinite, trial.objectives)):
        raise ValueError(f"trial {place}")
    if set(trial.values) != set(head.space):
        raise ValueError(f"trial {place} has other keys than the space")
    return trial


def _one_of(word: Any, words: Sequence[str]) -> Any:
    if word not in words:
        raise ValueError(f"expected one of {', '.join(words)}, found {word!r}")
    return word


def head_differences(old: Head, new: Head) -> list[str]:
    """What two heads differ by.

    Args:
        old: the folder's.
        new: the command's.

    Returns:
        A sentence for each difference.
    """
    was, now = asdict(old), asdict(new)
    return [f"{key}: {was[key]} in the search, {now[key]} now" for key in was if was[key] != now[key]]
