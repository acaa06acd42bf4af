"""scripts/bench.py sklearn as a process: its tables and its exit code. Times are never asserted."""

import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "scripts" / "bench.py"


def test_sklearn_quick_run_has_every_table_and_equal_scores() -> None:
    environment = os.environ | {"PYTHONPATH": str(BENCH.parents[1] / "src"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(BENCH), "sklearn", "--quick", "--set", "iris"]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for text in ("iris raw", "iris scaled", "at least as accurate", "scikit-learn / nnlab", "nnlab, stacked"):
        assert text in ended.stdout
    assert ended.stdout.count("largest difference of nnlab's scores: 0.0e+00") == 2
