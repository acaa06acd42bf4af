"""What successive halving saves, and what it costs: the same random trials, halved and all trained to their ends.

Then the winners of both are run again on fresh seeds, which tells whether they differ.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import bench_report as report

SPACE = {
    "optim.lr": "tag(log, interval(1e-4, 1e-1))",
    "optim": "sgd,adam,rmsprop",
    "optim.weight_decay": "tag(log, interval(1e-6, 1e-2))",
}
#: optimizer steps of halving, of those of training all
GOAL = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``bench.py``."""
    parser.add_argument("--trials", type=report.positive(int), default=200, help="default: 200")
    parser.add_argument("--epochs", type=report.positive(int), default=50, help="default: 50")
    parser.add_argument("--seeds", type=report.positive(int), default=10, help="fresh ones; default: 10")
    parser.add_argument("--data", default="digits", help="of scikit-learn; default: digits")


def run(arguments: argparse.Namespace) -> int:
    """See ``bench.py``."""
    report.print_machine()
    common = ["data=sklearn", f"data.name={arguments.data}", f"trainer.max_epochs={arguments.epochs}", "logger=[]"]
    with TemporaryDirectory() as name:
        work = Path(name)
        space = [f"{key}={text}" for key, text in SPACE.items()]
        words = ["hydra/sweeper=halving", f"hydra.sweeper.n_trials={arguments.trials}", *space]
        halved_s = _train(work, "halved", [*common, *words])
        trials = json.loads((work / "halved" / "search.json").read_text())["trials"]
        for trial in trials:  # the whole sweep chooses its trials as options: no product of lists has them
            _write_option(work / "own" / "experiment" / f"trial_{trial['number']}.yaml", trial["values"])
        numbers = ",".join(f"trial_{trial['number']}" for trial in trials)
        whole_s = _train(work, "whole", ["--config-dir", "own", *common, f"experiment={numbers}", "name=whole"])
        halved, whole = (_results(work / folder) for folder in ("halved", "whole"))
        steps = [sum(int(result["steps"]) for result in results) for results in (halved, whole)]
        best = [min(range(len(one)), key=lambda n, one=one: one[n]["best"]["value"]) for one in (halved, whole)]
        rows: list[list[report.Cell]] = [
            ["halved", steps[0], steps[0] / steps[1], round(halved_s, 1), halved_s / whole_s, best[0]],
            ["all to their ends", steps[1], 1, round(whole_s, 1), 1, best[1]],
        ]
        print(f"\n{arguments.trials} trials on {arguments.data}, {arguments.epochs} epochs")
        report.print_table(["way", "steps", "of all", "seconds", "of all's", "best trial"], rows)
        met = steps[0] / steps[1] <= GOAL
        print(f"  steps: goal <= {GOAL}: {'met' if met else 'missed'}")
        return _judge(work, common, [trials[number]["values"] for number in best], arguments.seeds) if met else 1


def _judge(work: Path, common: Sequence[str], winners: Sequence[dict[str, str]], num_seeds: int) -> int:
    """Run both winners on fresh seeds, and say whether they can be told apart."""
    values = []
    for place, winner in enumerate(winners):
        words = [f"{key}={text}" for key, text in winner.items()]
        _train(work, f"fresh_{place}", [*common, *words, f"seed=range(100,{100 + num_seeds})"])
        values.append([result["best"]["value"] for result in _results(work / f"fresh_{place}")])
    print(f"\nthe winners on {num_seeds} fresh seeds, best valid/loss")
    rows: list[list[report.Cell]] = [
        [way, statistics.fmean(one), statistics.stdev(one), min(one), max(one)]
        for way, one in zip(("halved", "all to their ends"), values, strict=True)
    ]
    report.print_table(["way", "mean", "deviation", "least", "most"], rows)
    differences = [a - b for a, b in zip(*values, strict=True)]
    middle, error = statistics.fmean(differences), statistics.stdev(differences) / len(differences) ** 0.5
    print(f"  halved minus all: {middle:+.4f}, standard error {error:.4f}, paired by seed")
    return 0


def _train(work: Path, folder: str, words: Sequence[str]) -> float:
    """Run a sweep; its seconds, start-up and comparison included."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "nnlab", "train", "-m", *words, f"hydra.sweep.dir={folder}"]
    answer = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"{answer.stdout[-2000:]}{answer.stderr}")
    return time.perf_counter() - began


def _results(folder: Path) -> list[dict[str, object]]:
    """``result.json`` of each member, in the order of their numbers."""
    members = [path.parent for path in folder.glob("*/result.json")]
    members.sort(key=lambda path: int(path.name.partition("_")[0]))
    return [json.loads((member / "result.json").read_text()) for member in members]


def _write_option(path: Path, values: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["# @package _global_", "# A trial of a search", "defaults:", f"  - override /optim: {values['optim']}"]
    lines += ["optim:", *(f"  {key[6:]}: {text}" for key, text in values.items() if key.startswith("optim."))]
    path.write_text("\n".join([*lines, ""]))
