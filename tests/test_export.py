"""`nnlab export`: one file for elsewhere, with the preprocessing inside, that says what the run says."""

import importlib.util
import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.numpy
import torch

from nnlab import export as exporting
from nnlab.cli import main
from nnlab.evaluate import make_data
from nnlab.lock import RunLock
from nnlab.manifest import write_manifest
from nnlab.restore import load_run

FEW = ("trainer.threads=1", "logger=[]", "device=cpu", "trainer.max_epochs=3", "model.width=6", "optim.lr=0.01")
RUNS = {
    "regression": (
        *("data=plane", "data.standardize=true", "data.standardize_target=true", "data.input_scale=0.5"),
        *("data.expand=[x2,y2,xy,sin_x,sin_y]", "model.activation=gelu"),
    ),
    "binary": ("data=circle", "model.norm=batch", "model.dropout=0.2", "model.activation=tanh"),
    "multiclass": ("data=iris", "trainer.precision=fp64"),
}
FILES = {"onnx": "model.onnx", "torch_export": "model.pt2"}
FORMATS = pytest.mark.parametrize("form", FILES)
NAMES = pytest.mark.parametrize("name", RUNS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    parent = tmp_path_factory.mktemp("runs")
    for name, words in RUNS.items():
        assert main(["train", *FEW, *words, f"hydra.run.dir={parent / name}"]) == 0
        for form in FILES:
            assert main(["export", str(parent / name), "--format", form]) == 0
    return parent


def function_of(file):
    """What somebody without nnlab makes of the file."""
    if file.suffix == ".onnx":
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        (given,), (made,) = session.get_inputs(), session.get_outputs()
        return lambda rows: session.run([made.name], {given.name: rows})[0]
    program = torch.export.load(file).module()
    return lambda rows: program(torch.from_numpy(rows)).detach().numpy()


def rows_of(folder, num_rows):
    width = len(json.loads((folder / "preprocessing.json").read_text())["columns"])
    return np.random.default_rng(num_rows).uniform(-3, 6, (num_rows, width)).astype(np.float32)


def in_numpy(folder, rows):
    """The whole way from rows to values or probabilities, in float64, from the run's plain files."""
    about = json.loads((folder / "preprocessing.json").read_text())
    config = json.loads((folder / "run.json").read_text())["config"]
    step = json.loads((folder / "checkpoints" / "best.json").read_text())["step"]
    tensors = safetensors.numpy.load_file(folder / "checkpoints" / f"{step}.safetensors")
    p = {key.removeprefix("model."): x.astype(np.float64) for key, x in tensors.items()}
    x = rows.astype(np.float64)
    a, b = x[:, 0], x[:, 1]
    added = {"x2": a**2, "y2": b**2, "xy": a * b, "sin_x": np.sin(a), "sin_y": np.sin(b)}
    x = np.column_stack([x, *(added[key] for key in about["expand"])]) * about["input_scale"]
    if about["input"]:
        x = (x - about["input"]["mean"]) / about["input"]["std"]
    activation = {
        "gelu": lambda z: torch.nn.functional.gelu(torch.from_numpy(z)).numpy(),
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
    }[config["model"]["activation"]]
    for layer in "12":
        x = x @ p[f"linear{layer}.weight"].T + p.get(f"linear{layer}.bias", 0.0)
        if f"norm{layer}.weight" in p:
            std = np.sqrt(p[f"norm{layer}.running_var"] + 1e-5)
            x = (x - p[f"norm{layer}.running_mean"]) / std * p[f"norm{layer}.weight"] + p[f"norm{layer}.bias"]
        x = activation(x)
    x = x @ p["output.weight"].T + p["output.bias"]
    if about["target"]:
        return x * about["target"]["std"] + about["target"]["mean"]
    if x.shape[1] == 1:
        one = 1 / (1 + np.exp(-x))
        return np.column_stack([1 - one, one])
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@NAMES
@FORMATS
def test_the_file_says_what_numpy_computes_for_any_number_of_rows(runs, name, form):
    function = function_of(runs / name / "export" / FILES[form])
    for num_rows in (1, 2, 300):
        rows = rows_of(runs / name, num_rows)
        expected = in_numpy(runs / name, rows)
        found = function(rows)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6 * np.abs(expected).max())


@NAMES
@FORMATS
def test_the_card_beside_it_names_everything(runs, name, form):
    card = json.loads((runs / name / "export" / f"{FILES[form]}.json").read_text())
    run = load_run(runs / name)
    assert (card["schema_version"], card["format"], card["file"], card["task"]) == (1, form, FILES[form], run.task)
    assert card["run"] == {"name": run.name, "folder": name, "checkpoint": "best", "step": run.step}
    (given,), (made,) = card["inputs"], card["outputs"]
    assert given["columns"] == list(run.input_names)
    assert given["shape"] == ["N", len(run.input_names)]
    assert given["dtype"] == "float32"
    if run.task == "regression":
        assert (made["name"], made["targets"], made["shape"]) == ("value", list(run.target_names), ["N", 1])
    else:
        assert (made["name"], made["classes"]) == ("probability", list(run.class_names))
        assert made["shape"] == ["N", len(run.class_names)]
    assert made["units"]
    num_rows = len(make_data(run).train)
    assert card["check"]["rows"] == min(256, num_rows)
    assert 0 <= card["check"]["largest_difference"] <= card["check"]["tolerance"] == 1e-5
    assert card["versions"]["torch"] == torch.__version__


def test_onnx_names_its_inputs_and_leaves_the_number_of_rows_free(runs):
    for name, output in (("regression", "value"), ("multiclass", "probability")):
        model = onnx.load(runs / name / "export" / "model.onnx")
        onnx.checker.check_model(model)
        (given,), (made,) = model.graph.input, model.graph.output
        assert (given.name, made.name) == ("rows", output)
        assert given.type.tensor_type.shape.dim[0].dim_param
        assert {node.domain for node in model.graph.node} == {""}  # operators that every runtime has


@FORMATS
def test_the_file_tells_nothing_of_the_machine_it_was_made_on(runs, form):
    for name in RUNS:
        payload = (runs / name / "export" / FILES[form]).read_bytes()
        for place in (str(exporting.__file__), "site-packages", str(runs)):
            assert place.encode() not in payload


def test_verify_knows_the_exported_files_and_the_rest_of_the_manifest_stays(runs, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(runs / "binary", folder)
    assert main(["verify", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(": whole\n")
    (folder / "export" / "model.onnx").write_bytes(b"x")
    (folder / ".hydra" / "config.yaml").write_text("{}")
    (folder / "mine.txt").write_text("")
    assert main(["export", str(folder), "--format", "torch_export"]) == 0
    assert main(["verify", str(folder)]) == 1
    damaged = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines() if " bytes, and " in line]
    assert damaged == [".hydra/config.yaml", "export/model.onnx"]


def test_export_into_a_run_that_is_in_use_leaves_its_manifest_to_it(runs, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(runs / "binary", folder)
    before = (folder / "manifest.json").read_bytes()
    with RunLock(folder):
        assert main(["export", str(folder), "--format", "torch_export"]) == 0
    assert "note: the files are not in the manifest: " in capsys.readouterr().out
    assert (folder / "manifest.json").read_bytes() == before


def test_another_folder_and_the_last_parameters_can_be_asked_for(runs, tmp_path, capsys):
    words = ["--format=torch_export", "--output", str(tmp_path / "a" / "b"), "--checkpoint", "last"]
    assert main(["export", str(runs / "binary"), *words]) == 0
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["model.pt2", "model.pt2.json"]
    card = json.loads((tmp_path / "a" / "b" / "model.pt2.json").read_text())
    assert card["run"]["checkpoint"] == "last"
    said = capsys.readouterr().out
    assert "agrees with the run on" in said
    assert "rows: largest difference" in said


class WrongModel(torch.nn.Module):
    def __init__(self, run, dtype):
        super().__init__()
        self.right = RIGHT(run, dtype)

    def forward(self, rows):
        return self.right(rows) * 1.0001


RIGHT = exporting.WholeModel


@FORMATS
def test_a_file_that_says_something_else_is_not_left(runs, tmp_path, capsys, monkeypatch, form):
    monkeypatch.setattr(exporting, "WholeModel", WrongModel)
    folder = shutil.copytree(runs / "regression", tmp_path / "run")
    shutil.rmtree(folder / "export")
    assert main(["export", str(folder), "--format", form]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "differs from the run by 0.0001, more than 1e-05; nothing was written" in said.err
    assert not (folder / "export").exists()


class Unfollowable(torch.nn.Module):
    def __init__(self, run, dtype):
        super().__init__()

    def forward(self, rows):
        return rows * len(rows.tolist())


@FORMATS
def test_a_model_that_cannot_be_exported_says_so(runs, tmp_path, capsys, monkeypatch, form):
    monkeypatch.setattr(exporting, "WholeModel", Unfollowable)
    assert main(["export", str(runs / "regression"), "--format", form, "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert f"the model cannot be exported as {form}: " in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_bf16_runs_are_exported_and_checked_in_fp32(runs, tmp_path, capsys):
    folder = shutil.copytree(runs / "binary", tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    record["config"]["trainer"]["precision"] = "bf16"
    (folder / "run.json").write_text(json.dumps(record))
    write_manifest(folder)
    assert main(["export", str(folder), "--format", "torch_export"]) == 0
    assert "note: trained with bf16: exported and checked in fp32" in capsys.readouterr().out
    card = json.loads((folder / "export" / "model.pt2.json").read_text())
    assert card["notes"] == ["trained with bf16: exported and checked in fp32"]


def test_without_its_packages_onnx_names_what_to_install(runs, tmp_path, capsys, monkeypatch):
    real = importlib.util.find_spec
    absent = ("onnxruntime", "onnxscript")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else real(name, *rest))
    assert main(["export", str(runs / "binary"), "--format", "onnx", "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "--format onnx needs onnxscript and onnxruntime: pip install 'nnlab[export]'" in said
    assert not (tmp_path / "out").exists()


def test_mistakes_are_refused_in_words(runs, tmp_path, capsys):
    (tmp_path / "file").touch()
    for words, message in (
        ([], "--format is missing: onnx or torch_export"),
        (["--format", "onxx"], "--format: expected onnx or torch_export, found 'onxx'"),
        (["--format", "onnx", "--output", str(tmp_path / "file")], "file is no folder"),
        (["--format", "onnx", "data.seed=1"], "only plugins can be set here"),
        (["--format", "onnx", "--mean"], "--mean: there is no such flag"),
    ):
        assert main(["export", str(runs / "binary"), *words]) == 2
        assert message in capsys.readouterr().err


def test_the_scale_of_a_difference_is_the_largest_value_of_its_column(runs):
    """A wrong metre among kilometres is found as a wrong millimetre among metres is."""
    run = load_run(runs / "regression")
    rows = make_data(run).train.inputs[:50]
    largest = run.predict(rows).value.abs().max()
    for wrong in (0.5e-5, 2e-5):
        found = exporting._largest_difference(run, lambda x, wrong=wrong: run.predict(x).value + wrong * largest, rows)
        assert found == pytest.approx(wrong, rel=0.05)
    assert exporting._largest_difference(run, lambda x: run.predict(x).value * float("nan"), rows) == float("inf")
    assert exporting._largest_difference(run, lambda x: run.predict(rows).value, rows) == float("inf")
