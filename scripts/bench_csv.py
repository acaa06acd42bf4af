"""A CSV file of numbers from the disk to a float32 matrix, and to the first step: nnlab beside pandas.

All ways run in one process, round by round in turn, on the same file, which the machine still has in memory. The
matrices are compared, bit for bit. The way to the first step is all that `nnlab train` does with a table: columns and
kinds, the split, the encoding, its notes, the moments, the standardized rows, the fingerprint, and one step.
"""

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas
import pyarrow

import bench_report as report
from nnlab.build import build
from nnlab.command import composed
from nnlab.data.table.column import Table
from nnlab.data.table.csv_layout import look
from nnlab.data.table.csv_plain import read_plain
from nnlab.data.table.read_csv import CsvOptions, read_csv
from nnlab.rows import Rows
from nnlab.trainer.interrupt import Interrupt

#: nnlab's time divided by that of pandas with pyarrow, at most
GOAL = 1.3
#: the same of the way to the first step
STEP_GOAL = 2.0
PANDAS, NNLAB, PLAIN = 'pandas engine="pyarrow"', "nnlab", "nnlab without pyarrow"
FIRST_STEP = "nnlab to the first step"


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
        config, options = composed([], ["data=csv", f"data.path={path}", "trainer.max_steps=1", "device=cpu"])
        _first_step(config, options)
        seconds = _time({**ways, FIRST_STEP: lambda: _first_step(config, options)}, arguments.rounds)
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


def _first_step(config: dict[str, Any], options: dict[str, Any]) -> None:
    rows = Rows()
    built = build(config, options, None, "csv", rows)
    splits = rows.splits(built.dataset, built.preprocessing, built.readout)
    rows.fingerprint(built.dataset)
    fitting = built.trainer.begin(splits["train"], splits["valid"], Interrupt())
    built.trainer.start(fitting, resume=False)
    fitting.start_epoch()
    assert fitting.do_steps()


def _time(ways: dict[str, Callable[[], object]], num_rounds: int) -> dict[str, list[float]]:
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
        most = {NNLAB: GOAL, FIRST_STEP: STEP_GOAL}.get(name)
        goal = "" if most is None else report.verdict(report.median(ratios), most, False)
        rows.append([name, report.median(values), report.spread(values), report.median(ratios), goal])
    report.print_table(["way", "seconds", "spread", "/ pandas", "goal"], rows)
