"""The checks that take too long for `make test`.

python scripts/stress.py figures     the experiments' figures with five seeds each (a minute or two)
python scripts/stress.py kills       kill -9 at a hundred moments over six configurations, resumed (half an hour)
python scripts/stress.py signals     every signal at every moment of a run, once and twice, resumed (ten minutes)
python scripts/stress.py disk        a small disk that fills up at every moment of a run (ten minutes; needs root)
python scripts/stress.py sweep       kill -9 of twenty sweeps and their workers, gone on with (ten minutes)
python scripts/stress.py damage      every file of a run cut short and with single bits flipped (a quarter of an hour)
python scripts/stress.py leak        300 runs in one process, from Python (six minutes)
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from nnlab.cli import main as nnlab

SEEDS = range(5)


def figures() -> bool:
    """Run rings and x_squared whole with five seeds and compare with what their files promise."""
    good = True
    for name, judge in {"rings": _judge_rings, "x_squared": _judge_x_squared}.items():
        finals = []
        for seed in SEEDS:
            folder = Path(f"{name}-{seed}")
            code = nnlab(["train", f"experiment={name}", f"seed={seed}", "logger=[]", f"hydra.run.dir={folder}"])
            assert code == 0
            finals.append(json.loads((folder / "result.json").read_text())["final"])
        good &= judge(finals)
    return good


def _judge_rings(finals: list[dict[str, float]]) -> bool:
    train, valid = ([final[f"{split}/accuracy"] for final in finals] for split in ("train", "valid"))
    print(f"\nrings: accuracy on training {train}, on validation {valid}; at least 0.98 is promised\n")
    return min(train + valid) >= 0.98


def _judge_x_squared(finals: list[dict[str, float]]) -> bool:
    losses = [final["valid/loss"] for final in finals]
    median = statistics.median(losses)
    print(f"\nx_squared: validation MSE {losses}, median {median}; at most 2e-3, median 1.5e-3, is promised\n")
    return max(losses) <= 2e-3 and median <= 1.5e-3


def hundred_kills() -> bool:
    """Kill a hundred processes and resume them."""
    from stress_kills import kills

    return kills(Path.cwd(), num_kills=100)


def damaged_files() -> bool:
    """Damage every kind of file in every way that is known, and open what is left."""
    from stress_damage import damage

    return damage(Path.cwd())


def every_signal() -> bool:
    """Send signals at every moment of a run."""
    from stress_signals import signals

    return signals(Path.cwd())


def full_disks() -> bool:
    """Let a disk fill up at every moment of a run."""
    from stress_disk import full_disk

    return full_disk(Path.cwd())


def killed_sweeps() -> bool:
    """Kill sweeps and their workers, and go on with them."""
    from stress_sweep import sweeps

    return sweeps(Path.cwd())


def runs_in_a_row() -> bool:
    """Train again and again in one process."""
    from stress_leak import leak

    return leak(Path.cwd(), num_runs=300)


CHECKS = {
    "figures": figures,
    "kills": hundred_kills,
    "damage": damaged_files,
    "signals": every_signal,
    "disk": full_disks,
    "sweep": killed_sweeps,
    "leak": runs_in_a_row,
}


def main() -> int:
    """Run the named checks in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="+", choices=CHECKS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        failed = [name for name in arguments.checks if not CHECKS[name]()]
        os.chdir("/")
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
