"""One run on several processes beside a hand-written loop around torch's DistributedDataParallel, and beside one.

Run by torchrun, this file is that loop.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import bench_report as report

#: rows of digits that nnlab trains on, and validates on
NUM_TRAIN, NUM_VALID = 1079, 359
BATCH = 128
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See ``bench.py``."""
    parser.add_argument("--rounds", type=report.positive(int), default=5, help="default: 5")
    parser.add_argument("--epochs", type=report.positive(int), default=40, help="default: 40")
    parser.add_argument("--width", type=report.positive(int), default=256, help="of two hidden layers; default: 256")
    parser.add_argument("--processes", type=report.positive(int), default=2, help="default: 2")


def run(arguments: argparse.Namespace) -> int:
    """See ``bench.py``."""
    report.print_machine()
    number, width, epochs = arguments.processes, arguments.width, arguments.epochs
    words = ["data=digits", f"model.widths=[{width},{width}]", f"data.batch_size={BATCH}", "device=cpu", "figures=[]"]
    words += [f"trainer.max_epochs={epochs}", "trainer.compile=off", "logger=[]"]
    ways = {
        f"nnlab, {number} processes": lambda work: _nnlab([*TORCHRUN, str(number), "-m", "nnlab"], words, work),
        f"DDP by hand, {number} processes": lambda work: _by_hand(number, width, epochs),
        "nnlab, 1 process": lambda work: _nnlab([sys.executable, "-m", "nnlab"], words, work),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(arguments.rounds):
        for name, way in ways.items():
            with TemporaryDirectory() as work:
                found[name].append(way(Path(work) / str(round_number)))
    print(
        f"\ndigits, 64-{width}-{width}-10, batches of {BATCH}, {epochs} epochs; milliseconds a step, with evaluations"
    )
    rows: list[list[report.Cell]] = [[name, report.median(ms), report.spread(ms)] for name, ms in found.items()]
    report.print_table(["way", "median", "of all"], rows)
    shared, by_hand, _ = (report.median(ms) for ms in found.values())
    print(f"  nnlab / DDP by hand {shared / by_hand:.2f}; nnlab saves its checkpoints and files meanwhile")
    return 0


def _nnlab(command: Sequence[str], words: Sequence[str], folder: Path) -> float:
    _answer([*command, "train", *words, f"hydra.run.dir={folder}"])
    result = json.loads((folder / "result.json").read_text())
    return 1e3 * float(result["seconds"]) / int(result["steps"])


def _by_hand(number: int, width: int, epochs: int) -> float:
    return float(_answer([*TORCHRUN, str(number), __file__, str(width), str(epochs)]).split()[-1])


def _answer(command: Sequence[str]) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if answer.returncode:
        raise SystemExit(f"{answer.stdout[-2000:]}{answer.stderr[-4000:]}")
    return answer.stdout


def loop(width: int, epochs: int) -> float | None:
    """The hand-written loop, in one of torchrun's processes; milliseconds a step, from the first one."""
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    inputs, targets = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    inputs = (inputs - inputs.mean(0)).float() / (inputs.std(0) + 1e-6).float()
    valid = [part[NUM_TRAIN : NUM_TRAIN + NUM_VALID][rank::size] for part in (inputs, targets)]
    torch.manual_seed(0)
    layers = [nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)]
    model, loss = DistributedDataParallel(nn.Sequential(*layers)), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters())
    began, steps = time.perf_counter(), 0
    for epoch in range(epochs):
        order = torch.randperm(NUM_TRAIN, generator=torch.Generator().manual_seed(epoch))
        for first in range(0, NUM_TRAIN, BATCH):
            own = order[first : first + BATCH][rank::size]
            optimizer.zero_grad(set_to_none=True)
            loss(model(inputs[own]), targets[own]).backward()
            optimizer.step()
            steps += 1
        _evaluate(model, loss, valid)
    seconds = time.perf_counter() - began
    dist.barrier()
    return 1e3 * seconds / steps if rank == 0 else None


@torch.no_grad()
def _evaluate(model: nn.Module, loss: nn.Module, valid: Sequence[Tensor]) -> None:
    number = len(valid[1])
    total = torch.stack([loss(model(valid[0]), valid[1]) * number, torch.tensor(float(number))])
    dist.all_reduce(total)


if __name__ == "__main__":
    found = loop(int(sys.argv[1]), int(sys.argv[2]))
    if found is not None:
        print(found, flush=True)
    # The threads of DistributedDataParallel on gloo abort a process that ends otherwise, now and then (torch 2.13).
    os._exit(0)
