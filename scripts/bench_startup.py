"""How long whole commands take as processes of their own, and how long each figure takes to draw."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bench_report as report
import nnlab

COMMAND_GOAL_S = 0.5
TRAIN_GOAL_S = 1.5
FIGURE_GOAL_S = 0.2

NNLAB = (sys.executable, "-m", "nnlab")
COMMANDS: dict[str, tuple[str, ...]] = {
    "nnlab --help": (*NNLAB, "--help"),
    "nnlab list": (*NNLAB, "list"),
    "nnlab train": (*NNLAB, "train", "data=celsius", "trainer.max_epochs=10"),
    "torch alone": (sys.executable, "-c", "import torch; torch.optim.Adam([torch.zeros(1, requires_grad=True)])"),
}
#: workloads whose runs have, together, every kind of figure that the goal is for
FIGURES_OF = ("W1", "W3")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument("--rounds", type=report.positive(int), default=7, help="default: 7")
    parser.add_argument(
        "--epochs-scale",
        type=report.positive(float),
        default=1.0,
        help="factor of the epochs of the runs whose figures are drawn",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Args:
        arguments: what was typed.

    Returns:
        0.
    """
    report.print_machine()
    warm = " after one that does not count" if arguments.rounds > 1 else ""
    print(f"protocol  {arguments.rounds} rounds in turn{warm}; every command is a new process")
    _print_commands(_time_commands(arguments.rounds))
    _print_figures(_time_figures(arguments.rounds, arguments.epochs_scale))
    return 0


def _time_commands(num_rounds: int) -> dict[str, list[float]]:
    """Wall-clock seconds of each command; of several rounds, one more comes first for cold caches and is left out."""
    num_unmeasured = 1 if num_rounds > 1 else 0
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    environment = os.environ | {"PYTHONPATH": str(Path(nnlab.__file__).resolve().parents[1])}
    with TemporaryDirectory() as folder:
        for _ in range(num_unmeasured + num_rounds):
            for name, words in COMMANDS.items():
                seconds[name].append(_time_process(words, folder, environment))
    return {name: values[num_unmeasured:] for name, values in seconds.items()}


def _time_process(words: Sequence[str], folder: str, environment: Mapping[str, str]) -> float:
    start = time.perf_counter()
    ended = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(words[1:])} ended with exit code {ended.returncode}: {ended.stderr}")
    return seconds


def _print_commands(seconds: Mapping[str, Sequence[float]]) -> None:
    middle = {name: report.median(values) for name, values in seconds.items()}
    added = middle["nnlab train"] - middle["torch alone"]
    by_round = [a - b for a, b in zip(seconds["nnlab train"], seconds["torch alone"], strict=True)]
    goals = {name: report.verdict(middle[name], COMMAND_GOAL_S, False) for name in ("nnlab --help", "nnlab list")}
    print("\ncommands, seconds (nnlab train: data=celsius trainer.max_epochs=10; torch alone: import, make an Adam)")
    rows = [[name, middle[name], report.spread(seconds[name]), goals.get(name, "")] for name in COMMANDS]
    rows.append(["train - torch", added, report.spread(by_round), report.verdict(added, TRAIN_GOAL_S, False)])
    report.print_table(["command", "median", "spread", "goal"], rows)


def _time_figures(num_rounds: int, scale: float) -> dict[str, list[float]]:
    """Seconds from arrays to PNG bytes of each figure, the first drawing included: a run draws each but once."""
    from nnlab.figure import png
    from nnlab.run_figures import figures_of

    seconds: dict[str, list[float]] = {}
    drawn = {name: _arrays(name, scale) for name in FIGURES_OF}
    for _ in range(num_rounds):
        for name, (arrays, history) in drawn.items():
            figures = figures_of(name, arrays, history)
            while True:
                start = time.perf_counter()
                stem, figure = next(figures, (None, None))
                if stem is None or figure is None:
                    break
                png(figure)
                seconds.setdefault(f"{stem} ({name})", []).append(time.perf_counter() - start)
    return seconds


def _arrays(name: str, scale: float) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """The arrays and the history of a workload's run with nnlab."""
    from bench_workloads import WORKLOADS, prepare_case
    from nnlab import experiment
    from nnlab.run_arrays import arrays_after

    workload = WORKLOADS[name]
    with prepare_case(workload).member(max(2, round(scale * workload.epochs))) as member:
        experiment.fit([member])
        assert member.fitted is not None, member.error
        arrays = member.arrays | arrays_after(member.built, member.splits, member.fitted, member.arrays)
    return arrays, member.fitted.history


def _print_figures(seconds: Mapping[str, Sequence[float]]) -> None:
    print("\nfigures, seconds from arrays to PNG bytes, in one process after matplotlib's import")
    rows = []
    for name, values in seconds.items():
        middle = report.median(values)
        rows.append([name, values[0], middle, report.spread(values), report.verdict(middle, FIGURE_GOAL_S, False)])
    report.print_table(["figure", "first", "median", "spread", "goal"], rows)
