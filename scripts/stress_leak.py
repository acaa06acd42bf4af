"""Runs in a row in one process, and what each leaves behind.

python scripts/stress_leak.py NUM_RUNS [OVERRIDE...]    prints one line of JSON, in the current folder
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

#: runs after which everything is imported, and every cache full
NUM_WARM = 6
#: bytes that the whole process may grow by: allocators keep more at one time than at another, most on busy cores
MOST_BYTES = 24 << 20
#: small objects of Python that a run may leave, of which caches of other packages have some
MOST_BLOCKS = 20


def train_in_a_row(num_runs: int, overrides: Sequence[str]) -> list[dict[str, int]]:
    """Train, show and load runs; what there is in the process after each.

    Args:
        num_runs: how many.
        overrides: for each of them.
    """
    import torch

    import nnlab

    found = []
    for seed in range(num_runs):
        result = nnlab.train([*overrides, f"seed={seed}"], progress=False)
        result._repr_html_()
        result.load()
        del result
        gc.collect()
        found.append(
            {
                "tensors": sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects()),
                "threads": threading.active_count(),
                "native threads": len(os.listdir("/proc/self/task")),
                "open files": len(os.listdir("/proc/self/fd")),
                "temporary files": len(os.listdir(tempfile.gettempdir())),
                "blocks": sys.getallocatedblocks(),
                "bytes": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"),
            }
        )
    return found


def leaks(found: Sequence[dict[str, int]]) -> list[str]:
    """What grows from run to run, a line each.

    Args:
        found: from ``train_in_a_row``.
    """
    first, last, num_runs = found[NUM_WARM - 1], found[-1], len(found) - NUM_WARM
    most = dict.fromkeys(first, 0) | {"blocks": MOST_BLOCKS * num_runs, "bytes": MOST_BYTES}
    return [
        f"{name}: {first[name]:,} after run {NUM_WARM}, {last[name]:,} after run {len(found)}"
        for name in first
        if last[name] - first[name] > most[name]
    ]


def leak(work: Path, num_runs: int, overrides: Sequence[str] = ()) -> bool:
    """Train runs in a row in a fresh process and say what is left of them.

    Args:
        work: an empty folder.
        num_runs: how many.
        overrides: for each of them.

    Returns:
        Whether nothing was.
    """
    (work / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(work / "tmp"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, __file__, str(num_runs), "data.num_train=200", "trainer.max_epochs=2", *overrides]
    answer = subprocess.run(words, cwd=work, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(answer.stdout.splitlines()[-1])
    for number, one in enumerate(found, 1):
        if number % max(1, num_runs // 10) == 0:
            print(f"run {number}: {', '.join(f'{count:,} {name}' for name, count in one.items())}")
    problems = leaks(found)
    print("\n".join(problems or [f"{num_runs} runs left nothing behind"]))
    return not problems


if __name__ == "__main__":
    print(json.dumps(train_in_a_row(int(sys.argv[1]), sys.argv[2:])))
