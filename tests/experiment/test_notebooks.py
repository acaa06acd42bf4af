"""The notebooks' experiments: the figures that they print, or what float64 NumPy makes of the same arithmetic."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import make_blobs
from torch import nn

from nnlab import experiment
from nnlab.arguments import split_arguments
from nnlab.cli import main
from nnlab.command import resolved_config
from nnlab.config import Library, config_folder
from nnlab.gradient import FiniteDifference
from nnlab.loss import MSE
from nnlab.metrics_file import read_metrics
from nnlab.model import linear
from nnlab.trainer import Trainer

METHODS = ("autograd", "backprop", "finite_difference")


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name, *words, code=0):
    """Run an experiment and give its folder."""
    folder = Path(f"run{len(list(Path().iterdir()))}")
    fixed = ["logger=[]", "trainer.threads=1", f"hydra.run.dir={folder}"]
    assert main(["train", f"experiment={name}", *words, *fixed]) == code
    return folder


def fit(name, *words):
    """Train an experiment, without what follows a training, such as figures, and give its folder."""
    folder = Path(f"fit{len(list(Path().iterdir()))}")
    folder.mkdir()
    words = [f"experiment={name}", *words, "logger=[]", "trainer.threads=1"]
    member = experiment.prepare(*resolved_config(split_arguments(words)), words, folder, name)
    experiment.fit([member])
    member.built.trainer.close()
    assert member.error is None
    return folder


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def losses(folder):
    return [row["train/loss"] for row in read_metrics(folder / "metrics.csv")]


def trace(folder):
    """Columns of trace.csv; the start has no loss and no gradient."""
    with open(folder / "trace.csv") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


def last_parameters(folder):
    last = json.loads((folder / "checkpoints" / "last.json").read_text())["step"]
    saved = load_file(folder / "checkpoints" / f"{last}.safetensors")
    return {name.removeprefix("model."): x.numpy() for name, x in saved.items() if name.startswith("model.")}


def prediction(folder):
    return np.load(folder / "arrays" / "rows_train.npz")["prediction"].squeeze()


def config_of(*words):
    return resolved_config(split_arguments(list(words)))[0]


def text_of(name):
    return Library().options("experiment")[name].path.read_text(encoding="utf-8")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# The fifth notebook: one neuron, one hidden layer


def seed_7():
    """The notebook's random calls in their order."""
    torch.manual_seed(7)
    x = torch.randn(size=(1, 5))
    w, b = torch.rand_like(x), torch.randn(size=(1, 1))
    torch.randn(1, 3)
    shallow = [torch.randn(size=size) for size in ((1, 3), (3, 2), (2, 1), (1, 2), (1, 1))]
    x2, *weights, b1, b2 = shallow
    return {"neuron": (x, [w.T], [b]), "shallow": (x2, weights, [b1, b2])}


@pytest.mark.parametrize(("name", "printed"), [("neuron", 0.6140), ("shallow", 0.6247)])
def test_evaluated_network_has_the_drawn_numbers_and_the_printed_output(name, printed, work, capsys):
    inputs, weights, biases = seed_7()[name]
    config = config_of(f"experiment={name}")
    assert torch.equal(torch.tensor(config["data"]["inputs"]), inputs)
    for given, weight in zip(config["init"]["weights"], weights, strict=True):
        assert torch.equal(torch.tensor(given), weight.T)
    for given, bias in zip(config["init"]["bias"], biases, strict=True):
        assert torch.equal(torch.tensor([given]), bias)
    a = inputs.double().numpy()
    for weight, bias in zip(weights, biases, strict=True):
        a = sigmoid(a @ weight.double().numpy() + bias.double().numpy())
    folder = run(name)
    assert prediction(folder) == pytest.approx(a.item(), rel=1e-6)
    assert round(a.item(), 4) == printed
    out = capsys.readouterr().out
    assert re.search(rf"^ +1 +1\.0000 +{printed:.4f}$", out, re.MULTILINE)
    assert result_of(folder)["steps"] == 0
    assert losses(folder) == [pytest.approx((1 - a.item()) ** 2, rel=1e-6)]
    assert f"{losses(folder)[0]:.4f}" in text_of(name)


def test_column_of_weights_is_refused_with_both_shapes_and_the_remedy(work, capsys):
    """The example in the experiment's own words."""
    (column,) = re.findall(r"'(init\.weights=.*)'", text_of("neuron"))
    run("neuron", column, code=2)
    error = capsys.readouterr().err
    for words in ("init.weights[0]", "1 x 5", "5 x 1", "transpose"):
        assert words in error


# The first notebook: the chain rule by hand

X = np.array([[-1.4169, -0.1208, 2.9017, -0.5320, 1.1673]])
Y = np.array([[0.9833]])
W1 = np.array([
    [-0.1227, -1.7698, -0.4778], [-0.1151, -0.4091, -1.4808], [0.3592, -1.2880, -0.1151],
    [-1.5897, -0.7054, 1.2197], [1.2678, 0.9360, -1.2345],
])  # fmt: skip
W2 = np.array([[-0.7256], [0.2154], [0.0544]])
B1 = np.array([[-0.0885, 1.1882, 0.7300]])
B2 = np.array([[2.3224]])


def chain_rule(num_steps, lr=0.1, sums_hidden_deltas=False):
    """The notebook's cells with every step repeated; its update of the hidden bias, or the right one."""
    w1, w2, b1, b2 = (x.copy() for x in (W1, W2, B1, B2))
    halves = []
    for _ in range(num_steps):
        hidden = sigmoid(X @ w1 + b1)
        output = sigmoid(hidden @ w2 + b2)
        halves.append(0.5 * ((Y - output) ** 2).item())
        d_output = (Y - output) * output * (1 - output)
        d_hidden = d_output @ w2.T * hidden * (1 - hidden)
        w2 += lr * hidden.T @ d_output
        w1 += lr * X.T @ d_hidden
        b2 += lr * d_output
        b1 += lr * (d_hidden.sum() if sums_hidden_deltas else d_hidden)
    weights = {"linear1.weight": w1.T, "linear1.bias": b1[0], "output.weight": w2.T, "output.bias": b2[0]}
    return halves, weights, sigmoid(sigmoid(X @ w1 + b1) @ w2 + b2).item()


def test_three_layer_starts_with_the_printed_forward_pass(capsys):
    assert main(["model", "experiment=three_layer"]) == 0
    page = capsys.readouterr().out.partition("forward pass")[2]
    for name, numbers in {
        "input": "-1.4169 -0.1208 2.9017 -0.5320 1.1673",
        "activation1": "0.9697 0.8139 0.3020",
        "output_activation": "0.8594",
        "output.bias": "2.3224",
    }.items():
        assert re.search(rf"^  {name} +{numbers.replace(' ', ' +')}$", page, re.MULTILINE)


def test_three_layer_has_the_printed_output_bias_after_one_update(work):
    bias = last_parameters(fit("three_layer", "trainer.max_steps=1"))
    assert round(float(bias["output.bias"][0]), 4) == 2.3239
    expected = chain_rule(1)[1]
    assert all(bias[name] == pytest.approx(expected[name], abs=1e-6) for name in expected)


def test_three_layer_learns_in_every_epoch_what_the_chain_rule_says_and_prints_it(work, capsys):
    halves, weights, output = chain_rule(500)
    folder = run("three_layer")
    out = capsys.readouterr().out
    assert json.loads((folder / "run.json").read_text())["options"]["gradient"] == "backprop"
    found = losses(folder)
    assert np.all(np.diff(found) < 0)
    assert found == pytest.approx(halves, rel=1e-4)
    parameters = last_parameters(folder)
    assert all(parameters[name] == pytest.approx(weights[name], abs=1e-4) for name in weights)
    printed = out.partition("final parameters")[2]
    for name, values in weights.items():
        first, *others = [" +".join(f"{value:.4f}" for value in row) for row in np.atleast_2d(values)]
        assert re.search("\n".join([rf"^  {name} +{first}", *(rf" +{row}" for row in others)]) + "$", printed, re.M)
    by_autograd = last_parameters(fit("three_layer", "gradient=autograd"))
    assert all(parameters[name] == pytest.approx(by_autograd[name], rel=1e-5, abs=1e-7) for name in weights)
    for figure in (f"{halves[0]:.6f}", f"{halves[-1]:.6f}", f"{output:.4f}"):
        assert figure in text_of("three_layer")


def test_three_layer_tells_the_notebooks_summed_bias_from_its_own():
    text = " ".join(text_of("three_layer").replace("# ", "").split())
    for sums, words in ((False, "the hidden biases are"), (True, "sum they would be")):
        bias = chain_rule(500, sums_hidden_deltas=sums)[1]["linear1.bias"]
        assert f"{words} {', '.join(f'{value:.4f}' for value in bias)}" in text


# The second notebook: a derivative, a line that diverges, heights


@pytest.mark.parametrize("method", METHODS)
def test_derivative_is_55_by_every_method(method, work):
    columns = trace(fit("derivative", f"gradient={method}"))
    assert columns["loss"] == [2 * 12.5**2 + 5 * 12.5 + 6]
    assert columns["gradient/output.weight[0,0]"] == [pytest.approx(55, abs=1e-8)]


LINE = [(11.0, 21.0), (22.0, 14.0), (33.0, 64.0)]


def line(lr, num_epochs, dtype):
    """Losses, gradients and weights of y = w x, one row at a time."""
    w, steps = dtype(1), []
    for _ in range(num_epochs):
        for x, y in LINE:
            gradient = dtype(2) * dtype(x) * (w * dtype(x) - dtype(y))
            loss = (w * dtype(x) - dtype(y)) ** 2
            w = w - dtype(lr) * gradient
            steps.append((loss, gradient, w))
    return [np.array(column, dtype=np.float64) for column in zip(*steps, strict=True)]


def test_diverging_line_has_the_printed_gradients_and_losses_and_ends_with_advice(work):
    folder = run("diverging_line")
    columns, result = trace(folder), result_of(folder)
    printed = [-220.0, 2481.6001, -51303.6484, 118461.7578, -671630.6875, 13114108.0, -30279010.0]
    assert columns["gradient/output.weight[0,0]"][: len(printed)] == pytest.approx(printed, rel=1e-6)
    assert columns["loss"][:6] == pytest.approx([100, 3180.9602, 604238.8125, 28994192, 2.33e8, 3.9481e10], rel=1e-5)
    with np.errstate(over="ignore", invalid="ignore"):
        overflows = ~np.isfinite(line(0.01, 10, np.float32)[0])
    assert result["status"] == "diverged"
    assert result["diverged_at"] == np.argmax(overflows) + 1 == 24
    assert "at step 24; lower the learning rate (optim.lr)" in result["reason"]
    assert all(np.isfinite(x).all() for x in last_parameters(folder).values())


def test_line_with_a_small_learning_rate_goes_round_a_fixed_point(work):
    scale, shift = 1.0, 0.0  # an epoch takes w to scale * w + shift
    for x, y in LINE:
        scale, shift = (1 - 2e-4 * x * x) * scale, (1 - 2e-4 * x * x) * shift + 2e-4 * x * y
    folder = fit("diverging_line", "optim.lr=1e-4")
    assert losses(folder)[-1] < losses(folder)[0]
    w = last_parameters(folder)["output.weight"].item()
    assert w == pytest.approx(shift / (1 - scale), rel=1e-5)
    least_squares = sum(x * y for x, y in LINE) / sum(x * x for x, _ in LINE)
    for figure in (f"{w:.4f}", f"{least_squares:.4f}", f"{scale:.3f}"):
        assert figure in text_of("diverging_line")


POUNDS = np.array([115, 117, 120, 123, 126, 129, 132, 135, 139, 142, 146, 150, 154, 159, 164.0])
INCHES = np.arange(58.0, 73.0)


def central(function, delta=0.1):
    return (function(delta) - function(-delta)) / (2 * delta)


def squared_error(w, b):
    return ((w * POUNDS + b - INCHES) ** 2).mean()


def test_height_weight_fits_nearly_as_well_as_the_best_line(work):
    best = np.corrcoef(POUNDS, INCHES)[0, 1] ** 2
    r2 = read_metrics(fit("height_weight") / "metrics.csv")[-1]["train/r2"]
    assert r2 > 0.98
    assert r2 == pytest.approx(best, abs=1e-5)
    assert f"{best:.4f}" in text_of("height_weight")


def test_height_weight_raw_takes_one_step_of_finite_differences(work):
    columns = trace(fit("height_weight_raw"))
    assert columns["loss"] == [pytest.approx(5259.7334, abs=1e-4)]
    w = 1 - 0.01 * central(lambda d: squared_error(1 + d, 0))
    b = -0.01 * central(lambda d: squared_error(1, d))
    assert columns["output.weight[0,0]"][-1] == pytest.approx(w, rel=1e-12)
    assert columns["output.bias[0]"][-1] == pytest.approx(b, rel=1e-9)
    assert f"w = {w:.4f}, b = {b:.4f}" in text_of("height_weight_raw").replace("\n# ", " ")
    assert round(w, 4) == -198.3627


def one_update(model, parameter):
    """One step of the notebook's cell: only this parameter moves."""
    for each in model.parameters():
        each.requires_grad_(each is parameter)
    optimizer = torch.optim.SGD([parameter], lr=0.01)
    rows = torch.from_numpy(POUNDS)[:, None], torch.from_numpy(INCHES)[:, None]
    settings = {"gradient": FiniteDifference(0.1), "max_steps": 1, "batch_size": 15, "precision": "fp64", "threads": 1}
    assert Trainer(model, MSE(), optimizer, device="cpu", **settings).fit(rows).steps == 1


def test_cell_of_heights_moves_the_weight_and_then_the_bias():
    w = 1 - 0.01 * central(lambda d: squared_error(1 + d, 0))
    b = -0.01 * central(lambda d: squared_error(w, d))
    model = linear(1, 1, output_activation="identity", bias=True)
    with torch.no_grad():
        model.output.weight.fill_(1)
        model.output.bias.zero_()
    one_update(model, model.output.weight)
    one_update(model, model.output.bias)
    assert model.output.weight.item() == pytest.approx(w, rel=1e-9)
    assert model.output.bias.item() == pytest.approx(b, rel=1e-9)
    assert (round(w, 4), round(b, 4)) == (-198.3627, 543.7558)
    assert "b = 543.7558" in text_of("height_weight_raw")


# The fourth notebook: a thermometer

READINGS = np.array([35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4])
CELSIUS = np.array([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0])


def thermometer(scale, lr, num_epochs=100):
    """The loss of every epoch."""
    w, b, found = 1.0, 0.0, []
    x = READINGS * scale
    for _ in range(num_epochs):
        residual = w * x + b - CELSIUS
        found.append((residual**2).mean())
        w, b = w - lr * (2 * residual * x).mean(), b - lr * (2 * residual).mean()
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("words", "scale", "lr", "last"),
    [(["celsius", "optim.lr=1e-4"], 1.0, 1e-4, 29.02), (["celsius_scaled"], 0.1, 1e-2, 22.1487)],
    ids=["raw", "scaled"],
)
def test_celsius_has_the_notebooks_losses_by_every_method(words, scale, lr, last, method, work):
    found = losses(fit(*words, f"gradient={method}"))
    assert found == pytest.approx(thermometer(scale, lr), rel=1e-5)
    assert found[-1] == pytest.approx(last, abs=0.005 if last == 29.02 else 5e-5)
    for figure in (f"{found[0]:.{2 if scale == 1 else 4}f}", f"{found[-1]:.4f}"):
        assert figure in text_of(words[0])


@pytest.mark.parametrize("method", ["autograd", "backprop"])
def test_celsius_diverges_with_the_learning_rate_that_the_notebook_names(method, work):
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(thermometer(1.0, 0.01))
    assert not finite[-1]
    folder = run("celsius", f"gradient={method}")
    result = result_of(folder)
    assert (result["status"], result["diverged_at"]) == ("diverged", np.argmin(finite) + 1)
    assert f"diverged at step {result['diverged_at']}" in text_of("celsius")


def test_celsius_by_finite_differences_diverges_when_delta_is_lost_in_rounding(work):
    folder = run("celsius", "gradient=finite_difference")
    result = result_of(folder)
    assert result["status"] == "diverged"
    assert 5 < result["diverged_at"] < 40  # w + 0.001 is w from 2^43 on
    found = [row["train/loss"] for row in read_metrics(folder / "metrics.csv")]
    assert found[:5] == pytest.approx(thermometer(1.0, 0.01, 5), rel=1e-6)


def test_claimed_29_66_comes_from_no_learning_rate():
    for scale in (1.0, 0.1):
        for lr in (factor * 10.0**power for power in range(-6, 0) for factor in (1, 2, 5)):
            with np.errstate(over="ignore", invalid="ignore"):
                found = thermometer(scale, lr, 101)
            assert not any(abs(loss - 29.66) < 0.005 for loss in found[-2:])


# The third notebook: a parabola


def test_parabola_by_scratch_reaches_the_range_of_its_page(work):
    assert 0.005 < losses(fit("x_squared_scratch", "trainer.eval_every=100"))[-1] < 0.014


def test_parabola_without_batches_reaches_the_range_of_its_page(work):
    assert 0.022 < losses(fit("x_squared_full_batch", "trainer.eval_every=100"))[-1] < 0.055


def test_parabola_without_activation_is_no_better_than_the_best_line(work):
    folder = run("x_squared_linear", "trainer.eval_every=100", "seed=1")
    rows = np.load(folder / "arrays" / "rows_train.npz")
    x, y = rows["inputs"][:, 0].astype(np.float64), rows["target"][:, 0].astype(np.float64)
    best_line = ((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2).mean()
    assert losses(folder)[-1] == pytest.approx(best_line, rel=1e-4)
    assert best_line == pytest.approx(4 / 45, rel=0.03)
    assert f"{best_line:.4f}" in text_of("x_squared_linear")


SCRATCH = {"seed": 0, "data.batch_size": 10_000, "data.shuffle": False, "optim.lr": 0.001, "trainer.max_epochs": 1000}


@pytest.mark.parametrize("stage", ["scratch", "linear", "full_batch"])
def test_stages_of_the_parabola_are_set_as_in_the_notebook(stage):
    config = config_of(f"experiment=x_squared_{stage}")
    for key, value in SCRATCH.items():
        group, _, name = key.partition(".")
        assert (config[group][name] if name else config[group]) == value
    assert (config["model"]["depth"], config["model"]["width"]) == (1, 100)
    assert config["model"]["activation"] == ("identity" if stage == "linear" else "relu")
    expected = ("default",) if stage == "full_batch" else ("uniform", -1.0, 1.0, "same")
    init = config["init"]
    found = (init["_target_"].rpartition(".")[2], *(init[key] for key in ("a", "b", "bias") if len(expected) > 1))
    assert found == expected


# The second notebook's three optimizers

NOTEBOOKS = {
    "adam": {"lr": 0.001},
    "rmsprop": {"lr": 0.01, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.1, "momentum": 0.1, "centered": True},
    "sgd": {"lr": 0.01, "momentum": 0.9},
}


def plain_blobs(optimizer):
    """The notebook's first epoch in plain torch: the sum of the loss over its rows."""
    x, y = make_blobs(n_samples=5000, centers=2, n_features=64, cluster_std=10, random_state=2020)
    rows = torch.from_numpy(x[:4000]).float().split(16)
    targets = torch.from_numpy(y[:4000, None]).float().split(16)
    torch.manual_seed(2020)
    model = nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1), nn.Sigmoid()
    )
    made = optimizer(model.parameters())
    total = 0.0
    for inputs, target in zip(rows, targets, strict=True):
        made.zero_grad()
        loss = nn.functional.binary_cross_entropy(model(inputs), target)
        loss.backward()
        made.step()
        total += loss.item() * 16
    return total


LABELS = {"rmsprop": "RMSprop", "sgd": "SGD"}


@pytest.mark.parametrize("name", ["rmsprop", "sgd"])
def test_blobs_take_the_notebooks_first_epoch_with_its_optimizer(name, work):
    classes = {"rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}
    expected = plain_blobs(lambda parameters: classes[name](parameters, **NOTEBOOKS[name]))
    found = losses(fit("blobs", f"optim={name}", "trainer.max_epochs=1"))[0] * 4000
    assert found == pytest.approx(expected, rel=1e-3)
    # Saturated sigmoids multiply the rounding that is each processor's own: elsewhere only the size is the same.
    (stated,) = re.findall(rf"{LABELS[name]} (\d+\.\d+),", text_of("blobs"))
    assert found / 2 < float(stated) < found * 2


def settings(*words):
    return {key: value for key, value in config_of("experiment=blobs", *words)["optim"].items() if key != "_target_"}


@pytest.mark.parametrize("name", Library().options("optim"))
def test_blobs_give_each_optimizer_the_notebooks_settings_or_its_own(name):
    own = {key: value for key, value in config_of(f"optim={name}")["optim"].items() if key != "_target_"}
    assert settings(f"optim={name}") == own | NOTEBOOKS.get(name, {})


def test_blobs_leave_the_last_word_to_the_user():
    assert settings("optim=rmsprop", "optim.lr=0.5") == settings("optim=rmsprop") | {"lr": 0.5}
    assert settings("optim.eps=1e-3", "optim=adam")["eps"] == 1e-3


def test_blobs_in_a_sweep_have_each_optimizers_settings(work):
    words = ["trainer.dry_run=true", "logger=[]", "trainer.threads=1", "hydra.sweep.dir=sweep", "data.num_features=2"]
    assert main(["train", "-m", "experiment=blobs", "optim=adam,rmsprop,sgd", *words]) == 0
    for number, (name, expected) in enumerate(NOTEBOOKS.items()):
        record = json.loads((Path("sweep") / f"{number}_optim={name}" / "run.json").read_text())
        assert {key: record["config"]["optim"][key] for key in expected} == expected
        assert record["options"]["optim"] == name
        assert not [group for group in record["options"] if "/" in group]


def test_settings_for_one_optimizer_belong_to_an_experiment_and_an_optimizer_and_are_no_group(capsys):
    files = list((config_folder() / "experiment" / "optim").glob("*.yaml"))
    assert len(files) == len(NOTEBOOKS)
    for path in files:
        name, _, optimizer = path.stem.rpartition("_")
        assert name in Library().options("experiment")
        assert optimizer in Library().options("optim")
    assert "optim" not in Library().options("experiment")
    assert main(["train", "experiment/optim=blobs_sgd", "--cfg", "job"]) == 2
    assert "there is no group or key 'experiment/optim'" in capsys.readouterr().err
    assert main(["train", "~experiment", "--cfg", "job", "-p", "optim"]) == 0
