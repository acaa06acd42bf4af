"""Rows that stay on disk beside the same rows in memory: how fast they train, and how much memory they take.

Throughput: both ways in one process, epoch by epoch in turn, on the workload W3 (2-100-100-3, batches of 1,000), from a
cache that is made before. Memory: the peak of a process of its own that trains on a table of some gigabytes, from a
cache as well, beside the peak of one that imports torch.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow
import torch
from pyarrow import parquet
from torch import nn

import bench_report as report
from nnlab.command import composed
from nnlab.loss import CrossEntropy
from nnlab.rows import Rows
from nnlab.trainer import Trainer

#: throughput beside that of rows in memory, at least
GOAL = 0.8
#: megabytes over those of a process that has imported torch, at most
MOST_MB = 500
BATCH_SIZE = 1000
#: columns of the large table
NUM_COLUMNS = 20
_ROWS_AT_ONCE = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand."""
    parser.add_argument(
        "--rows", type=report.positive(int), default=4_000_000, help="of W3's shape; default: 4,000,000"
    )
    parser.add_argument("--rounds", type=report.positive(int), default=7, help="default: 7")
    parser.add_argument("--gigabytes", type=float, default=4.0, help="of the large table; 0 for none; default: 4")
    parser.add_argument("--steps", type=report.positive(int), default=4000, help="on the large table; default: 4,000")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Args:
        arguments: what was typed.

    Returns:
        0, or 1 if the two ways did not learn alike.
    """
    report.print_machine()
    with TemporaryDirectory() as folder:
        os.environ["NNLAB_CACHE"] = folder
        is_same = _throughput(Path(folder), arguments.rows, arguments.rounds)
        if arguments.gigabytes:
            _memory(Path(folder), arguments.gigabytes, arguments.steps)
    return 0 if is_same else 1


def _throughput(folder: Path, num_rows: int, num_rounds: int) -> bool:
    path = folder / "w3.parquet"
    _write(path, num_rows, _w3)
    num_steps = -(-num_rows // BATCH_SIZE)
    print(f"\nthroughput  {num_rounds} epochs of {num_steps:,} steps in turn, after one that does not count")
    data, losses, rows = {}, {}, list[list[report.Cell]]()
    for streaming in ("false", "true"):
        words = ["data=parquet", f"data.path={path}", "data.target=c", "data.valid_fraction=0", "data.test_fraction=0"]
        data[streaming] = _split([*words, f"data.streaming={streaming}"])
    for compile_ in ("step", "off"):
        seconds: dict[str, list[float]] = {"false": [], "true": []}
        for round_ in range(num_rounds + 1):
            for streaming, train in data.items():
                own, loss = _epoch(train, compile_)
                losses[compile_, streaming] = loss
                if round_:
                    seconds[streaming].append(own)
        ratios = [held / own for held, own in zip(seconds["false"], seconds["true"], strict=True)]
        for streaming, name in (("false", "in memory"), ("true", "on disk")):
            rate = num_steps / report.median(seconds[streaming])
            of_disk = streaming == "true"
            verdict = report.verdict(report.median(ratios), GOAL, True) if of_disk else ""
            way = f"{name}, {'compiled' if compile_ == 'step' else 'torch'}"
            rows.append(
                [way, rate, report.spread(seconds[streaming]), report.median(ratios) if of_disk else 1.0, verdict]
            )
    report.print_table(["way", "steps/s", "spread", "/ in memory", "goal"], rows)
    far = [name for name, loss in losses.items() if abs(loss / losses["step", "false"] - 1) > 0.1]
    if far:
        print(f"the losses of {far} are far from the others'")
    return not far


def _memory(folder: Path, gigabytes: float, num_steps: int) -> None:
    path = folder / "large.parquet"
    num_rows = int(gigabytes * 1e9 / (4 * NUM_COLUMNS))
    _write(path, num_rows, _wide)
    words = ["data=parquet", f"data.path={path}", "data.target=y", "data.batch_size=1000", "data.streaming=true"]
    words += ["model.widths=[100,100]", "trainer.max_epochs=1", f"trainer.max_steps={num_steps}", "device=cpu"]
    words += [f"hydra.run.dir={folder / 'run'}"]
    command = [sys.executable, "-m", "nnlab", "train", *words]
    print(f"\nmemory  {num_rows:,} rows of {NUM_COLUMNS} columns, {gigabytes:g} GB as float32; {num_steps:,} steps")
    begin = time.perf_counter()
    cold = _peak_mb([*command[:-1], f"hydra.run.dir={folder / 'first'}"])
    cold_s = time.perf_counter() - begin
    base, warm = _peak_mb([sys.executable, "-c", "import torch"]), _peak_mb(command)
    rows: list[list[report.Cell]] = [
        ["import torch", base, 0.0, ""],
        ["nnlab train, rows in the cache", warm, warm - base, "met" if warm - base <= MOST_MB else "MISSED"],
        [f"nnlab train, first time ({cold_s:.0f} s; pages of files count)", cold, cold - base, ""],
    ]
    report.print_table(["process", "peak MB", "over torch", f"goal {MOST_MB}"], rows)


def _split(words: list[str]) -> Any:
    rows, config = Rows(), composed([], words)[0]
    dataset, preprocessing = rows.data(config)
    from nnlab.metric import Readout

    return rows.splits(dataset, preprocessing, Readout("multiclass", "logit"))["train"]


def _epoch(train: Any, compile_: Any) -> tuple[float, float]:
    """Seconds and loss of an epoch without metrics or files."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    trainer = Trainer(
        model, CrossEntropy(0.0), optimizer, batch_size=BATCH_SIZE, max_epochs=1, compile=compile_, device="cpu"
    )
    result = trainer.fit(train)
    return result.seconds, float(result.history[-1]["train/loss"])


def _w3(rng: np.random.Generator, num_rows: int) -> dict[str, np.ndarray]:
    x = rng.normal(size=(num_rows, 2)).astype(np.float32)
    return {"x": x[:, 0], "y": x[:, 1], "c": np.digitize((x**2).sum(axis=1), [1.2, 3.0]).astype(np.int8)}


def _wide(rng: np.random.Generator, num_rows: int) -> dict[str, np.ndarray]:
    x = rng.normal(size=(num_rows, NUM_COLUMNS - 1)).astype(np.float32)
    y = np.tanh(x.sum(axis=1)) + 0.1 * rng.normal(size=num_rows).astype(np.float32)
    return {f"x{place}": column for place, column in enumerate(x.T)} | {"y": y.astype(np.float32)}


def _write(path: Path, num_rows: int, make: Any) -> None:
    rng, writer = np.random.default_rng(0), None
    for start in range(0, num_rows, _ROWS_AT_ONCE):
        table = pyarrow.table(make(rng, min(_ROWS_AT_ONCE, num_rows - start)))
        writer = writer or parquet.ParquetWriter(path, table.schema, compression="none", use_dictionary=False)
        writer.write_table(table)
    assert writer is not None
    writer.close()


#: what a process has had before it became another one counts for that one too: so a small one starts it
_STARTER = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _peak_mb(command: list[str]) -> float:
    """The largest resident memory of a process, as the system counts it."""
    ended = subprocess.run([sys.executable, "-S", "-c", _STARTER, *command], check=False, capture_output=True)
    if ended.returncode:
        raise SystemExit(f"{subprocess.list2cmdline(command)} failed:\n{ended.stderr.decode()}")
    return int(ended.stdout) / 1024
