"""Rows that count differently: as if they stood there so many times, in training, evaluation and every metric."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import nn

from nnlab.cli import main
from nnlab.loss import BCE, MSE, CrossEntropy, Hinge, Huber
from nnlab.loss.base import WeightedLoss
from nnlab.metric import AUROC, F1, MAE, R2, RMSE, Accuracy, BalancedAccuracy, LogLoss, Metric
from nnlab.trainer import Trainer
from nnlab.trainer.batches import Weighted

RANDOM = np.random.default_rng(0)
NUM_ROWS = 200
WEIGHT = RANDOM.integers(0, 4, NUM_ROWS).astype(float)
CODES = RANDOM.integers(0, 3, NUM_ROWS)
LABELS = np.where(RANDOM.random(NUM_ROWS) < 0.7, CODES, RANDOM.integers(0, 3, NUM_ROWS))
PROBABILITY = RANDOM.dirichlet([1, 1, 1], NUM_ROWS)
SCORES = RANDOM.integers(0, 20, NUM_ROWS) / 20  # with many ties
VALUES = RANDOM.normal(size=(NUM_ROWS, 2))
TRUTH = VALUES + RANDOM.normal(size=(NUM_ROWS, 2))
BINARY = (CODES > 0).astype(int)

CASES = {
    "accuracy": (Accuracy(), LABELS, CODES, sk.accuracy_score),
    "balanced accuracy": (BalancedAccuracy(), LABELS, CODES, sk.balanced_accuracy_score),
    "f1": (F1("multiclass"), LABELS, CODES, lambda t, p, **w: sk.f1_score(t, p, average="macro", **w)),
    "f1 of two": (F1("binary"), (LABELS > 0).astype(int), BINARY, sk.f1_score),
    "log loss": (LogLoss(), PROBABILITY, CODES, sk.log_loss),
    "log loss of two": (LogLoss(), SCORES * 0.9 + 0.05, BINARY, sk.log_loss),
    "auroc of two": (AUROC(), SCORES, BINARY, sk.roc_auc_score),
    "auroc": (AUROC(), PROBABILITY, CODES, lambda t, p, **w: sk.roc_auc_score(t, p, multi_class="ovr", **w)),
    "mae": (MAE(), VALUES, TRUTH, sk.mean_absolute_error),
    "rmse": (RMSE(), VALUES, TRUTH, sk.root_mean_squared_error),
    "r2": (R2(), VALUES, TRUTH, sk.r2_score),
}


@pytest.mark.parametrize(("metric", "output", "truth", "reference"), CASES.values(), ids=CASES)
def test_weighted_metric_is_scikit_learns(metric, output, truth, reference):
    for weight in (WEIGHT, RANDOM.random(NUM_ROWS)):
        found = metric.weighted(torch.from_numpy(output), torch.from_numpy(truth), torch.from_numpy(weight))
        assert found.item() == pytest.approx(reference(truth, output, sample_weight=weight), rel=1e-9)
    ones = torch.ones(NUM_ROWS, dtype=torch.float64)
    plain = metric(torch.from_numpy(output), torch.from_numpy(truth))
    assert metric.weighted(torch.from_numpy(output), torch.from_numpy(truth), ones).item() == pytest.approx(
        plain.item(), rel=1e-12
    )


LOSSES = {
    "mse": (MSE(), 2, "values"),
    "huber": (Huber(1.0), 2, "values"),
    "bce": (BCE(), 1, "binary"),
    "bce of classes": (BCE([1.0, 3.0]), 1, "binary"),
    "hinge": (Hinge(), 1, "signs"),
    "cross entropy": (CrossEntropy(0.1), 3, "codes"),
    "cross entropy of classes": (CrossEntropy(0.1, [1.0, 2.0, 5.0]), 3, "codes"),
}


def target_of(kind, num_rows):
    codes = torch.from_numpy(CODES[:num_rows])
    if kind == "codes":
        return codes
    signs = (codes > 0).double()[:, None]
    return {"values": torch.from_numpy(TRUTH[:num_rows]), "binary": signs, "signs": 2 * signs - 1}[kind]


@pytest.mark.parametrize(("loss", "num_outputs", "kind"), LOSSES.values(), ids=LOSSES)
def test_weighted_loss_is_that_of_rows_that_stand_there_so_many_times(loss, num_outputs, kind):
    torch.manual_seed(0)
    prediction = torch.randn(50, num_outputs, dtype=torch.float64, requires_grad=True)
    target, weight = target_of(kind, 50), torch.from_numpy(WEIGHT[:50])
    weighted = WeightedLoss(loss, weight)
    times = weight.long()
    repeated = loss(prediction.repeat_interleave(times, 0), target.repeat_interleave(times, 0))
    value = weighted(prediction, target)
    assert value.item() == pytest.approx(repeated.item(), rel=1e-12)
    (slope,) = torch.autograd.grad(value, prediction)
    torch.testing.assert_close(weighted.gradient(prediction.detach(), target), slope, rtol=1e-9, atol=1e-13)


def model_of():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def fitted(data, batch_size, **settings):
    model = model_of()
    trainer = Trainer(
        model,
        CrossEntropy(0.0, settings.pop("class_weight", None)),
        torch.optim.SGD(model.parameters(), lr=0.5),
        metrics=[Accuracy(), LogLoss()],
        batch_size=batch_size,
        shuffle=settings.pop("shuffle", False),
        max_epochs=4,
        precision="fp64",
        device="cpu",
        **settings,
    )
    return trainer, trainer.fit(data, data)


@pytest.mark.parametrize("class_weight", [None, [1.0, 2.0, 5.0]])
@pytest.mark.parametrize("gradient", ["autograd", "backprop"])
def test_whole_weights_train_as_repeated_rows(class_weight, gradient):
    from nnlab.gradient import Autograd, Backprop

    inputs, target = torch.from_numpy(VALUES), torch.from_numpy(CODES)
    weight = torch.from_numpy(WEIGHT)
    times = weight.long()
    repeated = inputs.repeat_interleave(times, 0), target.repeat_interleave(times, 0)
    made = Autograd if gradient == "autograd" else Backprop
    one, found = fitted(Weighted(inputs, target, weight), NUM_ROWS, class_weight=class_weight, gradient=made())
    other, expected = fitted(repeated, len(repeated[0]), class_weight=class_weight, gradient=made())
    for mine, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
    for mine, theirs in zip(found.history, expected.history, strict=True):
        for name in mine:
            if name.startswith(("train/", "valid/")):
                assert mine[name] == pytest.approx(theirs[name], rel=1e-9), name


def test_weighted_batches_accumulate_to_one_large_batch():
    data = Weighted(torch.from_numpy(VALUES), torch.from_numpy(CODES), torch.from_numpy(WEIGHT + 0.5))
    large, of_large = fitted(data, NUM_ROWS)
    small, of_small = fitted(data, 25, accumulate_steps=8)
    for mine, theirs in zip(large.model.parameters(), small.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
    assert of_large.history[-1]["train/loss"] == pytest.approx(of_small.history[-1]["train/loss"], rel=1e-9)


def test_mean_loss_of_an_epoch_weighs_batches_by_their_weights():
    inputs, target = torch.from_numpy(VALUES), torch.from_numpy(CODES)
    weight = torch.cat([torch.ones(100), 9 * torch.ones(100)]).double()
    trainer, result = fitted(Weighted(inputs, target, weight), 50, max_steps=4)
    del trainer
    model = model_of()
    optimizer, total = torch.optim.SGD(model.parameters(), lr=0.5), 0.0
    for rows in torch.arange(NUM_ROWS).split(50):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs[rows]), target[rows])
        loss.backward()
        optimizer.step()
        total += loss.item() * weight[rows].sum().item()
    assert result.history[0]["train/loss"] == pytest.approx(total / weight.sum().item(), rel=1e-9)


def test_shuffled_weights_follow_their_rows():
    inputs, target, weight = torch.from_numpy(VALUES), torch.from_numpy(CODES), torch.from_numpy(WEIGHT)
    place = torch.randperm(NUM_ROWS, generator=torch.Generator().manual_seed(1))
    _, one = fitted(Weighted(inputs, target, weight), NUM_ROWS)
    _, other = fitted(Weighted(inputs[place], target[place], weight[place]), NUM_ROWS, shuffle=True)
    assert one.history[-1]["valid/loss"] == pytest.approx(other.history[-1]["valid/loss"], rel=1e-9)


class Own(Metric):
    """A metric that knows no weights."""

    name = "own"
    tasks = frozenset({"multiclass"})
    reads = "label"
    greater_is_better = True

    def __call__(self, output, target):
        return (output == target).double().mean()


REFUSED = {
    "own metric": ({"metrics": [Own()]}, "metric=own knows no weights of rows"),
    "torch's loss": ({"loss": nn.CrossEntropyLoss()}, "rows with weights need one of nnlab's losses"),
    "negative": ({"weight": -torch.ones(NUM_ROWS)}, "expected finite weights >= 0"),
    "nothing counts": ({"weight": torch.zeros(NUM_ROWS)}, "at least one of them positive"),
    "too few": ({"weight": torch.ones(3)}, "200 rows but weights of shape"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_weights_that_mean_nothing_are_refused(changes, message):
    model = model_of()
    weight = changes.get("weight", torch.ones(NUM_ROWS))
    data = Weighted(torch.from_numpy(VALUES), torch.from_numpy(CODES), weight)
    loss = changes.get("loss", CrossEntropy(0.0))
    trainer = Trainer(
        model, loss, torch.optim.SGD(model.parameters(), lr=0.1), metrics=changes.get("metrics", []), precision="fp64"
    )
    with pytest.raises(ValueError, match=message):
        trainer.fit(data)


FEW = ["data=csv", "data.path=t.csv", "data.target=c", "device=cpu", "trainer.threads=1", "model.width=6", "logger=[]"]
FEW += ["data.sample_weight=w", "trainer.max_epochs=4", "figures=[]", "metric=[accuracy,f1,auroc]"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = zip(*VALUES.T, np.array(list("abc"))[CODES], WEIGHT + 0.25, strict=True)
    lines = [f"{x:.6f},{y:.6f},{c},{w}" for x, y, c, w in rows]
    Path("t.csv").write_text("\n".join(["x,y,c,w", *lines]) + "\n")
    return tmp_path


def rows_of(folder):
    with open(Path(folder) / "metrics.csv") as file:
        return [{key: value for key, value in row.items() if key != "time_s"} for row in csv.DictReader(file)]


def test_column_of_weights_is_no_input_and_reaches_every_figure(home, capsys):
    assert main(["train", *FEW, "hydra.run.dir=run"]) == 0
    shown = capsys.readouterr().out
    assert "w weighs the rows and is no input" in shown
    record = json.loads(Path("run/run.json").read_text())
    assert record["data"]["input_names"] == ["x", "y"]
    result = json.loads(Path("run/result.json").read_text())
    assert main(["evaluate", "run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found == pytest.approx(result["test"], rel=1e-6)
    plain = [word for word in FEW if "sample_weight" not in word]
    assert main(["train", *plain, "data.exclude=[w]", "hydra.run.dir=plain"]) == 0
    assert rows_of("plain") != rows_of("run")
    assert record["data_fingerprint"] != json.loads(Path("plain/run.json").read_text())["data_fingerprint"]


def test_compiled_steps_say_why_they_are_not(home, capsys):
    assert main(["train", *FEW, "hydra.run.dir=run"]) == 0
    choices = json.loads(Path("run/run.json").read_text())["choices"]
    assert choices["engine"] == "eager"
    assert main(["train", *FEW, "trainer.compile=step"]) == 2
    assert "its rows have weights" in capsys.readouterr().err


def test_sweep_and_folds_and_resume_take_weights(home, capsys):
    words = ["data.folds=3", "data.fold=0,1", "hydra.sweep.dir=sweep"]
    assert main(["train", "-m", *FEW, *words]) == 0
    assert "its rows have weights" in capsys.readouterr().out
    assert main(["train", *FEW, "data.folds=3", "data.fold=1", "hydra.run.dir=lone"]) == 0
    (member,) = Path("sweep").glob("1_*")
    assert rows_of(member) == rows_of("lone")
    assert main(["train", *FEW, "trainer.max_steps=7", "hydra.run.dir=halved"]) == 0
    assert main(["train", *FEW, "hydra.run.dir=whole"]) == 0
    assert main(["resume", "halved", "trainer.max_steps=1000"]) == 0
    assert [row for row in rows_of("halved") if row["step"] != "7"] == rows_of("whole")


def test_bad_weights_are_named_with_their_row(home, capsys):
    text = Path("t.csv").read_text().splitlines()
    text[5] = ",".join([*text[5].split(",")[:3], "-1"])
    Path("bad.csv").write_text("\n".join(text) + "\n")
    words = [word for word in FEW if "data.path" not in word]
    assert main(["train", *words, "data.path=bad.csv"]) == 2
    assert "row 5 (line 6), column w: expected a finite weight >= 0" in capsys.readouterr().err
