"""`nnlab evaluate`: the run's own figures once more, to the last bit, and those of other data."""

import json
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy

from nnlab.cli import main
from nnlab.evaluate import evaluate
from nnlab.manifest import write_manifest

FEW = ("trainer.threads=1", "logger=[]", "device=cpu", "trainer.max_epochs=3", "model.width=8")
RUNS = {
    "regression": (
        *("data=x_squared", "data.num_train=300", "data.num_valid=80", "data.num_test=90", "data.noise=0.1"),
        *("data.standardize=true", "data.standardize_target=true", "optim.lr=0.01"),
    ),
    "binary": (
        "data=circle",
        "data.expand=[x2,sin_y]",
        "data.standardize=true",
        "model.norm=batch",
        "metric=[f1,auroc]",
    ),
    "multiclass": ("data=iris", "optim=sgd", "optim.lr=3.0", "loss.class_weight=[1.0,2.0,3.0]"),
    "train_only": ("data=inline",),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    parent = tmp_path_factory.mktemp("runs")
    for name, words in RUNS.items():
        assert main(["train", *FEW, *words, f"hydra.run.dir={parent / name}"]) == 0
    return parent


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def as_json(capsys, *words):
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["regression", "binary", "multiclass"])
def test_test_figures_are_the_runs_own_to_the_last_bit(runs, capsys, name):
    found = as_json(capsys, runs / name)
    assert found["metrics"] == result_of(runs / name)["test"]
    assert (found["split"], found["checkpoint"], found["notes"]) == ("test", "best", [])
    assert found["step"] == result_of(runs / name)["best"]["step"]


@pytest.mark.parametrize("name", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize(("checkpoint", "row"), [("best", "best"), ("last", "final")])
def test_valid_figures_are_those_of_metrics_csv(runs, capsys, name, checkpoint, row):
    found = as_json(capsys, runs / name, "--split", "valid", "--checkpoint", checkpoint)
    wanted = result_of(runs / name)[row]
    assert found["metrics"] == {key: wanted[f"valid/{key}"] for key in found["metrics"]}


def test_other_rows_give_what_numpy_computes(runs, capsys):
    """The rows of another seed, made by the formula of the set; the preprocessing stays that of the training."""
    import torch

    from nnlab.data import x_squared

    folder = runs / "regression"
    found = as_json(capsys, folder, "data.seed=5", "data.num_test=50", "data.noise=0.0")
    rows = x_squared(num_train=300, num_valid=80, num_test=50, noise=0.0, seed=5).test
    assert torch.equal(rows.target, rows.inputs**2)  # so the targets are known without nnlab
    x = rows.inputs.numpy().astype(np.float64)
    about = json.loads((folder / "preprocessing.json").read_text())
    step = json.loads((folder / "checkpoints" / "best.json").read_text())["step"]
    p = safetensors.numpy.load_file(folder / "checkpoints" / f"{step}.safetensors")
    h = (x - about["input"]["mean"]) / about["input"]["std"]
    for layer in ("linear1", "linear2", "output"):
        h = h @ p[f"model.{layer}.weight"].T.astype(np.float64) + p[f"model.{layer}.bias"]
        h = np.maximum(h, 0) if layer != "output" else h
    value = h * about["target"]["std"] + about["target"]["mean"]
    residual = value - x**2
    assert found["rows"] == 50
    assert found["metrics"]["rmse"] == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-5)
    assert found["metrics"]["r2"] == pytest.approx(
        1 - (residual**2).sum() / ((x**2 - (x**2).mean()) ** 2).sum(), rel=1e-5
    )
    assert found["metrics"]["loss"] == pytest.approx((residual**2).mean() / about["target"]["std"][0] ** 2, rel=1e-5)


def test_page_is_aligned_with_six_digits(runs, capsys):
    assert main(["evaluate", str(runs / "regression")]) == 0
    page = capsys.readouterr().out.splitlines()
    step = result_of(runs / "regression")["best"]["step"]
    assert page[0] == f"x_squared: test split, 90 rows, best parameters (step {step})"
    figures = result_of(runs / "regression")["test"]
    assert [line.split() for line in page[1:]] == [[name, f"{value:.6g}"] for name, value in figures.items()]
    assert len({len(line) for line in page[1:]}) == 1


def test_without_a_test_split_the_next_one_is_taken_and_named(runs, capsys):
    assert as_json(capsys, runs / "train_only")["split"] == "train"
    assert as_json(capsys, runs / "multiclass", "data.test_fraction=0.0")["split"] == "valid"
    assert main(["evaluate", str(runs / "train_only"), "--split", "test"]) == 2
    assert "--split test: these data have no such split, only train" in capsys.readouterr().err


def test_another_data_set_of_the_same_shape_is_taken(runs, capsys):
    found = as_json(capsys, runs / "binary", "data=gauss", "data.noise=0.5")
    assert set(found["metrics"]) == {"loss", "f1", "auroc"}
    assert found["metrics"] != result_of(runs / "binary")["test"]
    assert found["notes"] == []


def test_columns_of_other_names_are_noted(runs, tmp_path, capsys):
    folder = shutil.copytree(runs / "binary", tmp_path / "run")
    for file, keys in (("run.json", ("data", "input_names")), ("preprocessing.json", ("columns",))):
        content = node = json.loads((folder / file).read_text())
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = ["length", "width"]
        (folder / file).write_text(json.dumps(content))
    write_manifest(folder)
    notes = as_json(capsys, folder)["notes"]
    assert notes == ["the inputs are called x, y here, and length, width in the training"]


REFUSED = [
    ("regression", ["data.nois=1"], "data.nois=1: the data have no key 'nois'; did you mean noise?"),
    ("regression", ["data.noise=abc"], "data.noise=abc: expected a number, found 'abc'"),
    ("regression", ["data.num_test=1.5"], "data.num_test=1.5: expected a whole number, found 1.5"),
    ("regression", ["data.num_test=-1"], "data.num_test: expected"),
    ("regression", ["data.standardize=false"], "cannot be set here: the preprocessing is that of the training"),
    ("regression", ["data.batch_size=7"], "it changes nothing in an evaluation"),
    ("regression", ["data._target_=os.system"], "cannot be set here"),
    ("regression", ["optim.lr=1"], "only data and device and plugins can be set here"),
    ("regression", ["seed=1"], "only data and device and plugins can be set here"),
    ("regression", ["data.seed=1,2"], "expected one value, found several"),
    ("regression", ["+data.more=1"], "expected key=value, without + and ~"),
    ("regression", ["~data.noise"], "expected key=value, without + and ~"),
    ("regression", ["data.seed=${oc.env:HOME}"], "interpolations are not resolved here"),
    ("regression", ["data=ring"], "data has no option 'ring'; did you mean rings"),
    ("regression", ["data=rings"], "the data are multiclass, 2 inputs, the classes"),
    ("regression", ["data=rings"], "the model was trained on regression, 1 input, 1 target"),
    ("multiclass", ["data=wine"], "13 inputs"),
    ("binary", ["data=moons"], "the classes"),
    ("multiclass", ["device=gpu"], "device: expected auto, cpu, cuda or cuda:N, found 'gpu'"),
    ("multiclass", ["--split", "all"], "--split: expected train, valid or test, found 'all'"),
    ("multiclass", ["--checkpoint", "first"], "--checkpoint: expected best, last or average, found 'first'"),
    ("multiclass", ["--spilt", "test"], "--spilt: there is no such flag; did you mean --split?"),
    ("multiclass", ["--split"], "--split: a value is missing after it: train, valid or test"),
    ("multiclass", ["--json=1"], "--json: takes no value"),
    ("multiclass", ["--json", "--json"], "--json: given twice"),
    ("multiclass", ["plugins=[no_such_package]"], "there is no package 'no_such_package'"),
]


@pytest.mark.parametrize(("name", "words", "message"), REFUSED)
def test_mistakes_are_refused_in_words(runs, capsys, name, words, message):
    assert main(["evaluate", str(runs / name), *words]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_several_mistakes_are_told_at_once(runs, capsys):
    assert main(["evaluate", str(runs / "regression"), "data.nois=1", "data.noise=x"]) == 2
    assert "2 problems" in capsys.readouterr().err


def test_the_folder_may_stand_anywhere_even_with_an_equals_sign(runs, tmp_path, capsys):
    member = shutil.copytree(runs / "multiclass", tmp_path / "0_seed=0")
    found = as_json(capsys, "data.seed=3", member, "--split=train")
    assert found["rows"] == 90
    assert main(["evaluate"]) == 2
    assert "expected the folder of a run, as in nnlab evaluate outputs/" in capsys.readouterr().err


def test_rows_other_than_the_trainings_are_noted(runs, tmp_path, capsys):
    folder = shutil.copytree(runs / "multiclass", tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    record["config"]["data"]["seed"] = 9
    (folder / "run.json").write_text(json.dumps(record))
    write_manifest(folder)
    assert main(["evaluate", str(folder)]) == 0
    assert "note: these are not the rows that the run was trained and tested on" in capsys.readouterr().err


def test_a_config_that_asks_for_too_many_rows_is_refused_unless_they_are_typed(runs, tmp_path):
    folder = shutil.copytree(runs / "regression", tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    record["config"]["data"]["num_train"] = 10**12
    (folder / "run.json").write_text(json.dumps(record))
    write_manifest(folder)
    with pytest.raises(ValueError, match=re.escape("data.num_train: expected at most 100,000,000 here")):
        evaluate(folder, None, "best", [])
    assert evaluate(folder, None, "best", ["data.num_train=300"]).num_rows == 90


def test_nothing_is_written(runs, tmp_path, capsys):
    folder = shutil.copytree(runs / "multiclass", tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    as_json(capsys, folder)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
