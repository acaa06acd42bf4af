"""How long whole commands take as processes of their own, and how long each figure takes to draw."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, NamedTuple

import bench_report as report
import nnlab

COMMAND_GOAL_S = 0.5
TRAIN_GOAL_S = 1.5
FIGURE_GOAL_S = 0.2
#: the time of a command divided by that of a hand-written script of the same training
BY_HAND_GOAL = 1.0

NNLAB = (sys.executable, "-m", "nnlab")
BY_HAND = (sys.executable, str(Path(__file__).with_name("bench_by_hand.py")))
COMMANDS: dict[str, tuple[str, ...]] = {
    "nnlab --help": (*NNLAB, "--help"),
    "nnlab list": (*NNLAB, "list"),
    "nnlab rings": (*NNLAB, "train", "trainer.max_epochs=10"),
    "by hand rings": (*BY_HAND, "rings"),
    "nnlab celsius": (*NNLAB, "train", "experiment=celsius"),
    "by hand celsius": (*BY_HAND, "celsius"),
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


class Cost(NamedTuple):
    """What a process took: seconds on the wall, seconds of all its threads on the cores, MB of memory at its peak."""

    wall_s: float
    cpu_s: float
    memory_mb: float


def _time_commands(num_rounds: int) -> dict[str, list[Cost]]:
    """What each command takes; of several rounds, one more comes first for cold caches and is left out."""
    num_unmeasured = 1 if num_rounds > 1 else 0
    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    environment = os.environ | {"PYTHONPATH": str(Path(nnlab.__file__).resolve().parents[1])}
    with TemporaryDirectory() as folder:
        for _ in range(num_unmeasured + num_rounds):
            for name, words in COMMANDS.items():
                costs[name].append(_time_process(words, folder, environment))
    return {name: values[num_unmeasured:] for name, values in costs.items()}


def _time_process(words: Sequence[str], folder: str, environment: Mapping[str, str]) -> Cost:
    start = time.perf_counter()
    with TemporaryFile() as printed:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # else it would be waited for once more
        if process.returncode != 0:
            printed.seek(0)
            text = printed.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(words[1:])} ended with exit code {process.returncode}: {text}")
    # Linux counts in KB, macOS in bytes.
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))


def _print_commands(costs: Mapping[str, Sequence[Cost]]) -> None:
    print(
        "\ncommands, and hand-written torch that trains the same and neither keeps files nor draws (bench_by_hand.py)"
    )
    print("rings: trainer.max_epochs=10; celsius: experiment=celsius; torch alone: import it, make an Adam")
    walls = {name: [cost.wall_s for cost in values] for name, values in costs.items()}
    rows: list[list[report.Cell]] = []
    for name, values in costs.items():
        is_page = name in ("nnlab --help", "nnlab list")
        goal = report.verdict(report.median(walls[name]), COMMAND_GOAL_S, False) if is_page else ""
        cpu_s, memory_mb = (report.median([cost[place] for cost in values]) for place in (1, 2))
        rows.append([name, report.median(walls[name]), report.spread(walls[name]), cpu_s, memory_mb, goal])
    report.print_table(["command", "seconds", "spread", "on cores", "MB", "goal"], rows)
    print("\nby rounds")
    added = [a - b for a, b in zip(walls["nnlab celsius"], walls["torch alone"], strict=True)]
    rows = [_compared("celsius - torch alone, seconds", added, TRAIN_GOAL_S)]
    for job in ("rings", "celsius"):
        pairs = zip(costs[f"nnlab {job}"], costs[f"by hand {job}"], strict=True)
        ratios = [(own.wall_s / theirs.wall_s, own.cpu_s / theirs.cpu_s) for own, theirs in pairs]
        rows.append(_compared(f"{job} / by hand, seconds", [wall for wall, _ in ratios], BY_HAND_GOAL))
        rows.append(_compared(f"{job} / by hand, on cores", [cpu for _, cpu in ratios], BY_HAND_GOAL))
    report.print_table(["compared", "median", "spread", "goal"], rows)


def _compared(name: str, values: Sequence[float], goal: float) -> list[report.Cell]:
    middle = report.median(values)
    return [name, middle, report.spread(values), report.verdict(middle, goal, False)]


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
