"""Whole runs through the command line, in this process: folders, files, numbers."""

import csv
import json
import os
import re

import matplotlib.image
import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import nn

from nnlab import experiment
from nnlab.cli import main
from nnlab.metrics_file import read_metrics
from nnlab.schedule import Constant


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    """Run a command and give its newest run folder."""
    assert main(["train", *words]) == 0
    return newest()


def newest():
    from pathlib import Path

    return max(Path("outputs").glob("*/*"), key=lambda path: path.stat().st_mtime_ns)


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def without_time(path):
    with open(path) as file:
        return [[cell for name, cell in row.items() if name != "time_s"] for row in csv.DictReader(file)]


DRAWN = ("learning_curves", "decision_map", "confusion_matrix", "weights")


def test_train_leaves_the_whole_run_folder(work):
    folder = run("trainer.max_epochs=3", "data.num_train=1000", "optim.lr=0.01")
    assert folder.parent == __import__("pathlib").Path("outputs/rings")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?", folder.name)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    events = {name for name in there if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    assert there - events == {
        "run.json",
        "result.json",
        "manifest.json",
        "preprocessing.json",
        "train.log",
        "metrics.csv",
        ".hydra/config.yaml",
        ".hydra/overrides.yaml",
        ".hydra/hydra.yaml",
        "checkpoints/30.safetensors",
        "checkpoints/30.json",
        "checkpoints/last.json",
        "checkpoints/best.json",
        *(f"figures/{name}.{ending}" for name in DRAWN for ending in ("png", "svg")),
        *(f"arrays/{name}.npz" for name in ("about", "confusion", "grid", "weights")),
        *(f"arrays/rows_{split}.npz" for split in ("train", "valid", "test")),
    }


def test_run_json_is_the_resolved_config_and_everything_chosen(work):
    folder = run("trainer.max_steps=2", "seed=3", "data.seed=${seed}", "optim=sgd")
    record = json.loads((folder / "run.json").read_text())
    assert record["schema_version"] == 1
    assert record["config"]["data"]["seed"] == 3
    assert record["overrides"] == ["trainer.max_steps=2", "seed=3", "data.seed=${seed}", "optim=sgd"]
    assert "${" not in json.dumps(record["config"])
    assert record["choices"].keys() == {
        "device", "threads", "machine", "engine", "engine_reason", "compile", "stack_width",
    }  # fmt: skip
    assert record["options"]["optim"] == "sgd"
    assert record["versions"]["torch"] == torch.__version__
    assert re.fullmatch("[0-9a-f]{64}", record["data_fingerprint"])
    assert record["history"] == []
    assert record["plugins"] == []


def test_hydra_files_load_as_what_hydra_writes(work):
    folder = run("trainer.max_steps=2", "model.width=5")
    config = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert config.model.width == 5
    assert list(OmegaConf.load(folder / ".hydra" / "overrides.yaml")) == ["trainer.max_steps=2", "model.width=5"]
    assert "hydra" in OmegaConf.load(folder / ".hydra" / "hydra.yaml")
    resolved = OmegaConf.to_container(config, resolve=True)
    assert json.loads((folder / "run.json").read_text())["config"] == json.loads(json.dumps(resolved))


def test_metrics_csv_has_the_columns_of_the_contract(work):
    folder = run("data=x_squared", "data.num_train=100", "trainer.max_epochs=2", "metric=[mae,r2]")
    with open(folder / "metrics.csv") as file:
        columns = next(csv.reader(file))
    assert columns == [
        *("epoch", "step", "time_s", "train/loss", "valid/loss"),
        *("train/mae", "valid/mae", "train/r2", "valid/r2", "optim/lr"),
    ]
    assert [row["epoch"] for row in read_metrics(folder / "metrics.csv")] == [1, 2]


def test_result_json_agrees_with_metrics_csv_and_the_checkpoints(work):
    folder = run("data=moons", "trainer.max_epochs=12", "optim.lr=0.05", "data.num_train=200")
    result, rows = result_of(folder), read_metrics(folder / "metrics.csv")
    assert (result["name"], result["status"], result["epochs"], result["steps"]) == ("moons", "completed", 12, 84)
    assert result["final"] == rows[-1]
    best = min(rows, key=lambda row: row["valid/loss"])
    assert result["best"] == {"epoch": best["epoch"], "metric": "valid/loss", "value": best["valid/loss"]} | best
    last, chosen = (json.loads((folder / "checkpoints" / f"{w}.json").read_text())["step"] for w in ("last", "best"))
    assert (last, chosen) == (84, best["step"])
    rows_test = np.load(folder / "arrays" / "rows_test.npz")
    assert result["test"]["accuracy"] == pytest.approx((rows_test["target"] == rows_test["prediction"]).mean())


def test_same_command_gives_the_same_bits_and_another_seed_others(work):
    words = ["data=moons", "trainer.max_epochs=3", "model.dropout=0.2", "logger=[]"]
    folders = [run(*words), run(*words), run(*words, "seed=1")]
    metrics = [without_time(folder / "metrics.csv") for folder in folders]
    weights = [load_file(folder / "checkpoints" / "96.safetensors") for folder in folders]
    assert metrics[0] == metrics[1] != metrics[2]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_start_equals_a_plain_scripts(work):
    folder = run("seed=5", "trainer.max_epochs=0", "model.widths=[7,4]")
    torch.manual_seed(5)
    plain = nn.Sequential(nn.Linear(2, 7), nn.ReLU(), nn.Linear(7, 4), nn.ReLU(), nn.Linear(4, 3))
    saved = load_file(folder / "checkpoints" / "0.safetensors")
    ours = [saved[f"model.{layer}.{kind}"] for layer in ("linear1", "linear2", "output") for kind in ("weight", "bias")]
    assert all(torch.equal(a, b) for a, b in zip(ours, plain.parameters(), strict=True))


def test_notebook_losses_of_blobs_come_out(work):
    folder = run("experiment=blobs", "trainer.max_epochs=6", "trainer.threads=1", "logger=[]")
    sums = [row["train/loss"] * 4000 for row in read_metrics(folder / "metrics.csv")]
    assert sums == pytest.approx([107.9976, 8.7378, 8.2710, 0.8969, 0.2221, 0.0017], abs=1e-3)


def test_x_squared_experiment_reaches_its_figure(work):
    folder = run("experiment=x_squared", "logger=[]", "trainer.threads=1")
    assert result_of(folder)["final"]["valid/loss"] <= 2e-3


def test_rings_experiment_reaches_its_figure(work):
    folder = run("experiment=rings", "logger=[]", "trainer.eval_every=20", "trainer.threads=1")
    final = result_of(folder)["final"]
    assert final["train/accuracy"] >= 0.98
    assert final["valid/accuracy"] >= 0.98


def test_first_experience_is_good(work, capsys):
    folder = run()
    assert result_of(folder)["best"]["valid/accuracy"] >= 0.97
    printed = capsys.readouterr().out
    for words in ("10,000 train, 5,000 valid, 5,000 test rows", "10,703 parameters", "CrossEntropy", "Adam", "cpu"):
        assert words in printed
    assert "test (of best)" in printed
    assert f"nnlab dashboard {folder}" in printed
    lines = [line for line in printed.splitlines() if line.startswith("epoch") and "steps/s" in line]
    assert 5 <= len(lines) <= 12


def test_summary_prints_the_numbers_of_result_json(work, capsys):
    folder = run("data=x_squared", "trainer.max_epochs=2", "data.num_train=500")
    printed, result = capsys.readouterr().out, result_of(folder)
    row = next(line.split() for line in printed.splitlines() if line.startswith("loss "))
    expected = [
        result["best"]["train/loss"],
        result["best"]["valid/loss"],
        result["final"]["train/loss"],
        result["final"]["valid/loss"],
        result["test"]["loss"],
    ]
    assert [float(cell) for cell in row[1:]] == pytest.approx(expected, rel=1e-5)


def test_set_without_splits_says_so_everywhere(work, capsys):
    folder = run("data=celsius", "trainer.max_epochs=3")
    captured = capsys.readouterr()
    result = result_of(folder)
    assert result["best"]["metric"] == "train/loss"
    assert result["test"] == {}
    assert any("no validation split" in note for note in result["notes"])
    assert "there is no validation split" in captured.out
    with open(folder / "metrics.csv") as file:
        assert not any("valid" in column for column in next(csv.reader(file)))


def test_divergence_is_a_result_with_step_and_advice(work, capsys):
    words = ["data=celsius", "model=linear", "optim=sgd", "optim.lr=0.01", "data.standardize=false"]
    folder = run(*words, "data.standardize_target=false", "trainer.max_epochs=100")
    result = result_of(folder)
    assert result["status"] == "diverged"
    assert result["diverged_at"] == result["steps"] + 1
    assert "optim.lr" in capsys.readouterr().out
    for path in (folder / "checkpoints").glob("*.safetensors"):
        assert all(torch.isfinite(tensor.float()).all() for tensor in load_file(path).values())
    assert main(["train", *words, "trainer.on_divergence=fail", "trainer.max_epochs=100"]) == 1
    assert result_of(newest())["status"] == "failed"


def test_standardized_target_keeps_metrics_in_the_targets_units(work):
    folder = run("data=celsius", "trainer.max_epochs=0", "metric=[rmse]", "init=zeros")
    target = np.array([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0])
    final = result_of(folder)["final"]
    assert final["train/loss"] == pytest.approx(1.0, rel=1e-5)
    assert final["train/rmse"] == pytest.approx(target.std(), rel=1e-5)


@pytest.mark.parametrize(
    ("words", "figures"),
    [
        (["data=x_squared"], {"learning_curves", "fitted_curve", "predicted_vs_true"}),
        (["data=spirals"], {"learning_curves", "decision_map", "confusion_matrix"}),
        (["data=plane"], {"learning_curves", "value_map", "predicted_vs_true"}),
        (["data=iris"], {"learning_curves", "confusion_matrix"}),
        (["data=celsius"], {"learning_curves", "fitted_curve", "predicted_vs_true"}),
    ],
)
def test_figures_follow_from_the_data(words, figures, work):
    folder = run(*words, "trainer.max_epochs=2")
    assert {path.stem for path in (folder / "figures").iterdir()} == figures | {"weights"}
    for path in (folder / "figures").glob("*.png"):
        picture = matplotlib.image.imread(path)
        assert picture.shape[0] > 200
        assert picture[..., :3].std() > 0.02


def test_decision_map_array_is_what_the_model_decides(work):
    folder = run("data=gauss", "trainer.max_epochs=20", "optim.lr=0.01")
    grid = np.load(folder / "arrays" / "grid.npz")
    x, y = np.meshgrid(grid["x"], grid["y"])
    assert ((grid["codes"] == 1) == (x + y > 0)).mean() > 0.9
    assert grid["confidence"].min() >= 0.5


def test_run_that_fails_on_the_way_keeps_its_account(work, monkeypatch, capsys):
    def fail(self, base_lr, step, epoch):
        if step == 50:
            raise ZeroDivisionError("in a schedule")
        return base_lr

    monkeypatch.setattr(Constant, "learning_rate", fail)
    assert main(["train", "data=gauss", "trainer.max_epochs=5"]) == 1
    folder = newest()
    result = result_of(folder)
    assert (result["status"], result["epochs"], result["steps"]) == ("failed", 2, 50)
    assert "ZeroDivisionError: in a schedule" in result["error"]
    assert result["final"]["epoch"] == 2
    assert "Traceback" in (folder / "train.log").read_text()
    assert "Traceback" not in capsys.readouterr().err


def test_summary_on_a_narrow_terminal_cuts_no_number(work, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    folder = run("data=gauss", "trainer.max_epochs=2")
    assert f"{result_of(folder)['final']['valid/loss']:.6g}" in capsys.readouterr().out


def test_multirun_makes_ordinary_run_folders_and_a_table(work, capsys):
    words = ["-m", "optim=sgd,adam", "seed=0,1", "trainer.max_epochs=2", "data.num_train=500"]
    assert main(["train", *words]) == 0
    sweep = newest()
    members = sorted(sweep.glob("[0-9]*_*"))
    assert [path.name for path in members] == [
        "0_optim=sgd,seed=0", "1_optim=sgd,seed=1", "2_optim=adam,seed=0", "3_optim=adam,seed=1",
    ]  # fmt: skip
    alone = run("optim=adam", "seed=1", "trainer.max_epochs=2", "data.num_train=500")
    for row, of_member in zip(*(without_time(path / "metrics.csv") for path in (alone, members[3])), strict=True):
        assert list(map(float, of_member)) == pytest.approx(list(map(float, row)), rel=1e-4)
    names = [{re.sub(r"tfevents.*", "", p.name) for p in folder.rglob("*")} for folder in (alone, members[3])]
    assert names[0] == names[1]
    printed = capsys.readouterr().out
    assert all(path.name in printed for path in members)


def test_multirun_with_a_member_that_is_refused_goes_on_and_exits_with_1(work, capsys):
    assert main(["train", "-m", "loss=bce,cross_entropy", "trainer.max_steps=2"]) == 1
    members = sorted(newest().glob("[0-9]*_*"))
    assert [result_of(path)["status"] for path in members] == ["failed", "completed"]
    assert "does not fit data=rings" in result_of(members[0])["error"]


def test_two_runs_in_the_same_second_get_two_folders(work, monkeypatch):
    monkeypatch.setattr("time.localtime", lambda *a: __import__("time").struct_time((2026, 1, 2, 3, 4, 5, 4, 2, 0)))
    for _ in range(2):
        assert main(["train", "data=celsius", "trainer.max_steps=1", "logger=[]"]) == 0
    assert sorted(os.listdir("outputs/celsius")) == ["2026-01-02_03-04-05", "2026-01-02_03-04-05_2"]


def test_chosen_folder_is_used_and_never_a_second_time(work, capsys):
    words = ["train", "data=celsius", "trainer.max_steps=1", "hydra.run.dir='my runs/é 1'"]
    assert main(words) == 0
    before = (work / "my runs" / "é 1" / "result.json").read_bytes()
    assert main(words) == 2
    assert "nnlab resume" in capsys.readouterr().err
    assert (work / "my runs" / "é 1" / "result.json").read_bytes() == before


def test_folder_that_cannot_be_written_is_refused(work, capsys):
    assert main(["train", "data=celsius", "hydra.run.dir=/proc/nnlab"]) == 2
    assert "cannot write to /proc/nnlab" in capsys.readouterr().err


def test_refused_config_leaves_nothing_behind(work, capsys):
    assert main(["train", "loss=bce", "model.width=0"]) == 2
    assert not (work / "outputs").exists() or not list((work / "outputs").rglob("*"))


def test_precision_and_accumulation_reach_the_trainer(work):
    folder = run("data=gauss", "trainer.precision=fp64", "trainer.accumulate_steps=5", "trainer.max_epochs=2")
    assert result_of(folder)["steps"] == 10
    weights = load_file(folder / "checkpoints" / "10.safetensors")
    assert weights["model.linear1.weight"].dtype == torch.float64


def test_config_is_written_for_hydra_tools_and_log_for_people(work):
    folder = run("data=gauss", "trainer.max_steps=2")
    log = (folder / "train.log").read_text()
    for words in ("INFO data", "gauss: binary", "INFO model", "completed: all steps are done"):
        assert words in log
    assert yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())["trainer"]["max_steps"] == 2


def test_name_of_a_run_stands_in_its_result_from_the_start(work, monkeypatch):
    seen = []

    def look_then_finish(member, finish=experiment.finish):
        seen.append(result_of(member.folder))
        return finish(member)

    monkeypatch.setattr(experiment, "finish", look_then_finish)
    folder = run("name=mine", "data=gauss", "trainer.max_steps=2")
    assert folder.parent.name == "mine"
    assert (seen[0]["name"], seen[0]["status"]) == ("mine", "running")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss.class_weight=[1,2]"], "loss.class_weight: expected 3 numbers"),
        (["trainer.monitor=valid/los"], "expected one of train/loss, train/accuracy, valid/loss"),
        (["callback=early_stopping", "callback.early_stopping.monitor=valid/los"], "callback.early_stopping.monitor"),
        (["model.norm=batch", "data.batch_size=9999"], "batch norm cannot normalize"),
        (["optim.lr=-1"], "optim.lr: Invalid learning rate"),
        (["-m", "data.batch_size=0", "seed=1,2"], "data.batch_size: expected at least 1"),
        (["--cfg", "job", "--package", "optm"], ""),
    ],
)
def test_mistake_that_only_building_finds_exits_with_2_and_leaves_nothing(words, message, work, capsys):
    assert main(["train", *words]) == 2
    assert message in capsys.readouterr().err
    assert os.listdir(work) == []


def test_sweep_folder_is_never_used_for_a_second_sweep(work, capsys):
    words = ["train", "-m", "data=gauss", "trainer.max_steps=1", "logger=[]", "hydra.sweep.dir=sweep"]
    assert main([*words, "seed=1,2"]) == 0
    before = sorted(os.listdir("sweep"))
    assert main([*words, "seed=3,4"]) == 2
    assert "already holds a sweep" in capsys.readouterr().err
    assert sorted(os.listdir("sweep")) == before
