"""The checks that take too long for `make test`.

python scripts/stress.py figures     the experiments' figures with five seeds each (a minute or two)
python scripts/stress.py kills       kill -9 at a hundred moments over six configurations, resumed (half an hour)
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


CHECKS = {"figures": figures, "kills": hundred_kills}


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
