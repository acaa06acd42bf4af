"""Runs and sweeps whose rows stay on disk: equal to rows in memory in the same order, and resumed exactly."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nnlab.cli import main
from nnlab.data.stream.stored import StoredRows
from nnlab.data.stream.streamed import Streamed
from nnlab.loss import CrossEntropy
from nnlab.metric import Accuracy, LogLoss
from nnlab.trainer import Trainer
from nnlab.trainer.interrupt import Interrupt
from nnlab.trainer.together import place_of

NUM_ROWS = 1003
WORDS = [
    "data=csv",
    "data.path=t.csv",
    "data.target=c",
    "data.batch_size=10",
    "model.widths=[8,8]",
    "device=cpu",
    "trainer.threads=1",
    "trainer.max_epochs=3",
    "metric=[accuracy,f1,auroc]",
    "logger=[]",
    "figures=[]",
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NNLAB_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_ROWS, 2))
    codes = np.digitize((x**2).sum(axis=1), [1.0, 3.0])
    rows = [f"{a:.6f},{b:.6f},{'abc'[c]}" for (a, b), c in zip(x, codes, strict=True)]
    Path("t.csv").write_text("\n".join(["x,y,c", *rows]) + "\n")
    return tmp_path


@pytest.fixture
def windows(monkeypatch):
    """So small that an epoch has several."""
    monkeypatch.setattr("nnlab.data.stream.streamed.WINDOW_ROWS", 130)
    monkeypatch.setattr("nnlab.trainer.folded.ROWS_OF_PART", 150)
    monkeypatch.setattr("nnlab.trainer.stack.ROWS_OF_PART", 150)


def train(folder, *words):
    assert main(["train", *WORDS, *words, f"hydra.run.dir={folder}"]) == 0
    return rows_of(folder)


def rows_of(folder):
    """metrics.csv but for the time."""
    with open(Path(folder) / "metrics.csv") as file:
        return [{key: value for key, value in row.items() if key != "time_s"} for row in csv.DictReader(file)]


def close(one, other, rtol):
    """Equal columns, and numbers within a relative distance."""
    assert [list(row) for row in one] == [list(row) for row in other]
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose([float(x) for x in mine.values()], [float(x) for x in theirs.values()], rtol=rtol)


@pytest.mark.parametrize("compile", ["step", "off"])
def test_rows_that_fit_into_a_window_train_to_the_bits_of_rows_in_memory(compile, home):
    words = [f"trainer.compile={compile}"]
    assert train("disk", *words, "data.streaming=true") == train("memory", *words, "data.streaming=false")
    results = [json.loads((home / name / "result.json").read_text())["test"] for name in ("disk", "memory")]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "words", ["schedule.warmup_steps=100", "data.shuffle=false", "trainer.accumulate_steps=3", "model.dropout=0.2"]
)
def test_compiled_steps_in_windows_are_those_of_torch(words, home, windows):
    words = ["data.streaming=true", "trainer.precision=fp64", *words.split()]
    compiled, torchs = (train(name, *words, f"trainer.compile={name}") for name in ("step", "off"))
    close(compiled, torchs, 1e-9)


def stored(folder, inputs, target):
    inputs.numpy().tofile(folder / "i")
    target.numpy().tofile(folder / "t")
    return StoredRows(folder / "i", folder / "t", len(inputs), inputs.shape[1], tuple(target.shape[1:]), "int64", 5)


@pytest.mark.parametrize("compile", ["step", "off"])
@pytest.mark.parametrize("accumulate_steps", [1, 2])
def test_windows_train_as_the_same_rows_in_that_order_by_hand(compile, accumulate_steps, tmp_path, monkeypatch):
    monkeypatch.setattr("nnlab.trainer.folded.ROWS_OF_PART", 300)
    inputs = torch.randn(1003, 4, generator=torch.Generator().manual_seed(0))
    target = (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long()
    rows = Streamed(stored(tmp_path, inputs, target), lambda *pair: pair, 5, 130)

    def model():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()

    own = model()
    trainer = Trainer(
        own,
        CrossEntropy(0.0),
        torch.optim.SGD(own.parameters(), lr=0.1, momentum=0.9),
        metrics=[Accuracy(), LogLoss()],
        batch_size=10,
        accumulate_steps=accumulate_steps,
        seed=3,
        max_epochs=3,
        precision="fp64",
        device="cpu",
        compile=compile,
    )
    result = trainer.fit(rows, rows)
    by_hand = model()
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9)
    size = 10 * accumulate_steps
    for epoch in range(3):
        spans = rows.windows(epoch, size, shuffle=True)
        assert len(spans) > 5
        order = torch.cat(
            [torch.cat([torch.arange(*part) for part in one.parts])[one.order(3, epoch)] for one in spans]
        )
        losses, outputs = [], []
        for batch in order.split(size):
            optimizer.zero_grad()
            prediction = by_hand(inputs[batch].double())
            loss = nn.functional.cross_entropy(prediction, target[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.item() * len(batch))
            outputs.append(prediction.detach())
        row = result.history[epoch]
        right = (torch.cat(outputs).argmax(dim=1) == target[order]).double().mean().item()
        evaluated = by_hand(inputs.double()).detach()
        expected = {
            "train/loss": sum(losses) / 1003,
            "train/accuracy": right,
            "valid/loss": nn.functional.cross_entropy(evaluated, target).item(),
            "valid/accuracy": (evaluated.argmax(dim=1) == target).double().mean().item(),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-9), (epoch, name)
    for mine, theirs in zip(own.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("compile", ["step", "off"])
@pytest.mark.parametrize("steps", [25, 80])
def test_resumed_anywhere_in_an_epoch_has_the_bits_of_an_uninterrupted_run(compile, steps, home, windows):
    words = ["data.streaming=true", f"trainer.compile={compile}", "model.dropout=0.1", "schedule.warmup_steps=100"]
    whole = train("whole", *words)
    train("halved", *words, f"trainer.max_steps={steps}")
    assert main(["resume", "halved", "trainer.max_steps=10000"]) == 0
    assert [row for row in rows_of("halved") if row["step"] != str(steps)] == whole


#: a process of its own with windows as small as here
PATCHED = """
import sys
from nnlab.data.stream import streamed
from nnlab.trainer import folded, stack
streamed.WINDOW_ROWS = 130
folded.ROWS_OF_PART = stack.ROWS_OF_PART = 150
from nnlab.cli import main
sys.exit(main(sys.argv[1:]))
"""


def killed_midway(arguments, folder, done):
    process = subprocess.Popen([sys.executable, "-c", PATCHED, *arguments], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not done(folder) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"


def test_killed_run_goes_on_to_the_same_bits(home, windows):
    words = ["data.streaming=true", "trainer.max_epochs=12", "trainer.checkpoint_every=25", "data.batch_size=3"]
    whole = train("whole", *words)
    killed_midway(
        ["train", *WORDS, *words, "hydra.run.dir=killed"],
        home / "killed",
        lambda folder: (folder / "metrics.csv").exists() and len((folder / "metrics.csv").read_text().split("\n")) > 2,
    )
    assert subprocess.run([sys.executable, "-c", PATCHED, "resume", "killed"], check=False).returncode == 0
    assert rows_of("killed") == whole


@pytest.mark.parametrize("words", ["", "data.shuffle=false trainer.accumulate_steps=2"])
def test_members_of_a_sweep_read_once_and_equal_lone_runs(words, home, windows, monkeypatch, capsys):
    words = ["data.streaming=true", "trainer.precision=fp64", *words.split()]
    reads = []
    fill = Streamed.fill
    monkeypatch.setattr(
        Streamed, "fill", lambda self, spans, *rest: (reads.append(len(self)), fill(self, spans, *rest))
    )
    sweep = ["seed=0,1,2", "optim=sgd,adam", "hydra.sweep.dir=sweep"]
    assert main(["train", "-m", *WORDS, *words, *sweep]) == 0
    assert capsys.readouterr().out.count("note: rows stay on disk") == 1
    members = sorted(path.parent for path in Path("sweep").glob("*/run.json"))
    records = [json.loads((member / "run.json").read_text()) for member in members]
    assert [record["choices"]["engine"] for record in records] == ["stack"] * 6
    num_windows = len([rows for rows in reads if rows == max(reads)])
    reads.clear()
    train("lone", *words, "seed=1", "optim=adam", "trainer.compile=off")
    assert num_windows == len([rows for rows in reads if rows == max(reads)])  # six members, as often as one
    (same,) = [m for m, r in zip(members, records, strict=True) if {"seed=1", "optim=adam"} <= set(r["overrides"])]
    close(rows_of(same), rows_of("lone"), 1e-9)


def test_runs_in_different_epochs_do_not_read_together(tmp_path):
    inputs = torch.randn(100, 2)
    rows = Streamed(stored(tmp_path, inputs, (inputs[:, 0] > 0).long()), lambda *pair: pair, 0, 32)
    fittings = []
    for _ in range(2):
        model = nn.Linear(2, 2)
        trainer = Trainer(model, CrossEntropy(0.0), torch.optim.SGD(model.parameters(), lr=0.1), batch_size=4)
        fittings.append(trainer.begin(rows, None, Interrupt(), in_stack=True))
    assert place_of(fittings[0]) == place_of(fittings[1])
    fittings[1].progress.epoch = 1
    assert place_of(fittings[0]) != place_of(fittings[1])


def test_killed_sweep_goes_on_to_the_same_numbers(home, windows):
    words = ["data.streaming=true", "trainer.max_epochs=12", "trainer.checkpoint_every=25", "data.batch_size=3"]
    words += ["seed=0,1", "optim=sgd,adam", "trainer.precision=fp64"]
    assert main(["train", "-m", *WORDS, *words, "hydra.sweep.dir=whole"]) == 0
    killed_midway(
        ["train", "-m", *WORDS, *words, "hydra.sweep.dir=killed"],
        home / "killed",
        lambda folder: any(len(path.read_text().split("\n")) > 2 for path in folder.glob("*/metrics.csv")),
    )
    assert subprocess.run([sys.executable, "-c", PATCHED, "resume", "killed"], check=False).returncode == 0
    names = sorted(path.parent.name for path in Path("whole").glob("*/metrics.csv"))
    assert len(names) == 4
    for name in names:
        close(rows_of(Path("killed") / name), rows_of(Path("whole") / name), 1e-12)


def test_trained_run_is_evaluated_predicts_and_shows_its_data(home, windows, capsys):
    train("run", "data.streaming=true", "figures=[png]")
    result = json.loads(Path("run/result.json").read_text())
    assert any("rows stay on disk" in note for note in result["notes"])
    capsys.readouterr()
    assert main(["evaluate", "run", "--split", "test"]) == 0
    shown = capsys.readouterr().out
    assert f"{result['test']['accuracy']:.4f}"[:6] in shown
    assert main(["predict", "run", "--input", "t.csv", "--output", "-"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == NUM_ROWS + 1
    assert main(["data", *WORDS[:3], "data.streaming=true", "--figure", "columns.png"]) == 0
    assert "rows stay on disk" in capsys.readouterr().out
    assert Path("columns.png").stat().st_size > 1000
    assert list(Path("run/figures").glob("*.png"))


def test_diverged_run_goes_back_to_its_last_finite_parameters(home, windows):
    words = ["data.streaming=true", "optim=sgd", "optim.lr=1e6", "data.standardize=false", "loss=mse", "data.target=x"]
    words += ["metric=[]", "data.exclude=[c]", "trainer.on_divergence=stop"]
    assert main(["train", *WORDS, *words, "hydra.run.dir=run"]) == 0
    assert json.loads(Path("run/result.json").read_text())["status"] == "diverged"


def test_rows_that_vanish_end_the_run_with_one_line(home, windows, capsys):
    train("run", "data.streaming=true", "trainer.max_epochs=1")
    for file in (home / "cache" / "rows").rglob("train.inputs"):
        file.write_bytes(b"")
    assert main(["evaluate", "run", "--split", "train"]) == 0  # made anew
    assert "Traceback" not in capsys.readouterr().err


def test_threads_of_the_reader_end_with_the_training(home, windows):
    import threading

    train("run", "data.streaming=true", "trainer.compile=off")
    assert not [thread for thread in threading.enumerate() if "nnlab-reader" in thread.name]
