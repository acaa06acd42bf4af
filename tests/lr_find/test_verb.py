"""`nnlab lr-find` from command to table, figure and files."""

import csv
import json
import re
import shlex
import signal
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from nnlab.arguments import Arguments
from nnlab.cli import main
from nnlab.completion import candidates
from nnlab.config import Library
from nnlab.lr_find.verb import lr_find
from nnlab.metrics_file import read_metrics


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


X, Y = np.array([1.0, 2.0, 3.0]), np.array([2.1, 3.9, 6.2])
#: y = w x from w = 0, all rows in one batch
LINE = (
    *("data=inline", "data.inputs=[1.0,2.0,3.0]", "data.targets=[2.1,3.9,6.2]", "data.shuffle=false"),
    *("model=linear", "model.bias=false", "init=zeros", "optim=sgd", "trainer.threads=1"),
)
SMALL = (
    "data=moons",
    "data.num_train=200",
    "data.num_valid=100",
    "model.width=8",
    "model.depth=1",
    "trainer.threads=1",
)


def found(capsys, *words, code=0):
    """What a command prints, and the folder that it leaves."""
    assert main(["lr-find", *words]) == code
    page = capsys.readouterr().out
    return page, Path(shlex.split(re.search(r"^files +(.+)$", page, re.M)[1])[0])


def rows_of(folder):
    with open(folder / "lr_find.csv") as file:
        return list(csv.DictReader(file))


def test_sweep_of_a_line_has_the_losses_of_the_closed_form(capsys):
    words = ("--steps", "2", "--min-lr", "0.001", "--max-lr", "1", "--seeds", "2")
    page, folder = found(capsys, *LINE, *words)
    rows = rows_of(folder)
    rates = sorted({float(row["lr"]) for row in rows})
    assert rates == [0.001, 0.0022, 0.0046, 0.01, 0.022, 0.046, 0.1, 0.22, 0.46, 1.0]
    assert [row["seed"] for row in rows] == ["0", "1"] * 10
    # The loss of the second step, which is that of the weight after one update.
    weights = [rate * 2 * (X * Y).mean() for rate in rates]
    losses = np.array([((weight * X - Y) ** 2).mean() for weight in weights])
    np.testing.assert_allclose([float(row["train/loss"]) for row in rows[::2]], losses, rtol=1e-5)
    logs = np.log(np.maximum(losses, 1e-3 * losses[0]))
    padded = np.array([logs[0], *logs, logs[-1]])
    best = rates[int(np.argmin(padded[:-2] + 2 * padded[1:-1] + padded[2:]))]
    assert best == 0.1  # 1 / (2 mean(x²)) = 0.107 goes there in one step
    assert f"optim.lr={best:g}  (smallest loss" in page
    content = json.loads((folder / "lr_find.json").read_text())
    assert content["suggestion"] == best
    assert content["metric"] == "train/loss"
    np.testing.assert_allclose(content["losses"][0], losses, rtol=1e-5)
    assert content["config"]["data"]["inputs"] == [1.0, 2.0, 3.0]


def test_range_test_of_a_line_takes_each_step_at_its_own_rate(capsys):
    _, folder = found(capsys, *LINE, "--method", "range", "--steps", "60", "--min-lr", "1e-4", "--max-lr", "10", code=0)
    rows = rows_of(folder)
    weight, smooth, expected, means = 0.0, 0.0, [], []
    for step, rate in enumerate(np.geomspace(1e-4, 10, 60), 1):
        expected.append(float(((weight * X - Y) ** 2).mean()))
        smooth = 0.9 * smooth + 0.1 * expected[-1]
        means.append(smooth / (1 - 0.9**step))
        if means[-1] > 4 * min(means):
            break
        weight -= rate * (2 * (weight * X - Y) * X).mean()
    assert 40 < len(expected) < 60  # it diverges beyond 2 / (2 mean(x²)) = 0.21
    # The last steps multiply the rounding of float32 by ten each.
    np.testing.assert_allclose([float(row["train/loss"]) for row in rows], expected, rtol=2e-3)
    np.testing.assert_allclose([float(row["train/loss"]) for row in rows[:-4]], expected[:-4], rtol=1e-5)
    np.testing.assert_allclose([float(row["smoothed"]) for row in rows], means, rtol=2e-3)
    assert 1e-3 < json.loads((folder / "lr_find.json").read_text())["suggestion"] < 0.21


def test_trainings_of_a_sweep_are_the_runs_own(capsys):
    _, folder = found(capsys, *SMALL, "--steps", "20", "--min-lr", "0.01", "--max-lr", "0.1", "--rates", "2", "seed=4")
    rows = {(float(row["lr"]), int(row["seed"])): float(row["valid/loss"]) for row in rows_of(folder)}
    assert set(rows) == {(lr, seed) for lr in (0.01, 0.1) for seed in (4, 5, 6)}
    for lr, seed in ((0.01, 4), (0.1, 6)):
        words = ["trainer.max_steps=20", "trainer.eval_every=4", "logger=[]", "figures=[]", f"hydra.run.dir=run{lr}"]
        assert main(["train", *SMALL, f"optim.lr={lr}", f"seed={seed}", *words]) == 0
        run = read_metrics(Path(f"run{lr}/metrics.csv"))
        best = min(row["valid/loss"] for row in run if isinstance(row["valid/loss"], float))
        assert rows[lr, seed] == pytest.approx(best, rel=1e-4)


def test_page_names_files_and_a_command_that_trains(capsys):
    words = ("--steps", "5", "--rates", "4", "--seeds", "1")
    page, folder = found(capsys, *SMALL, "optim.lr=0.3", *words)
    assert folder.parent == Path("outputs/moons/lr_find")
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == {"lr_find.csv", "lr_find.json", "figures/lr_find.png", "figures/lr_find.svg"}
    height, width, _ = matplotlib.image.imread(folder / "figures" / "lr_find.png").shape
    assert min(height, width) > 200
    command = shlex.split(re.search(r"^go on +(.+)$", page, re.M)[1])
    suggestion = json.loads((folder / "lr_find.json").read_text())["suggestion"]
    assert command == ["nnlab", "train", *SMALL, f"optim.lr={suggestion:g}"]
    assert main([*command[1:], "trainer.max_epochs=1", "logger=[]", "figures=[]"]) == 0


def test_same_command_gives_the_same_bytes_and_draws_what_figures_says(capsys):
    words = (*SMALL, "--steps", "10", "--rates", "5", "--min-lr", "1e-3", "--max-lr", "1")
    _, first = found(capsys, *words, "figures=[svg]")
    page, second = found(capsys, *words, "figures=[]")
    assert (first / "lr_find.csv").read_bytes() == (second / "lr_find.csv").read_bytes()
    assert [path.name for path in (first / "figures").iterdir()] == ["lr_find.svg"]
    assert not (second / "figures").exists()
    assert "figure " not in page


def test_everything_that_diverges_is_said_and_is_no_suggestion(capsys):
    words = ("--steps", "60", "--min-lr", "1e3", "--max-lr", "1e6", "--seeds", "1")
    page, folder = found(capsys, *LINE, *words, code=1)
    assert "no suggestion: every training diverged, at rates from 1000 on" in page
    assert {row["status"] for row in rows_of(folder)} == {"diverged"}
    assert {row["train/loss"] for row in rows_of(folder)} == {""}
    assert json.loads((folder / "lr_find.json").read_text())["suggestion"] is None
    assert "go on" not in page
    page, _ = found(capsys, *LINE, "--method", "range", "--min-lr", "1e3", "--max-lr", "1e6", code=1)
    assert "no suggestion: the loss falls nowhere" in page


def test_best_rate_at_an_edge_is_said(capsys):
    page, _ = found(capsys, *LINE, "--steps", "2", "--min-lr", "1e-6", "--max-lr", "1e-3", "--seeds", "1")
    assert "note: 0.001 is the greatest rate that was tried: --max-lr 0.1 looks further" in page


#: words -> a note
NOTES = {
    ("schedule=cosine",): "note: schedule=cosine and its warm-up are set aside: every rate is tried as a constant",
    ("schedule.warmup_steps=5",): "note: schedule=constant and its warm-up are set aside",
    ("callback=[early_stopping,norms]",): "note: callbacks are set aside: early_stopping, norms",
    ("optim=rprop",): "note: optim=rprop: lr is the size of its first step only",
    ("optim=adadelta",): "note: optim=adadelta: lr is a factor of a step",
    ("optim=lbfgs", "data.batch_size=200"): "note: optim=lbfgs: lr is a factor of a whole quasi-Newton step",
}


@pytest.mark.parametrize("words", NOTES, ids=" ".join)
def test_what_has_no_part_or_another_meaning_is_said(words, capsys):
    page, _ = found(capsys, *SMALL, *words, "--steps", "4", "--rates", "3", "--seeds", "1", "figures=[]")
    assert NOTES[words] in page


#: words -> what is said, exit code 2
REFUSED = {
    ("--method", "foo"): "--method: expected sweep or range, found 'foo'",
    ("--methud", "range"): "--methud: there is no such flag; did you mean --method",
    ("-m",): "-m: there is no such flag",
    ("--min-lr", "x", "optim.lrr=1"): "lr-find: 2 problems",
    ("trainer.max_epochs=0",): "trainer.max_epochs: expected a run of at least one step, found 0",
    ("optim=lbfgs", "--method", "range"): "--method range: optim=lbfgs: each of its steps is a line of steps",
    ("optim=rprop", "--method", "range"): "--method range: optim=rprop: it reads its rate once",
    ("optim.lr=abc",): "optim.lr",
}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_wrong_command_is_refused_and_leaves_nothing(words, capsys):
    assert main(["lr-find", *words]) == 2
    assert REFUSED[words] in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_signal_ends_it_with_its_code_and_leaves_nothing(capsys):
    def say(line):
        if "in 1 stack" in line:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(SystemExit) as ending:
        lr_find(Arguments([*SMALL], {"--rates": "3", "--steps": "50"}), say)
    assert ending.value.code == 130
    assert not Path("outputs").exists()
    assert "nothing is written" in capsys.readouterr().err


@pytest.mark.parametrize("optim", Library().options("optim"))
def test_every_optimizer_has_a_rate_to_find(optim, capsys):
    page, _ = found(capsys, *SMALL, f"optim={optim}", "--steps", "4", "--rates", "4", "--seeds", "1", "figures=[]")
    assert re.search(r"^optim\.lr=[\d.e-]+  \(", page, re.M)


def test_help_and_completion_know_the_flags(capsys):
    assert main(["lr-find", "--help"]) == 0
    usage = capsys.readouterr().out
    flags = ["--method", "--min-lr", "--max-lr", "--rates", "--steps", "--seeds", "--config-dir"]
    assert all(f"  {flag}" in usage or f", {flag}" in usage for flag in flags)
    assert candidates("nnlab lr-f") == ["lr-find"]
    assert candidates("nnlab lr-find --m") == ["--method", "--min-lr", "--max-lr"]
    assert candidates("nnlab lr-find data=iris --method ") == ["sweep", "range"]
    assert candidates("nnlab lr-find optim=adam") == ["optim=adam", "optim=adamax", "optim=adamw"]
    assert not {"--method", "--seeds"} & set(candidates("nnlab train --"))
