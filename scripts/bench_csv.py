"""A CSV file of numbers from the disk to a float32 matrix: nnlab's readers beside pandas'.

All ways run in one process, round by round in turn, on the same file, which the machine still has in memory. The
matrices are compared, bit for bit.
"""

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas
import pyarrow

import bench_report as report
from nnlab.data.table.column import Table
from nnlab.data.table.csv_layout import look
from nnlab.data.table.csv_plain import read_plain
from nnlab.data.table.read_csv import CsvOptions, read_csv

#: nnlab's time divided by that of pandas with pyarrow, at most
GOAL = 1.3
PANDAS, NNLAB, PLAIN = 'pandas engine="pyarrow"', "nnlab", "nnlab without pyarrow"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument("--rows", type=report.positive(int), default=1_000_000, help="default: 1,000,000")
    parser.add_argument("--columns", type=report.positive(int), default=20, help="at least 2; default: 20")
    parser.add_argument("--rounds", type=report.positive(int), default=7, help="default: 7")
    parser.add_argument("--plain", action="store_true", help="also read without pyarrow, ten times as slow")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Args:
        arguments: what was typed.

    Returns:
        0, or 1 if the matrices differ.
    """
    report.print_machine()
    print(f"readers   pandas {version('pandas')}, pyarrow {version('pyarrow')} with {pyarrow.cpu_count()} threads")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "numbers.csv"
        _write(path, arguments.rows, arguments.columns)
        size = f"{arguments.rows:,} rows of {arguments.columns} normal numbers, {path.stat().st_size / 1e6:,.0f} MB"
        print(f"protocol  {arguments.rounds} rounds in turn after one that does not count; {size}")
        ways: dict[str, Callable[[], np.ndarray]] = {
            PANDAS: lambda: pandas.read_csv(path, engine="pyarrow").to_numpy("float32"),
            NNLAB: lambda: _matrix(read_csv(path, CsvOptions())),
        }
        if arguments.plain:
            ways[PLAIN] = lambda: _plain(path, arguments.columns)
        expected = ways[PANDAS]()
        is_same = all(np.array_equal(way(), expected) for way in ways.values())
        seconds = _time(ways, arguments.rounds)
    _print(seconds)
    if not is_same:
        print("the matrices DIFFER")
    return 0 if is_same else 1


def _write(path: Path, num_rows: int, num_columns: int) -> None:
    from pyarrow import csv

    rng = np.random.default_rng(0)
    csv.write_csv(pyarrow.table({f"x{place}": rng.normal(size=num_rows) for place in range(num_columns)}), path)


def _matrix(table: Table) -> np.ndarray:
    matrix = np.empty((table.num_rows, len(table.columns)), np.float32)
    for place, column in enumerate(table.columns.values()):
        matrix[:, place] = column.values
    return matrix


def _plain(path: Path, num_columns: int) -> np.ndarray:
    parts = read_plain(look(path, None, "utf-8"), [True] * num_columns)
    return np.stack([cells.values for cells in parts.columns], axis=1).astype(np.float32)


def _time(ways: dict[str, Callable[[], np.ndarray]], num_rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(num_rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _print(seconds: dict[str, list[float]]) -> None:
    rows: list[list[report.Cell]] = []
    for name, values in seconds.items():
        ratios = [own / theirs for own, theirs in zip(values, seconds[PANDAS], strict=True)]
        goal = report.verdict(report.median(ratios), GOAL, False) if name == NNLAB else ""
        rows.append([name, report.median(values), report.spread(values), report.median(ratios), goal])
    report.print_table(["way", "seconds", "spread", "/ pandas", "goal"], rows)
