"""Opening a trained run: the numbers that NumPy gets from its files, and nothing that a stranger's folder asks for."""

import hashlib
import json
import os
import shutil
import struct
import sys

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import nnlab
from nnlab.cli import main
from nnlab.config import LIST_GROUPS, Library
from nnlab.folder import FolderError
from nnlab.manifest import write_manifest
from nnlab.restore import load_run
from nnlab.trust import check_config

FEW = ("trainer.threads=1", "logger=[]", "device=cpu", "trainer.max_epochs=4", "model.width=6")
RUNS = {
    "regression": (
        *("data=plane", "data.expand=[x2,xy]", "data.standardize=true", "data.standardize_target=true"),
        *("model.activation=tanh", "optim.lr=0.01"),
    ),
    "binary": ("data=circle", "data.input_scale=0.5", "model.norm=batch", "model.dropout=0.2"),
    "multiclass": ("data=iris", "optim=sgd", "optim.lr=3.0"),  # jumps about: its best epoch is not its last
    "fp64": ("data=x_squared", "data.num_train=200", "trainer.precision=fp64"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    parent = tmp_path_factory.mktemp("runs")
    for name, words in RUNS.items():
        assert main(["train", *FEW, *words, f"hydra.run.dir={parent / name}"]) == 0
    return parent


@pytest.fixture
def copy(runs, tmp_path):
    """A copy of a run, to be damaged."""

    def make(name="multiclass"):
        return shutil.copytree(runs / name, tmp_path / "run")

    return make


def parameters(folder, which="best"):
    step = json.loads((folder / "checkpoints" / f"{which}.json").read_text())["step"]
    tensors = safetensors.numpy.load_file(folder / "checkpoints" / f"{step}.safetensors")
    return {name.removeprefix("model."): x.astype(np.float64) for name, x in tensors.items() if "model." in name}


def features(folder, rows):
    """Expand, scale and standardize, from preprocessing.json alone."""
    about = json.loads((folder / "preprocessing.json").read_text())
    x = rows.astype(np.float64)
    added = {"x2": x[:, 0] ** 2, "xy": x[:, 0] * x[:, 1]} if x.shape[1] == 2 else {}
    x = np.column_stack([x, *(added[name] for name in about["expand"])]) * about["input_scale"]
    if about["input"]:
        x = (x - np.array(about["input"]["mean"])) / np.array(about["input"]["std"])
    return x, about["target"]


def forward(p, x, activation):
    for layer in ("1", "2"):
        x = x @ p[f"linear{layer}.weight"].T + p.get(f"linear{layer}.bias", 0.0)
        if f"norm{layer}.weight" in p:
            mean, var = p[f"norm{layer}.running_mean"], p[f"norm{layer}.running_var"]
            x = (x - mean) / np.sqrt(var + 1e-5) * p[f"norm{layer}.weight"] + p[f"norm{layer}.bias"]
        x = activation(x)
    return x @ p["output.weight"].T + p["output.bias"]


def relu(x):
    return np.maximum(x, 0)


def rows_for(folder, num_rows=9):
    width = len(json.loads((folder / "preprocessing.json").read_text())["columns"])
    return np.random.default_rng(0).uniform(-3, 6, (num_rows, width)).astype(np.float32)


def test_regression_gives_values_in_the_targets_units(runs):
    folder, rows = runs / "regression", rows_for(runs / "regression")
    x, target = features(folder, rows)
    expected = forward(parameters(folder), x, np.tanh) * target["std"] + target["mean"]
    prediction = load_run(folder).predict(torch.from_numpy(rows))
    np.testing.assert_allclose(prediction.value.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert prediction.label is None
    assert prediction.probability is None


def test_binary_gives_both_probabilities_by_the_running_moments(runs):
    folder, rows = runs / "binary", rows_for(runs / "binary")
    logit = forward(parameters(folder), features(folder, rows)[0], relu)[:, 0]
    prediction = load_run(folder).predict(torch.from_numpy(rows))
    one = 1 / (1 + np.exp(-logit))
    np.testing.assert_allclose(prediction.probability.numpy(), np.column_stack([1 - one, one]), atol=1e-6)
    assert prediction.label.tolist() == (logit > 0).astype(int).tolist()
    assert prediction.value is None


def test_multiclass_gives_softmax_and_the_largest(runs):
    folder, rows = runs / "multiclass", rows_for(runs / "multiclass")
    logits = forward(parameters(folder), features(folder, rows)[0], relu)
    prediction = load_run(folder).predict(torch.from_numpy(rows))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(prediction.probability.numpy(), powers / powers.sum(axis=1, keepdims=True), atol=1e-6)
    assert prediction.label.tolist() == logits.argmax(axis=1).tolist()


def test_fp64_computes_in_double(runs):
    folder, rows = runs / "fp64", rows_for(runs / "fp64")
    output = load_run(folder).predict(torch.from_numpy(rows)).output
    assert output.dtype == torch.float64
    np.testing.assert_allclose(output.numpy(), forward(parameters(folder), rows, relu), rtol=1e-12, atol=1e-12)


def test_bf16_computes_as_the_training_did(copy):
    folder = copy()
    changed(folder, "run.json", "config.trainer.precision", "bf16")
    rows = rows_for(folder)
    exact = forward(parameters(folder), features(folder, rows)[0], relu)
    error = np.abs(load_run(folder).predict(torch.from_numpy(rows)).output.numpy() - exact).max()
    assert 1e-5 < error < 0.05 * np.abs(exact).max()


def test_best_and_last_are_the_checkpoints_that_the_pointers_name(runs):
    folder = runs / "multiclass"
    found = {which: load_run(folder, which) for which in ("best", "last")}
    assert found["best"].step < found["last"].step  # else the case shows nothing
    for which, run in found.items():
        expected = parameters(folder, which)
        assert run.step == json.loads((folder / "checkpoints" / f"{which}.json").read_text())["step"]
        for name, tensor in run.model.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), expected[name].astype(np.float32))


def test_what_is_loaded_says_what_it_is(runs):
    run = nnlab.load_run(str(runs / "multiclass"))
    record = json.loads((runs / "multiclass" / "run.json").read_text())
    assert run.config == record["config"]
    assert (run.name, run.task, run.checkpoint, run.notes) == ("iris", "multiclass", "best", ())
    assert run.class_names == ("setosa", "versicolor", "virginica")
    assert run.target_names == ("species",)
    assert list(run.input_names) == record["data"]["input_names"] == record_columns(runs / "multiclass")
    assert not run.model.training
    with pytest.raises(AttributeError):
        run.step = 3


def record_columns(folder):
    return json.loads((folder / "preprocessing.json").read_text())["columns"]


def test_loading_needs_no_data_set(runs, monkeypatch):
    monkeypatch.setattr("sklearn.datasets.load_iris", lambda *_, **__: pytest.fail("the data were made again"))
    assert load_run(runs / "multiclass").step == 6


def test_neither_threads_nor_the_random_stream_move(runs):
    threads = torch.get_num_threads()
    torch.set_num_threads(3)  # the run has one
    torch.manual_seed(7)
    before = torch.get_rng_state()
    try:
        load_run(runs / "binary").predict(torch.zeros(2, 2))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_that_do_not_fit_are_refused_in_words(runs):
    run = load_run(runs / "multiclass")
    with pytest.raises(ValueError, match=r"expected rows of 4 columns \(sepal length.*found shape \[2, 3\]"):
        run.predict(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"expected floating-point numbers, found torch.int64; rows.float\(\)"):
        run.predict(torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="checkpoint: expected best, last or average, found 'newest'"):
        load_run(runs / "multiclass", "newest")


def test_a_folder_that_is_no_run_says_what_it_is(runs, tmp_path):
    with pytest.raises(FolderError, match=r"there is no folder .*/nothing"):
        load_run(tmp_path / "nothing")
    with pytest.raises(FolderError, match=r"run.json is missing: is .* a run folder"):
        load_run(tmp_path)
    shutil.copytree(runs / "multiclass", tmp_path / "sweep" / "0_seed=0")
    with pytest.raises(FolderError, match=r"is a sweep of 1 members; choose one of them, such as .*0_seed=0"):
        load_run(tmp_path / "sweep")


def changed(folder, file, path, value):
    """Set a value, or take it out, in a JSON file of a run."""
    content = json.loads((folder / file).read_text())
    node = content
    *parents, last = path.split(".")
    for part in parents:
        node = node[part]
    if value is GONE:
        del node[last]
    else:
        node[last] = value
    (folder / file).write_text(json.dumps(content))
    write_manifest(folder)  # as a careful forger would


GONE = object()
WRONG = [
    ("run.json", "schema_version", 2, "schema_version: expected up to 1, which this nnlab reads, found 2"),
    ("run.json", "schema_version", True, "schema_version: expected a whole number from 1, found True"),
    ("run.json", "config", [1], r"config: expected keys and values, found \[1\]"),
    ("run.json", "config.model", GONE, "config.model is missing"),
    ("run.json", "config.seed", "0", "config.seed: expected a whole number from 0, found '0'"),
    ("run.json", "config.trainer.precision", "fp8", "precision: expected fp32 or fp64 or bf16 or fp16, found"),
    ("run.json", "config.model.depth", "two", "model.depth: expected a whole number, found 'two'"),
    ("run.json", "config.model.deep", 2, "model.deep: nnlab.model.MLP takes no such key; did you mean depth"),
    ("run.json", "config.model.activation", "magic", "model: unknown activation 'magic'"),
    ("run.json", "config.model._args_", [1], "model._args_: cannot be set in a config"),
    ("run.json", "config.model._partial_", True, "model._partial_: cannot be set in a config"),
    ("run.json", "config.model.num_inputs", 4, "model.num_inputs: cannot be set in a config, nnlab sets it"),
    ("run.json", "config.optim.lr", "fast", "optim.lr: expected a number"),
    ("run.json", "data", GONE, "data is missing"),
    ("run.json", "data.task", "clustering", "data.task: expected regression or binary or multiclass, found 'cluster"),
    ("run.json", "data.task", "regression", "data.class_names: expected those of a regression data set"),
    ("run.json", "data.num_outputs", 4, "data.num_outputs: expected 3 for these targets and classes, found 4"),
    ("run.json", "data.class_names", ["a", "a", "b"], "data.class_names: expected a list of different names"),
    ("run.json", "data.input_names", ["a"], "preprocessing.json: columns: expected those of run.json"),
    ("run.json", "data.input_names", [1, 2, 3, 4], "data.input_names: expected a list of at least 1 different names"),
    ("run.json", "choices.threads", 0, "choices.threads: expected a whole number from 1, found 0"),
    ("run.json", "config.loss", {"_target_": "nnlab.loss.MSE"}, "loss=auto does not fit data=iris: it is for"),
    ("preprocessing.json", "input.std", [1.0, 1.0, 1.0], "input.std: expected a list of 4 numbers"),
    ("preprocessing.json", "input.mean", [10**400] * 4, "preprocessing.json: "),
    ("preprocessing.json", "input_scale", 0, "input_scale: expected a number > 0, found 0"),
    ("preprocessing.json", "target", {"mean": [0.0], "std": [1.0]}, "target: expected null as in run.json"),
    ("preprocessing.json", "expand", ["x2"], "expand: expected a data set of two input columns, found 4"),
    ("checkpoints/best.json", "step", "../../x", "best.json: step: expected a whole number"),
    ("checkpoints/best.json", "step", 5, "best.json: sha256: expected digests of 5.json and 5.safetensors"),
]


@pytest.mark.parametrize(("file", "path", "value", "message"), WRONG)
def test_a_wrong_value_in_a_file_is_named_with_file_and_key(copy, capsys, file, path, value, message):
    folder = copy()
    changed(folder, file, path, value)
    with pytest.raises(ValueError, match=message):
        load_run(folder)
    assert main(["evaluate", str(folder)]) == 2
    printed = capsys.readouterr().err
    assert (file.rpartition("/")[2] in printed) or "fit" in printed
    assert "Traceback" not in printed


SIZES = [
    ("config.model.width", 10**13, "model.width: expected at most 10,000 here, found 10,000,000,000,000"),
    ("config.model.depth", 10**9, "model.depth: expected at most 10,000 here, found 1,000,000,000"),
    ("config.model.widths", [4] * 20_000, "model.widths: expected at most 10,000 values here, found 20,000"),
    ("config.model.widths", [900, 900], r"linear1.weight to be \[900, 4\] float32, found \[6, 4\] float32"),
    ("config.model.width", 7, r"linear1.weight to be \[7, 4\] float32, found \[6, 4\] float32"),
    ("config.model.depth", 1, r"output.weight to be|linear2.weight to be nothing"),
    ("config.model.depth", 3, r"linear3.weight to be \[6, 6\] float32, found nothing"),
    ("config.model.norm", "batch", "norm1|linear1.bias"),
    ("config.trainer.precision", "fp64", r"linear1.weight to be \[6, 4\] float64, found \[6, 4\] float32"),
]


@pytest.mark.parametrize(("path", "value", "message"), SIZES)
def test_another_model_than_the_checkpoints_is_refused_before_memory_is_taken(copy, path, value, message):
    folder = copy()
    changed(folder, "run.json", path, value)
    with pytest.raises(ValueError, match=message):
        load_run(folder)


def forge(folder, payload):
    """Put a payload under the best checkpoint's name, with digests that are right, as a forger would."""
    pointer = folder / "checkpoints" / "best.json"
    content = json.loads(pointer.read_text())
    name = f"{content['step']}.safetensors"
    (folder / "checkpoints" / name).write_bytes(payload)
    content["sha256"][name] = hashlib.sha256(payload).hexdigest()
    pointer.write_text(json.dumps(content))


def test_a_forged_checkpoint_is_compared_tensor_by_tensor(copy):
    folder = copy()
    whole = safetensors.torch.load((folder / "checkpoints" / "6.safetensors").read_bytes())
    name = "model.linear2.weight"
    for wrong, message in (
        ({**whole, name: whole[name].half()}, r"linear2.weight to be \[6, 6\] float32, found \[6, 6\] float16"),
        ({**whole, name: whole[name][:, :5].clone()}, r"found \[6, 5\] float32"),
        ({key: value for key, value in whole.items() if key != name}, "model.linear2.weight"),
    ):
        forge(folder, safetensors.torch.save(wrong))
        with pytest.raises(FolderError, match=message):
            load_run(folder)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


def pickled():
    import pickle

    return pickle.dumps(Bomb())


def torch_pickled(tmp_path):
    torch.save({"model": Bomb()}, tmp_path / "bomb.pt")
    return (tmp_path / "bomb.pt").read_bytes()


def announcing(num_bytes):
    header = json.dumps({"x": {"dtype": "F32", "shape": [num_bytes // 4], "data_offsets": [0, num_bytes]}}).encode()
    return struct.pack("<Q", len(header)) + header


PAYLOADS = {
    "a pickle": lambda tmp_path: pickled(),
    "a file of torch.save": torch_pickled,
    "a header of terabytes": lambda tmp_path: struct.pack("<Q", 1 << 42) + b"{}",
    "a tensor of terabytes": lambda tmp_path: announcing(1 << 42),
    "nothing": lambda tmp_path: b"",
}


@pytest.mark.parametrize("kind", PAYLOADS)
@pytest.mark.parametrize("has_right_digest", [True, False])
def test_what_is_no_safetensors_file_is_refused_and_never_unpickled(
    copy, tmp_path, monkeypatch, capsys, kind, has_right_digest
):
    monkeypatch.chdir(tmp_path)
    folder = copy()
    payload = PAYLOADS[kind](tmp_path)
    if has_right_digest:
        forge(folder, payload)
    else:
        (folder / "checkpoints" / "6.safetensors").write_bytes(payload)
    assert_refused_and_nothing_done(folder, tmp_path, capsys, "checkpoints")


def assert_refused_and_nothing_done(folder, tmp_path, capsys, message, *words):
    """Every verb that uses a run refuses it, with exit code 2, and leaves no trace."""
    table = tmp_path / "rows.csv"
    names = record_columns(folder)
    table.write_text(",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n")
    before, modules = snapshot(tmp_path), set(sys.modules)
    for command in (
        ["evaluate", str(folder)],
        ["predict", str(folder), "--input", str(table), "--output", str(tmp_path / "out.csv")],
        ["export", str(folder), "--format", "torch_export"],
    ):
        assert main([*command, *words]) == 2
        said = capsys.readouterr()
        assert message in said.err
        assert "Traceback" not in said.err + said.out
    assert snapshot(tmp_path) == before
    assert not {name for name in set(sys.modules) - modules if name.split(".")[0] in ("setuptools", "pip", "evil")}


def snapshot(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


TARGETS = [
    {"_target_": "os.system", "command": "mkdir pwned"},
    {"_target_": "posix.system", "command": "mkdir pwned"},
    {"_target_": "logging.os.system", "command": "mkdir pwned"},
    {"_target_": "torch.nn.modules.module.os.system", "command": "mkdir pwned"},
    {"_target_": "nnlab.model.mlp.nn.modules.module.os.system", "command": "mkdir pwned"},
    {"_target_": "setuptools._distutils.spawn.spawn", "cmd": ["mkdir", "pwned"]},
    {"_target_": "pip._internal.main", "args": ["download", "evil"]},
    {"_target_": "builtins.open", "file": "pwned", "mode": "w"},
    {"_target_": "builtins.exec", "source": "open('pwned', 'w')"},
    {"_target_": "subprocess.run", "args": ["mkdir", "pwned"]},
    {"_target_": "torch.load", "f": "bomb.pt", "weights_only": False},
    {"_target_": "torch.hub.load", "repo_or_dir": "evil/evil", "model": "evil"},
    {"_target_": "evil.Model"},
    {"_target_": "!!python/object/apply:os.system ['mkdir pwned']"},
    {"_target_": ["os.system"]},
    {"_target_": "torch.nn.Module"},
]
PLACES = {
    "data": lambda config, node: config.update(data={**node, "batch_size": 1, "shuffle": True}),
    "model": lambda config, node: config.update(model=node),
    "model.activation": lambda config, node: config["model"].update(activation=node),
    "init": lambda config, node: config.update(init={**node, "bias": "default"}),
    "loss": lambda config, node: config.update(loss=node),
    "metric.auto": lambda config, node: config.update(metric={"auto": node}),
    "optim": lambda config, node: config.update(optim=node),
    "callback.mine": lambda config, node: config.update(callback={"mine": node}),
    "logger.mine": lambda config, node: config.update(logger={"mine": node}),
    "a list": lambda config, node: config["model"].update(widths=[{"deeper": [node]}]),
    "data.standardize": lambda config, node: config["data"].update(standardize=[node]),
    "a group of its own": lambda config, node: config.update(mine={"deep": [[node]]}),
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda node: str(node["_target_"])[:40])
def test_hostile_targets_are_refused_wherever_they_stand(copy, tmp_path, monkeypatch, capsys, target):
    monkeypatch.chdir(tmp_path)
    folder = copy()
    record = json.loads((folder / "run.json").read_text())
    plugins = ["os", "posix", "logging", "setuptools", "pip", "builtins", "subprocess", "evil"]
    for put in PLACES.values():
        hostile = json.loads(json.dumps(record))
        put(hostile["config"], target)
        hostile["config"]["plugins"] = hostile["plugins"] = plugins
        (folder / "run.json").write_text(json.dumps(hostile))
        assert_refused_and_nothing_done(folder, tmp_path, capsys, "run.json: ")


INTERPOLATIONS = [
    ("name", "${oc.env:HOME}"),
    ("model.activation", "${oc.env:HOME}"),
    ("data.seed", "${oc.decode:'1'}"),
    ("optim.lr", "${optim.eps}"),
    ("model.${oc.env:HOME}", 1),
]


@pytest.mark.parametrize(("key", "value"), INTERPOLATIONS)
def test_interpolations_are_refused_and_never_resolved(copy, tmp_path, monkeypatch, capsys, key, value):
    monkeypatch.setenv("HOME", "/a/secret")
    folder = copy()
    record = json.loads((folder / "run.json").read_text())
    node = record["config"]
    group, _, name = key.partition(".")
    (node[group] if name else node)[name or group] = value
    (folder / "run.json").write_text(json.dumps(record))
    assert main(["evaluate", str(folder)]) == 2
    printed = capsys.readouterr().err
    assert "run.json: config." in printed
    assert "secret" not in printed


TEXTS = {
    "YAML": "!!python/object/apply:os.mkdir ['pwned']\n",
    "nested": "[" * 100_000 + "]" * 100_000,
    "a list": "[1]",
    "empty": "",
    "no UTF-8": "\udcff",
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("file", ["run.json", "preprocessing.json", "checkpoints/best.json"])
def test_what_is_no_json_object_is_refused(copy, tmp_path, monkeypatch, capsys, kind, file):
    monkeypatch.chdir(tmp_path)
    folder = copy()
    columns = (folder / "preprocessing.json").read_bytes()
    (folder / file).write_bytes(TEXTS[kind].encode(errors="surrogateescape"))
    assert main(["evaluate", str(folder)]) == 2
    assert file in capsys.readouterr().err
    (folder / "preprocessing.json").write_bytes(columns)
    assert not (tmp_path / "pwned").exists()


def test_links_in_place_of_files_are_refused(copy, tmp_path, capsys):
    folder = copy()
    for file in ("run.json", "preprocessing.json", "checkpoints/best.json", "checkpoints/6.safetensors"):
        path = folder / file
        moved = path.rename(tmp_path / "elsewhere")
        path.symlink_to(moved)
        assert main(["evaluate", str(folder)]) == 2
        assert file in capsys.readouterr().err
        path.unlink()
        moved.rename(path)
    assert main(["evaluate", str(folder)]) == 0


def test_names_that_a_terminal_would_obey_are_not_printed_raw(copy, capsys):
    folder = copy()
    changed(folder, "run.json", "data.task", "\x1b]0;owned\x07")
    assert main(["evaluate", str(folder)]) == 2
    assert "\x1b" not in capsys.readouterr().err
    changed(folder, "run.json", "config.model.\x1b[2J", 1)
    assert main(["evaluate", str(folder)]) == 2
    assert "\x1b" not in capsys.readouterr().err


PACKAGE = """
from torch import nn

open("imported", "a").close()

class Line(nn.Module):
    def __init__(self, num_inputs: int, num_outputs: int, bias: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(num_inputs, num_outputs, bias=bias)
        assert self.layer.weight.abs().sum().item() > 0

    def forward(self, x):
        return self.layer(x)
"""


def test_a_package_of_ones_own_is_used_only_where_it_is_granted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "restored_lab.py").write_text(PACKAGE)
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "mine.yaml").write_text("# mine\n_target_: restored_lab.Line\nbias: true\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--config-dir", "mine", "model=mine", "plugins=[restored_lab]"]
    assert main(["train", "data=iris", *FEW[:-1], *words]) == 0
    (folder,) = (tmp_path / "outputs" / "iris").iterdir()
    del sys.modules["restored_lab"]
    (tmp_path / "imported").unlink()
    capsys.readouterr()
    with pytest.raises(ValueError, match=r"run.json: model._target_: expected a target in .*'restored_lab.Line'"):
        load_run(folder)
    assert main(["evaluate", str(folder)]) == 2
    assert "if you trust them, grant them: plugins=[restored_lab]" in capsys.readouterr().err
    assert not (tmp_path / "imported").exists()
    rows = torch.rand(3, 4)
    run = load_run(folder, plugins=["restored_lab"])
    assert run.predict(rows).output.shape == (3, 3)
    assert run.config["plugins"] == ["restored_lab"]
    assert main(["evaluate", str(folder), "plugins=[restored_lab]"]) == 0
    del sys.modules["restored_lab"]


def test_a_folder_grants_no_packages(copy):
    folder = copy()
    changed(folder, "run.json", "plugins", ["os"])
    changed(folder, "run.json", "config.plugins", ["os"])
    assert load_run(folder).config["plugins"] == []
    assert load_run(folder, plugins=["json"]).config["plugins"] == ["json"]


def test_what_the_machine_lacks_is_noted(copy):
    folder = copy()
    changed(folder, "run.json", "choices.threads", 10_000)
    changed(folder, "run.json", "config.trainer.precision", "fp16")
    changed(folder, "run.json", "choices.device", "cuda:0")
    run = load_run(folder)
    assert run.threads <= (os.cpu_count() or 1)
    assert [note.split(",")[0] for note in run.notes] == ["trained with fp16", "trained on cuda:0"]


def test_a_run_that_never_evaluated_names_the_other_checkpoint(copy):
    folder = copy()
    (folder / "checkpoints" / "best.json").unlink()
    with pytest.raises(FolderError, match=r"best\.json is missing.*--checkpoint last"):
        load_run(folder)
    assert load_run(folder, "last").checkpoint == "last"


def test_every_option_of_every_group_passes_the_check_of_configs(runs):
    """What may be trained may be opened: no option's own values are taken for a stranger's tricks."""
    base = json.loads((runs / "multiclass" / "run.json").read_text())["config"]
    count = 0
    for group in (group for group in Library().groups if group != "experiment"):
        for option in Library().options(group).values():
            content = json.loads(json.dumps(option.content))
            if "${" in json.dumps(content):
                continue
            node = {**base[group], **content} if group in LIST_GROUPS else content
            check_config({**base, group: node}, ())
            count += 1
    assert count >= 80
