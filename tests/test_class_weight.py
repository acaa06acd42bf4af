"""loss.class_weight=balanced: the numbers of the training rows, in training, in folds, and in what comes afterwards."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from nnlab.cli import main
from nnlab.command import composed
from nnlab.loss import BCE, CrossEntropy
from nnlab.loss.class_weight import balanced_class_weight
from nnlab.rows import build_data

FEW = ["device=cpu", "trainer.threads=1", "trainer.max_epochs=2", "figures=[]", "logger=[]", "model.width=6"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    codes = random.choice(3, 600, p=[0.7, 0.25, 0.05])
    rows = [f"{x + c:.5f},{'abc'[c]}" for x, c in zip(random.normal(size=600), codes, strict=True)]
    Path("t.csv").write_text("\n".join(["x,c", *rows]) + "\n")
    return tmp_path


def expected(*words):
    """By scikit-learn, of the training rows."""
    dataset, _ = build_data(composed([], list(words))[0])
    codes = dataset.train.target.flatten().long().numpy()
    return compute_class_weight("balanced", classes=np.arange(len(dataset.class_names)), y=codes)


def chosen(folder):
    return json.loads(Path(folder, "run.json").read_text())["choices"].get("class_weight")


def rows_but_for_times(folder):
    lines = [line.split(",") for line in Path(folder, "metrics.csv").read_text().splitlines()]
    return [[cell for name, cell in zip(lines[0], line, strict=True) if name != "time_s"] for line in lines]


DATA = {
    "several": ["data=csv", "data.path=t.csv"],
    "two": ["data=breast_cancer"],
    "fold": ["data=csv", "data.path=t.csv", "data.folds=3", "data.fold=1"],
    "on disk": ["data=csv", "data.path=t.csv", "data.streaming=true"],
}


@pytest.mark.parametrize("words", DATA.values(), ids=DATA)
def test_balanced_weights_are_scikit_learns_and_train_as_the_numbers_do(words, home):
    assert main(["train", *FEW, *words, "loss.class_weight=balanced", "hydra.run.dir=balanced"]) == 0
    numbers = expected(*words)
    np.testing.assert_allclose(chosen("balanced"), numbers, rtol=1e-12)
    typed = f"loss.class_weight=[{','.join(map(repr, numbers.tolist()))}]"
    assert main(["train", *FEW, *words, typed, "hydra.run.dir=typed"]) == 0
    assert rows_but_for_times("balanced") == rows_but_for_times("typed")
    assert chosen("typed") is None


def test_run_with_balanced_weights_is_evaluated_and_resumed(home, capsys):
    words = [*FEW, *DATA["several"], "loss.class_weight=balanced"]
    assert main(["train", *words, "hydra.run.dir=run"]) == 0
    Path("t.csv").unlink()  # the weights are the run's: no training row is needed
    Path("new.csv").write_text("x,c\n0.1,a\n1.2,b\n")
    capsys.readouterr()
    assert main(["evaluate", "run", "data.path=new.csv"]) == 0
    assert "2 rows" in capsys.readouterr().out


def test_extended_run_has_the_bits_of_a_longer_one(home):
    words = [*FEW, *DATA["several"], "loss.class_weight=balanced"]
    assert main(["train", *words, "trainer.max_epochs=4", "hydra.run.dir=whole"]) == 0
    assert main(["train", *words, "hydra.run.dir=halved"]) == 0
    assert main(["resume", "halved", "trainer.max_epochs=4"]) == 0
    assert rows_but_for_times("halved") == rows_but_for_times("whole")


def test_sweep_compares_balanced_with_plain_as_one_option_each(home, capsys):
    words = [*FEW, *DATA["several"], "loss.class_weight=balanced,null", "data.folds=3", "data.fold=0,1,2"]
    assert main(["train", "-m", *words, "hydra.sweep.dir=sweep"]) == 0
    shown = capsys.readouterr().out
    assert "in 2 groups" in shown
    weights = {str(chosen(path.parent)) for path in Path("sweep").glob("*balanced*/run.json")}
    assert len(weights) > 1  # each fold has its own rows to train on


WRONG = {
    "regression": (["data=diabetes"], "loss.class_weight: balanced needs classes, and a regression has none"),
    "absent": (["data=csv", "data.path=few.csv", "data.split=column", "data.split_column=s"], "train has none of c"),
    "misspelt": (["data=iris", "loss.class_weight=balance"], "expected a list of numbers or balanced or null"),
}


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_balanced_is_refused(words, message, home, capsys):
    lines = [f"{n},{'ab'[n % 2]},train" for n in range(20)] + [f"{n},c,valid" for n in range(4)]
    Path("few.csv").write_text("\n".join(["x,c,s", *lines]) + "\n")
    words = [*words, *(["data.target=c"] if "data=csv" in words else [])]
    words += [] if any("class_weight" in word for word in words) else ["loss.class_weight=balanced"]
    assert main(["train", *FEW, *words]) == 2
    assert message in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_balanced_weights_mean_one_over_the_rows():
    counts = {"a": 70, "b": 25, "c": 5}
    weights = balanced_class_weight(counts)
    assert sum(w * n for w, n in zip(weights, counts.values(), strict=True)) == pytest.approx(100)
    assert [w * n for w, n in zip(weights, counts.values(), strict=True)] == pytest.approx([100 / 3] * 3)


def test_loss_itself_takes_numbers_only():
    for make in (lambda: BCE("balanced"), lambda: CrossEntropy(0.0, "balanced")):
        with pytest.raises(ValueError, match=r"loss\.class_weight: expected numbers, found 'balanced'"):
            make()


def test_damaged_weights_of_a_run_are_refused(home, capsys):
    assert main(["train", *FEW, *DATA["several"], "loss.class_weight=balanced", "hydra.run.dir=run"]) == 0
    content = json.loads(Path("run/run.json").read_text())
    content["choices"]["class_weight"] = ["os.system"]
    Path("run/run.json").write_text(json.dumps(content))
    Path("run/manifest.json").unlink(missing_ok=True)
    assert main(["evaluate", "run"]) == 2
    assert "choices.class_weight: expected a list of numbers from 0" in capsys.readouterr().err
