"""What every benchmark prints: the machine, tables, medians with their spread, goals."""

import argparse
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

Cell = str | int | float


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """An argparse type: a number above zero.

    Args:
        kind: ``int`` or ``float``.
    """

    def parse(text: str) -> float:
        number = kind(text)
        if not number > 0:
            raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
        return number

    parse.__name__ = kind.__name__
    return parse


def print_machine(threads: int | None = None) -> None:
    """Say on what is measured.

    Args:
        threads: what torch uses unless it is told otherwise; None where torch plays no part.
    """
    load = "load " + " ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else ""
    print(f"machine   {_cpu_model()}, {_num_cores()} cores, {platform.system()}, {load} at the start")
    used = "" if threads is None else f", {threads} threads by default"
    print(f"software  Python {platform.python_version()}, torch {version('torch')}{used}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print rows under their columns: the first one to the left, the others to the right.

    Args:
        columns: the headings.
        rows: as many cells each; floats get four significant digits.
    """
    lines = [list(columns), *([cell_text(cell) for cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        first, *others = (text.rjust(width) for text, width in zip(line, widths, strict=True))
        print("  " + "  ".join([line[0].ljust(len(first)), *others]).rstrip())


def cell_text(cell: Cell) -> str:
    """A cell as it is printed."""
    if isinstance(cell, float):
        return f"{cell:.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def spread(values: Sequence[float]) -> str:
    """The smallest and the largest of several measurements."""
    return f"{cell_text(min(values))}..{cell_text(max(values))}"


def median(values: Sequence[float]) -> float:
    """The median, as a float."""
    return float(statistics.median(values))


def verdict(value: float, goal: float, at_least: bool) -> str:
    """A goal, and whether it is met.

    Args:
        value: what was measured.
        goal: the limit.
        at_least: whether the goal is a lower limit.
    """
    is_met = value >= goal if at_least else value <= goal
    return f"goal {'>=' if at_least else '<='} {goal:g}: {'met' if is_met else 'MISSED'}"


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
