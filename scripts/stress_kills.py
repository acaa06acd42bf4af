"""Kills training processes at chosen moments, resumes them, and compares with runs that were left alone."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

#: at most this long may one process work
LIMIT_S = 120
COMMON = ["trainer.threads=1", "trainer.checkpoint_every=3", "data.batch_size=64", "model.width=16"]
#: name -> what is trained
CASES = {
    "dropout, batch norm, one cycle": ["data=moons", "model.dropout=0.2", "model.norm=batch", "schedule=one_cycle"],
    "L-BFGS": ["data=moons", "optim=lbfgs", "optim.lr=0.1", "optim.max_iter=4"],
    "mid-epoch": ["data=moons", "callback=[early_stopping,histograms]"],
    "fp64": ["data=bumps", "trainer.precision=fp64", "optim=rmsprop"],
    "backprop": ["data=iris", "gradient=backprop", "model.norm=layer"],
    "accumulating": ["data=moons", "trainer.accumulate_steps=3", "trainer.grad_clip_norm=0.5", "schedule=cosine"],
}
EPOCHS = 8
#: kind of moment -> how many of a hundred
KINDS = {"temporary": 40, "start-up": 10, "evaluation": 10, "figures": 10, "anywhere": 30}
#: runs nnlab, and kills its own process when a function has been called often enough
DRIVER = """
import json, os, signal, sys
kind, count, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
calls = {}
def killed_at(name, module, function):
    whole = getattr(module, function)
    def counted(*args, **kwargs):
        calls[name] = calls.get(name, 0) + 1
        if kind == name and calls[name] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*args, **kwargs)
    setattr(module, function, counted)
import nnlab.figure as figure
import nnlab.trainer.evaluation as evaluation
killed_at("temporary", os, "replace")
killed_at("evaluation", evaluation, "predict")
killed_at("figures", figure, "png")
from nnlab.cli import main
code = main(words)
print(json.dumps(calls), file=sys.stderr)
sys.exit(code)
"""


class Moment(NamedTuple):
    """When a process is killed: at a call of a function, or after some seconds; as a part of all calls or seconds."""

    kind: str
    part: float


class Whole(NamedTuple):
    """A run that was left alone: its folder, how long it took, how often it came to each kind of moment."""

    folder: Path
    seconds: float
    calls: dict[str, int]


def kills(folder: Path, num_kills: int, seed: int = 0) -> bool:
    """Kill and resume; every resumed run must have the rows and the weights of one that was left alone.

    Args:
        folder: an empty folder to work in.
        num_kills: how many.
        seed: of the moments.

    Returns:
        Whether all are equal.
    """
    chance = random.Random(seed)
    wholes = {name: _whole(folder, number, words) for number, (name, words) in enumerate(CASES.items())}
    outcomes: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for number, moment in enumerate(_moments(num_kills, chance)):
        name = list(CASES)[number % len(CASES)]
        killed = folder / f"killed_{number}"
        hits[moment.kind] += _kill(killed, CASES[name], moment, wholes[name])
        outcome = _resume(killed, CASES[name], wholes[name].folder)
        outcomes[outcome] += 1
        if outcome != "equal":
            print(f"  {moment.kind} {moment.part:.3f}, {name}: {outcome}")
    reached = ", ".join(f"{hits[kind]} in {kind}" for kind in KINDS)
    print(f"kills: {sum(hits.values())} of {num_kills} processes were killed: {reached}")
    print(f"kills: {outcomes['equal']} of {num_kills} are equal to the uninterrupted run, bit by bit")
    return outcomes["equal"] == sum(hits.values()) == num_kills


def _moments(num_kills: int, chance: random.Random) -> list[Moment]:
    moments = []
    for kind, share in KINDS.items():
        low, high = {"start-up": (0.05, 0.5), "anywhere": (0.5, 0.95)}.get(kind, (0.0, 1.0))
        moments += [Moment(kind, chance.uniform(low, high)) for _ in range(round(share * num_kills / 100))]
    chance.shuffle(moments)
    return moments


def _words(folder: Path, words: list[str]) -> list[str]:
    return ["train", *COMMON, f"trainer.max_epochs={EPOCHS}", *words, f"hydra.run.dir={folder}"]


def _start(kind: str, count: int, words: list[str]) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", DRIVER, kind, str(count), *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def _whole(folder: Path, number: int, words: list[str]) -> Whole:
    path = folder / f"whole_{number}"
    began_s = time.monotonic()
    process = _start("never", 0, _words(path, words))
    _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, errors.decode()
    return Whole(path, time.monotonic() - began_s, json.loads(errors.decode().splitlines()[-1]))


def _kill(folder: Path, words: list[str], moment: Moment, whole: Whole) -> bool:
    """Start a run and kill it; whether it was still there to be killed."""
    if moment.kind in whole.calls:
        count = 1 + int(moment.part * whole.calls[moment.kind])
        process = _start(moment.kind, count, _words(folder, words))
        process.communicate(timeout=LIMIT_S)
        return process.returncode == -signal.SIGKILL
    seconds = moment.part * whole.seconds
    while True:
        process = _start("never", 0, _words(folder, words))
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        if process.returncode == -signal.SIGKILL:
            return True
        # The machine has become quicker: the run is begun again, to be met earlier.
        shutil.rmtree(folder)
        seconds *= 0.8


def _resume(folder: Path, words: list[str], whole: Path) -> str:
    """Resume, or start again where nothing had begun; then compare."""
    has_begun = (folder / "run.json").exists()
    again = ["resume", str(folder)] if has_begun else _words(folder, words)
    process = _start("never", 0, again)
    _, errors = process.communicate(timeout=LIMIT_S)
    if process.returncode != 0:
        return f"exit code {process.returncode}: {errors.decode()[-300:]}"
    if rows(folder) != rows(whole):
        return "other rows"
    return "equal" if weights(folder) == weights(whole) else "other weights"


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv, the time left out."""
    with (folder / "metrics.csv").open() as file:
        return [{key: cell for key, cell in row.items() if key != "time_s"} for row in csv.DictReader(file)]


def weights(folder: Path) -> tuple[int, str, int, str]:
    """Step and digest of the last and of the best weights."""
    found: list[int | str] = []
    for which in ("last", "best"):
        pointer = json.loads((folder / "checkpoints" / f"{which}.json").read_text())
        found += [pointer["step"], pointer["sha256"][f"{pointer['step']}.safetensors"]]
    return tuple(found)  # type: ignore[return-value]
