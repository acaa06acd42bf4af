"""Sends signals to trainings at chosen calls, one and two in a row, resumes them, and reads their events."""

import json
import random
import signal
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stress_driver import Driver, Strike
from stress_kills import CASES, COMMON, rows, weights

EPOCHS = 6
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 75, signal.SIGUSR2: 75, signal.SIGKILL: -9}
GRACEFUL = [number for number in CODES if number != signal.SIGKILL]
#: moment -> the call of a function before which the signal comes, and how often that is called at least
PLACES = {
    "start-up": ("nnlab.experiment:build", 1),
    "logger's start": ("nnlab.logger.tensorboard:module_graph", 1),
    "a step": ("nnlab.trainer.loop:train_step", 10),
    "evaluation": ("nnlab.trainer.evaluation:predict", EPOCHS),
    "fsync of a save": ("os:fsync", 40),
    "rename of a save": ("os:replace", 30),
    "manifest": ("nnlab.trainer.sinks:write_manifest", 4),
    "test metrics": ("nnlab.experiment:_test_metrics", 1),
    "arrays": ("nnlab.experiment:arrays_after", 1),
    "figures": ("nnlab.figure:png", 2),
    "summary": ("nnlab.one_run:print_summary", 1),
}
#: times that each signal comes at each moment; then the same with SIGKILL, and with two signals
ROUNDS = 1


class Moment(NamedTuple):
    """What a run gets: the first signal, the second one or None, and where."""

    name: str
    first: Strike
    second: Strike | None


def signals(folder: Path, seed: int = 0) -> bool:
    """End runs by signals and resume them; rows, weights and events must be those of a run that was left alone.

    Args:
        folder: an empty folder to work in.
        seed: of the moments.

    Returns:
        Whether all are.
    """
    outcomes: Counter[str] = Counter()
    with Driver(folder) as driver:
        wholes = {name: folder / f"whole_{number}" for number, name in enumerate(CASES)}
        for name, whole in wholes.items():
            ended = driver.run(*_words(whole, CASES[name]))
            assert ended.code == 0, ended.output
        for number, moment in enumerate(_moments(random.Random(seed))):
            name = list(CASES)[number % len(CASES)]
            outcome = judge(driver, _words(folder / f"run_{number}", CASES[name]), wholes[name], moment)
            outcomes[outcome] += 1
            if outcome != "good":
                print(f"  {moment}, {name}: {outcome}")
    print("signals: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    return set(outcomes) == {"good"}


def _words(folder: Path, words: list[str]) -> list[str]:
    return ["train", *COMMON, f"trainer.max_epochs={EPOCHS}", *words, f"hydra.run.dir={folder}"]


def _moments(chance: random.Random) -> list[Moment]:
    moments = []
    for name, (place, most) in PLACES.items():
        for number in [*GRACEFUL, signal.SIGKILL] * ROUNDS:
            moments.append(Moment(name, Strike(number, place, chance.randint(1, most)), None))
        for _ in range(ROUNDS):
            first, second = chance.choices(GRACEFUL, k=2)
            count = chance.randint(1, most)
            # The second one comes a few writes later, or at once where nothing is written.
            soon = chance.choice([Strike(second, place, count), Strike(second, "os:fsync", chance.randint(4, 40))])
            moments.append(Moment(f"{name}, twice", Strike(first, place, count), soon))
    return moments


def judge(driver: Driver, words: list[str], whole: Path, moment: Moment) -> str:
    """One run that is ended by signals, and its resumption.

    Args:
        driver: runs nnlab.
        words: what is trained; the last one names the folder.
        whole: the folder of the same training, left alone.
        moment: the signals.

    Returns:
        ``good``, or what is wrong.
    """
    folder = Path(words[-1].partition("=")[2])
    strikes = [strike for strike in (moment.first, moment.second) if strike is not None]
    ended = driver.run(*words, strikes=strikes)
    problem = _problem_of_ended(driver, folder, ended.code, ended.output, strikes)
    if problem:
        return f"{problem}\n{ended.output[-600:]}"
    again = driver.run("resume", str(folder)) if (folder / "run.json").exists() else driver.run(*words)
    if again.code != 0 or "Traceback" in again.output:
        return f"exit code {again.code} of the resumption\n{again.output[-600:]}"
    return difference(driver, folder, whole) or "good"


def _problem_of_ended(driver: Driver, folder: Path, code: int, output: str, strikes: list[Strike]) -> str | None:
    expected = {CODES[signal.Signals(strike.number)] for strike in strikes if f"struck {strike.number}\n" in output}
    if code not in (expected or {0}):
        return f"exit code {code}, expected {expected}"
    if "Traceback" in output:
        return "a traceback"
    if not (folder / "manifest.json").exists():
        return None
    verified = driver.run("verify", str(folder))
    if verified.code != 0:
        return f"a folder that is not whole: {verified.output}"
    ends_at_once = len(strikes) == 2 or strikes[0].number == signal.SIGKILL
    if not ends_at_once and list(folder.rglob("*.tmp")):
        return "temporary files are left"
    return None


def difference(driver: Driver, folder: Path, whole: Path) -> str | None:
    """What a resumed run has other than one that was left alone, or None.

    Args:
        driver: runs nnlab.
        folder: the folder of the resumed run.
        whole: that of the other one.
    """
    if rows(folder) != rows(whole):
        return "other rows"
    if weights(folder) != weights(whole):
        return "other weights"
    results = [json.loads((path / "result.json").read_text()) for path in (folder, whole)]
    keys = [key for key in ("status", "epochs", "steps", "test") if results[0][key] != results[1][key]]
    if keys:
        return f"another {', '.join(keys)}"
    for kind in ("figures", "arrays"):
        names = [sorted(file.name for file in (path / kind).glob("*")) for path in (folder, whole)]
        if names[0] != names[1]:
            return f"other {kind}: {names[0]}"
    if driver.run("verify", str(folder)).code != 0 or list(folder.rglob("*.tmp")):
        return "the resumed folder is not whole"
    return wrong_events(folder)


def wrong_events(folder: Path) -> str | None:
    """What TensorBoard's own reader finds in the events that ``metrics.csv`` does not have, or misses, or None."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    table = rows(folder)
    tags = [name for name in table[0] if "/" in name]
    for tag in tags:
        expected = [(int(row["step"]), float(row[tag])) for row in table]
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        if [step for step, _ in found] != [step for step, _ in expected]:
            return f"events of {tag} at steps {[step for step, _ in found]}, rows at {[step for step, _ in expected]}"
        # An event holds four bytes of the eight that a row has.
        if any(
            abs(value - wanted) > 1e-6 * abs(wanted) for (_, value), (_, wanted) in zip(found, expected, strict=True)
        ):
            return f"events of {tag} have other values"
    return None
