"""Kills sweeps at chosen calls, goes on with them, and compares every member with that of a sweep left alone."""

import json
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from stress_driver import Driver, Ended, Strike
from stress_kills import rows, weights

COMMON = ["data=moons", "data.num_train=120", "data.num_valid=60", "data.num_test=60", "trainer.threads=1"]
COMMON += ["model.dropout=0.1", "optim.lr=0.02", "trainer.max_epochs=12", "trainer.eval_every=3", "figures=[]"]
COMMON += ["trainer.checkpoint_every=10"]
#: 24 members: four in a stack for each width, and as many alone, since bf16 does not stack
SWEEP = [*COMMON, "model.width=4,5,6", "trainer.precision=fp32,bf16", "optim=sgd,adam", "seed=0,1"]
#: moment -> the call of a function before which a process is killed, and how often the sweep comes to it at least
PLACES = {
    "the plan": ("nnlab.sweep.plan:write_atomic", 1),
    "building": ("nnlab.experiment:build", 24),
    "any file": ("os:replace", 250),
    "a stack's state": ("nnlab.sweep.stack_store:sync_file_system", 12),
    "finishing": ("nnlab.experiment:_test_metrics", 24),
    "a manifest": ("nnlab.trainer.sinks:write_manifest", 40),
    "the comparison": ("nnlab.report.conclusion:find", 1),
}
#: the same with two workers: what is killed is one of them, or, while it waits for their news, what has started them
PLACES_OF_TWO = {
    "building, in a worker": ("nnlab.experiment:build", 5),
    "a stack's state, in a worker": ("nnlab.sweep.stack_store:sync_file_system", 3),
    "finishing, in a worker": ("nnlab.experiment:_test_metrics", 5),
    "waiting for workers": ("nnlab.sweep.workers:wait", 40),
}
#: files that change when a member is trained or written once more
STAMPED = ("run.json", "result.json", "metrics.csv", "checkpoints/last.json")


def sweeps(folder: Path, num_kills: int = 20, seed: int = 0) -> bool:
    """Kill sweeps and bring them to their ends.

    Args:
        folder: an empty folder to work in.
        num_kills: how many.
        seed: of the moments.

    Returns:
        Whether every member is what it is without kills.
    """
    outcomes: Counter[str] = Counter()
    chance = random.Random(seed)
    with Driver(folder) as driver:
        whole = folder / "whole"
        ended = driver.run(*words_of(SWEEP, whole))
        assert ended.code == 0, ended.output
        for number in range(num_kills):
            num_workers = chance.choice([1, 2])
            name, (place, most) = chance.choice(list((PLACES if num_workers == 1 else PLACES_OF_TWO).items()))
            strike = Strike(signal.SIGKILL, place, chance.randint(1, most))
            words = [*SWEEP, f"hydra.launcher.num_workers={num_workers}"]
            outcome = judge(driver, folder / f"sweep_{number}", words, [strike], whole, by_resume=number % 2 == 1)
            outcomes["good" if outcome == "good" else "bad"] += 1
            if outcome != "good":
                print(f"  {name}, {strike}: {outcome}")
            else:
                shutil.rmtree(folder / f"sweep_{number}")
    print("sweeps: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    return set(outcomes) == {"good"}


def words_of(words: Sequence[str], folder: Path) -> list[str]:
    """What is typed for a sweep.

    Args:
        words: overrides.
        folder: the sweep's.
    """
    return ["train", "-m", *words, f"hydra.sweep.dir={folder}"]


def judge(
    driver: Driver,
    folder: Path,
    words: Sequence[str],
    strikes: Sequence[Strike],
    whole: Path,
    by_resume: bool,
    look: Callable[[Ended], None] = lambda ended: None,
) -> str:
    """One sweep that is ended by signals, and the rest of it.

    Args:
        driver: runs nnlab.
        folder: the sweep's, new.
        words: its overrides.
        strikes: the signals that end it.
        whole: the folder of the same sweep, left alone.
        by_resume: whether `nnlab resume` goes on with it, if there is a plan, rather than the same command.
        look: called between the two.

    Returns:
        ``good``, or what is wrong.
    """
    ended = driver.run(*words_of(words, folder), strikes=strikes)
    if not any(f"struck {strike.number}\n" in ended.output for strike in strikes):
        return f"no signal came: {ended.output[-300:]}"
    look(ended)
    done = {path: stamps(path) for path in folder.glob("*/") if status_of(path) == "completed"}
    begun = [path for path in folder.glob("*/") if (path / "run.json").exists() and path not in done]
    again = go_on(driver, folder, words, by_resume)
    if again.code != 0 or "Traceback" in again.output:
        return f"exit code {again.code} of what goes on\n{again.output[-900:]}"
    twice = [path.name for path in done if stamps(path) != done[path]]
    if twice:
        return f"done already, and touched once more: {twice}"
    for path in begun:
        history = json.loads((path / "run.json").read_text())["history"]
        if len(history) != 1:
            return f"{path.name} was begun and has the history {history}"
    for path in done:
        (path / ".lock").unlink(
            missing_ok=True
        )  # killed just before it was taken away: nobody holds it, or comes again
    return difference(driver, folder, whole) or "good"


def go_on(driver: Driver, folder: Path, words: Sequence[str], by_resume: bool) -> Ended:
    """Go on with a sweep that has ended early.

    Args:
        driver: runs nnlab.
        folder: the sweep's.
        words: its overrides.
        by_resume: as for ``judge``.
    """
    if by_resume and (folder / "plan.json").exists():
        return driver.run("resume", str(folder))
    return driver.run(*words_of(words, folder))


def difference(driver: Driver, folder: Path, whole: Path) -> str | None:
    """What a sweep has other than one that was left alone, or None.

    Args:
        driver: runs nnlab.
        folder: the sweep's.
        whole: the other's.
    """
    names = [sorted(path.parent.name for path in sweep.glob("*/run.json")) for sweep in (folder, whole)]
    if names[0] != names[1]:
        return f"other members: {names[0]}"
    left = [path for pattern in ("stacks", "*.tmp", ".lock") for path in folder.rglob(pattern)]
    if left:
        return f"left over: {', '.join(str(path.relative_to(folder)) for path in left)}"
    if not (folder / "comparison.html").exists():
        return "no comparison"
    for name in names[0]:
        one, other = folder / name, whole / name
        if status_of(one) != status_of(other):
            return f"{name}: {status_of(one)}"
        if rows(one) != rows(other):
            return f"{name}: other rows"
        if weights(one) != weights(other):
            return f"{name}: other weights"
        verified = driver.run("verify", str(one))
        if verified.code != 0:
            return f"{name} is not whole: {verified.output}"
    return None


def status_of(member: Path) -> str | None:
    """What ``result.json`` says, or None without one."""
    path = member / "result.json"
    return str(json.loads(path.read_text())["status"]) if path.exists() else None


def stamps(member: Path) -> list[int]:
    """When a member's files were written last."""
    return [(member / name).stat().st_mtime_ns for name in STAMPED]
