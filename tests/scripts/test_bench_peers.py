"""scripts/bench.py peers: its jobs, its comparison of losses, its page; whole runs. Times are never asserted."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(autouse=True)
def on_path(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)


def run_peers(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS.parent / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPTS / "bench.py"), "peers", "--quick", "--threads", "1", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)


def small_job(scale: float = 1.0):
    """3-5-2, mean squares, Adam; with a small scale its gradients are of the size of Adam's epsilon."""
    from peers.job import Job

    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((5, 3)) / 2, scale * rng.standard_normal((2, 5))]
    biases = [rng.standard_normal(5), scale * rng.standard_normal(2)]
    arrays = [rng.standard_normal((40, 3)), scale * rng.standard_normal((40, 2)), *weights, *biases]
    inputs, target, *layers = (array.astype(np.float32) for array in arrays)
    return Job("small", inputs, target, layers[:2], layers[2:], "mse", "adam", 0.1 * scale, 10, False)


def losses_by_numpy(job, epochs: int, has_hat: bool) -> list[float]:
    """Adam on mean squares in double precision, by hand."""
    arrays = [array.astype(float) for layer in zip(job.weights, job.biases, strict=True) for array in layer]
    means, squares = ([np.zeros_like(array) for array in arrays] for _ in range(2))
    losses, step = [], 0
    for _ in range(epochs):
        total = 0.0
        for first in range(0, 40, 10):
            x, y = (rows[first : first + 10].astype(float) for rows in (job.inputs, job.target))
            hidden = np.maximum(x @ arrays[0].T + arrays[1], 0)
            error = hidden @ arrays[2].T + arrays[3] - y
            total += (error**2).mean()
            delta = 2 * error / error.size
            back = delta @ arrays[2] * (hidden > 0)
            gradients = [back.T @ x, back.sum(0), delta.T @ hidden, delta.sum(0)]
            step += 1
            for array, mean, square, gradient in zip(arrays, means, squares, gradients, strict=True):
                mean += 0.1 * (gradient - mean)
                square += 0.001 * (gradient**2 - square)
                unbiased = 1 - 0.999**step
                # of Kingma and Ba's two forms this one is written with epsilon within the fraction
                epsilon = 1e-8 / np.sqrt(unbiased) if has_hat else 1e-8
                array -= job.lr / (1 - 0.9**step) * mean / (np.sqrt(square / unbiased) + epsilon)
        losses.append(total / 4)
    return losses


@pytest.mark.parametrize("scale", [1.0, 1e-7])
@pytest.mark.parametrize(
    ("module", "setting", "has_hat"),
    [
        ("peers.in_torch", "best", False),
        ("peers.in_torch", "epsilon_hat", True),
        ("peers.in_notebook", "defaults", False),
        ("peers.in_nnlab", "best", False),
    ],
)
def test_peer_in_this_environment_has_the_losses_of_numpy(module, setting, has_hat, scale):
    threads = torch.get_num_threads()
    job = small_job(scale)
    try:
        training = importlib.import_module(module).make(job, setting)
        runs = []
        for _ in range(2):  # back to the initial weights
            training.start(3, False)
            runs.append(training.run())
    finally:
        torch.set_num_threads(threads)
    assert runs[0] == runs[1]
    assert runs[0] == pytest.approx(losses_by_numpy(job, 3, has_hat), rel=1e-4, abs=0)


def test_place_of_epsilon_matters_to_the_losses_compared_above():
    plain, hat = (losses_by_numpy(small_job(1e-7), 3, has_hat)[-1] for has_hat in (False, True))
    assert abs(plain - hat) > 0.01 * plain


def test_job_saved_and_loaded_is_the_same(tmp_path):
    from peers.job import Job

    job = small_job()
    job.save(tmp_path / "job.npz")
    loaded = Job.load(tmp_path / "job.npz")
    assert (loaded.widths, loaded.optimizer, loaded.lr, loaded.num_steps) == ([3, 5, 2], "adam", 0.1, 4)
    for a, b in zip(
        (*job.weights, *job.biases, job.inputs), (*loaded.weights, *loaded.biases, loaded.inputs), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_growth_points_move_one_size_and_fill_their_batches():
    from peers.growth import SERIES, Point, names_of, point_of

    points = {name: point_of(name) for series in SERIES for name in names_of(series, is_quick=False)}
    assert points["width=1024"] == Point(width=1024)
    assert points["rows=1000000"] == Point(batch=1000, rows=1_000_000)
    assert [name for name, point in points.items() if point.rows % point.batch] == []


def compared(losses: dict[str, list[float]], with_hat: list[float]):
    from peers.measure import Variant, compare

    return compare([Variant(peer, "best", checked=values) for peer, values in losses.items()], with_hat)


@pytest.mark.parametrize(
    ("losses", "with_hat", "problems"),
    [
        ({"nnlab": [1.00001], "by_hand": [1.0]}, [], []),
        ({"nnlab": [1.001], "by_hand": [1.0]}, [], ["nnlab (best): loss 1.001 after epoch 1, expected 1"]),
        ({"by_hand": [1.0, 0.5], "jax": [1.0, float("nan")]}, [], ["JAX with optax (best): loss nan after epoch 2"]),
        ({"by_hand": [1.0], "keras": [1.2], "sklearn": [1.2]}, [1.2], []),
        ({"by_hand": [1.0], "keras": [1.0], "sklearn": [1.2]}, [1.2], ["Keras on JAX (best): loss 1 after epoch 1"]),
        ({"by_hand": [1.0], "keras": [1.0], "sklearn": [1.0]}, [], []),
    ],
)
def test_losses_are_compared_with_those_of_the_same_formula(losses, with_hat, problems):
    found = compared(losses, with_hat).problems
    assert len(found) == len(problems)
    assert all(text.startswith(start) for text, start in zip(found, problems, strict=True))


def test_page_takes_blocks_at_its_end_once_and_replaces_only_what_is_new(tmp_path):
    from peers.page import put

    page = tmp_path / "page.md"
    page.write_text("# Title\n\nText.\n")
    put(page, {"intro": "first", "warm": "w1", "cold": r"c\1"})
    put(page, {"warm": "w2"})
    text = page.read_text()
    assert text.startswith("# Title\n\nText.\n\n## Against other libraries\n\n<!-- peers: intro -->\nfirst\n")
    assert "w1" not in text
    assert [text.count(part) for part in ("## ", "first", "w2", r"c\1")] == [1, 1, 1, 1]


@pytest.mark.parametrize("words", [("--peers", "jax"), ("--write",)])
def test_peers_without_their_environment_are_named_and_nothing_is_measured(tmp_path, words):
    page = [str(tmp_path / "page.md")] if words == ("--write",) else []
    ended = run_peers("--env", str(tmp_path / "none"), *words, *page)
    assert ended.returncode == 2
    assert re.search(r"left out.*JAX with optax.*bench.py peers --install", ended.stdout)
    assert "µs" not in ended.stdout


def test_quick_run_of_own_peers_has_every_part_and_writes_page_and_figures(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Before\n")
    ended = run_peers("--peers", "nnlab", "by_hand", "--write", str(page))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = re.findall(r"^  (\S+(?: \S+)*)", ended.stdout, re.MULTILINE)
    titles = ["nnlab, best", "nnlab, defaults", "hand-written torch, best", "nnlab", "`import torch`, nothing else"]
    assert [title for title in titles if title not in rows] == []
    assert "losses agree after 3 epochs" in ended.stdout
    assert len(re.findall(r"µs a training step along (width|depth|batch|rows)\n", ended.stdout)) == 4
    assert re.search(r"training / loop \d", ended.stdout)
    text = page.read_text()
    assert text.startswith("# Before\n")
    assert text.count("| hand-written torch |") == 6  # warm, cold, four series
    figures = re.findall(r"\]\((figures/\S+)\)", text)
    assert len(figures) == 2
    assert all((tmp_path / figure).read_bytes().startswith(b"\x89PNG") for figure in figures)


#: not nnlab's cache, which is another one in tests
INSTALLED = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nnlab" / "peers"


@pytest.mark.skipif(not (INSTALLED / "requirements.txt").exists(), reason="needs `bench.py peers --install`")
def test_other_libraries_reach_the_losses_of_the_hand_written_loop():
    peers = ["by_hand", "jax", "keras", "sklearn", "skorch", "lightning"]
    ended = run_peers("--env", str(INSTALLED), "--only", "warm", "--workload", "W2", "--peers", *peers)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count(", best") == 6
    assert "losses agree after 1 epoch" in ended.stdout


def test_peer_that_fails_or_ends_is_named_with_what_it_said(tmp_path):
    from peers.process import PeerError, serving

    job = small_job()
    job.save(tmp_path / "job.npz")
    with serving("by_hand", Path(sys.executable), 1) as server:
        with pytest.raises(PeerError, match=r"hand-written torch: (.|\n)*nothing is prepared"):
            server.train(1, False)
        server.prepare(tmp_path / "job.npz", "best")
        assert len(server.train(2, False)[1]) == 2
        with pytest.raises(PeerError, match="FileNotFoundError"):
            server.prepare(tmp_path / "none.npz", "best")


def test_process_that_ends_without_an_answer_is_an_error_with_what_it_printed(tmp_path):
    from peers.process import PeerError, serving

    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no such library >&2\n")
    python.chmod(0o755)
    with serving("jax", python, 1) as server:
        for _ in range(2):
            with pytest.raises(PeerError, match="JAX with optax ended: no such library"):
                server.prepare(tmp_path / "job.npz", "best")
