"""scripts/bench.py as a process: its tables, its checks of the numbers, its exit codes. Times are never asserted."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench.py"


def run_bench(*words: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script, or Python code that has it on its path."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(BENCH.parent), str(BENCH.parents[1] / "src")]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", code] if code else [sys.executable, str(BENCH), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def first_cells(output: str) -> list[str]:
    """What the lines of the tables begin with."""
    return re.findall(r"^  (\S+(?: \S+)*)", output, re.MULTILINE)


def test_bench_without_arguments_prints_usage() -> None:
    ended = run_bench()
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("usage: bench.py")
    assert {"train", "gradient", "checkpoints", "startup"} <= set(re.findall(r"^ +(\w+)\s", ended.stdout, re.MULTILINE))


@pytest.mark.parametrize("words", [["trian"], ["startup", "--rounds", "0"], ["gradient", "--threads", "0"]])
def test_bench_with_a_wrong_command_exits_with_2(words: list[str]) -> None:
    ended = run_bench(*words)
    assert ended.returncode == 2
    assert words[-1] in ended.stderr


def test_train_small_run_has_every_row_and_equal_losses() -> None:
    ended = run_bench("train", "--workload", "W1", "--rounds", "1", "--epochs-scale", "0.01")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = first_cells(ended.stdout)
    assert rows[:4] == ["way", "nnlab", "plain torch", "notebook"]
    assert [row.split()[0:3] for row in rows[4:6]] == [["nnlab", "/", "plain"], ["notebook", "/", "nnlab"]]
    assert "losses agree" in ended.stdout
    assert re.search(r"machine +\S.*\d+ cores", ended.stdout)
    assert re.search(r"torch \d+\.\d+\S*, \d+ threads", ended.stdout)
    # 0.01 of 1,000 epochs, and 0.01 of the notebook's 40 is still one
    assert re.search(r"nnlab +\d+ +10 ", ended.stdout)
    assert re.search(r"notebook +\d+ +1 ", ended.stdout)


def test_checkpoints_small_run_saves_where_it_should_and_changes_no_bit() -> None:
    ended = run_bench("checkpoints", "--workload", "W3", "--rounds", "1", "--seconds", "0.05")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"default +1 ", ended.stdout)
    assert re.search(r"never +0 ", ended.stdout)
    assert "losses are the same bits" in ended.stdout


#: the hand-written loop starts from other weights than nnlab
OTHER_WEIGHTS = """
import bench, bench_workloads as b
same = b.Case.plain_model
def other(case):
    model = same(case)
    model[0].weight.data += 0.1
    return model
b.Case.plain_model = other
raise SystemExit(bench.main("{words}".split()))
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train --workload W1 --rounds 1 --epochs-scale 0.002", ["losses DISAGREE"]),
        ("gradient --workload W1 --rounds 1 --repeats 1 --threads 2", ["; 2 threads\n", "gradients DISAGREE"]),
    ],
)
def test_bench_with_other_initial_weights_reports_disagreement(words: str, said: list[str]) -> None:
    ended = run_bench(code=OTHER_WEIGHTS.format(words=words))
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert [text for text in said if text not in ended.stdout] == []


def test_gradient_small_run_has_every_row_and_equal_gradients() -> None:
    ended = run_bench("gradient", "--rounds", "2", "--repeats", "2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    ratios = [f"{what}: backprop / {rival}" for what in ("gradient", "step") for rival in ("autograd", "plain torch")]
    tables = re.split(r"^(W\d)  ", ended.stdout, flags=re.MULTILINE)[1:]
    assert tables[::2] == ["W1", "W2", "W3"]
    for table in tables[1::2]:
        rows = [row for row in first_cells(table) if not row.startswith("NOISY")]
        assert rows[:4] == ["way", "autograd", "backprop", "plain torch"]
        assert [re.sub(r" +[\d.]+$", "", row) for row in rows[4:8]] == ratios
        assert "; 1 thread\n" in table
        assert "gradients agree" in table
        assert table.count("goal <= 1: ") == 1


def test_startup_small_run_has_every_row() -> None:
    ended = run_bench("startup", "--rounds", "1", "--epochs-scale", "0.005")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = first_cells(ended.stdout)
    pairs = [f"{who} {job}" for job in ("rings", "celsius") for who in ("nnlab", "by hand")]
    assert rows[:8] == ["command", "nnlab --help", "nnlab list", *pairs, "torch alone"]
    ratios = [f"{job} / by hand, {kind}" for job in ("rings", "celsius") for kind in ("seconds", "on cores")]
    assert rows[8:14] == ["compared", "celsius - torch alone, seconds", *ratios]
    kinds = {row.partition(" (")[0] for row in rows[15:]}
    maps = {"fitted_curve", "decision_map", "confusion_matrix", "predicted_vs_true"}
    assert kinds == {"learning_curves", "weights", *maps}


def test_shared_small_run_has_every_row() -> None:
    answer = run_bench("shared", "--rounds", "1", "--epochs", "2", "--width", "8")
    assert answer.returncode == 0, answer.stderr
    for text in ("nnlab, 2 processes", "DDP by hand, 2 processes", "nnlab, 1 process", "nnlab / DDP by hand "):
        assert text in answer.stdout


def test_search_small_run_has_every_row() -> None:
    answer = run_bench("search", "--trials", "6", "--epochs", "9", "--seeds", "2", "--data", "iris")
    assert answer.returncode == 0, answer.stderr
    for text in ("halved", "all to their ends", "goal <= 0.3: met", "paired by seed"):
        assert text in answer.stdout
