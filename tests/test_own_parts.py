"""Parts of one's own, by the example package of docs/own-parts.md: trained, swept, resumed, used; and refused."""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import matthews_corrcoef

from nnlab.cli import main

EXAMPLE = Path(__file__).parents[1] / "examples" / "my_lab"
TIMES = ("time_s", "throughput/steps_per_s")
MODULES = ("my_lab", "other_lab")
ALL = ["--config-dir", "configs", "plugins=[my_lab]", "data=waves", "model=residual", "loss=focal", "optim=lion"]
ALL += ["metric=[accuracy,matthews]", "callback=[sharpness]", "logger=[json_lines]", "device=cpu", "trainer.threads=1"]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The example outside the repository, as a user has a package of his own."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES]:
        del sys.modules[name]


def train(folder, *words):
    assert main(["train", *ALL, "trainer.max_epochs=4", "figures=[]", *words, f"hydra.run.dir={folder}"]) == 0
    return json.loads(Path(folder, "result.json").read_text())


def rows_of(folder):
    with open(Path(folder, "metrics.csv")) as file:
        return [{key: value for key, value in row.items() if key != "time_s"} for row in csv.DictReader(file)]


def lines_of(folder):
    return [json.loads(line) for line in Path(folder, "log.jsonl").read_text().splitlines()]


def test_all_parts_train_together_and_leave_what_they_promise(lab):
    result = train("run")
    assert result["status"] == "completed"
    assert {"loss", "accuracy", "matthews"} == set(result["test"])
    assert any("smallest norm of the gradient" in note for note in result["notes"])
    with open("run/gradient.csv") as file:
        norms = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in norms] == [1, 2, 3, 4]
    evaluations = [line for line in lines_of("run") if "valid/matthews" in line]
    assert [line["step"] for line in evaluations] == [13, 26, 39, 52]
    assert json.loads(Path("run/run.json").read_text())["plugins"] == ["my_lab"]


def test_resumed_run_equals_an_uninterrupted_one(lab):
    train("whole")
    train("halved", "trainer.max_epochs=2")
    assert main(["resume", "halved", "trainer.max_epochs=4", "plugins=[my_lab]"]) == 0
    assert rows_of("halved") == rows_of("whole")
    numbers = [
        [{key: value for key, value in line.items() if key not in TIMES} for line in lines_of(folder)]
        for folder in ("halved", "whole")
    ]
    assert [line for line in numbers[0] if "test/loss" not in line] == [x for x in numbers[1] if "test/loss" not in x]


def test_sweep_stacks_what_has_a_stacked_form_and_trains_the_rest_alone(lab, capsys):
    words = ["optim=lion,adam", "seed=0,1", "trainer.max_epochs=2", "figures=[]", "hydra.sweep.dir=sweep"]
    others = [word for word in ALL if word != "optim=lion"]
    assert main(["train", "-m", *others, *words]) == 0
    shown = capsys.readouterr().out
    assert "2 members in 1 stack of 2 (optim=adam)" in shown
    assert "2 members alone (optim=lion): Lion has no stacked form" in shown
    records = [json.loads(path.read_text()) for path in sorted(Path("sweep").glob("*/result.json"))]
    assert [record["status"] for record in records] == ["completed"] * 4


def test_run_is_evaluated_predicts_and_exports_where_the_package_is_granted(lab, capsys):
    result = train("run")
    Path("new.csv").write_text("x,y\n0.1,0.9\n0.3,0.0\n")
    capsys.readouterr()
    assert main(["evaluate", "run", "plugins=[my_lab]"]) == 0
    assert f"{result['test']['matthews']:.6g}" in capsys.readouterr().out
    assert main(["predict", "run", "--input", "new.csv", "--output", "-", "plugins=[my_lab]"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    words = ["--format", "torch_export", "--output", "model.pt2", "plugins=[my_lab]"]
    assert main(["export", "run", *words]) == 0
    assert Path("model.pt2").exists()
    capsys.readouterr()
    assert main(["evaluate", "run"]) == 2
    assert "if you trust them, grant them: plugins=[my_lab]" in capsys.readouterr().err


def test_options_of_ones_own_are_listed_with_nnlabs(lab, capsys):
    assert main(["list", "optim", "--config-dir", "configs"]) == 0
    shown = capsys.readouterr().out
    assert "lion      Lion: steps by the sign" in shown
    assert "adam " in shown


BROKEN = "import torch\nwidth = undefined\n"
UNREADABLE = "def model(:\n"
WRONG = {
    "not granted": (
        ["--config-dir", "configs", "data=waves"],
        "found 'my_lab.waves'; packages of your own are granted",
    ),
    "not there": (["plugins=[no_lab]"], "there is no package 'no_lab'; install it, or put its folder on PYTHONPATH"),
    "misspelt": ([*ALL, "model=residul"], "model has no option 'residul'; did you mean residual?"),
    "wrong key": ([*ALL, "+optim.momentum=1"], "my_lab.Lion takes no 'momentum'"),
    "wrong kind": ([*ALL, "model.num_blocks=two"], "model.num_blocks=two: expected a whole number"),
    "wrong value": ([*ALL, "loss.gamma=-1"], "loss.gamma: expected a number >= 0, found -1"),
    "wrong base": ([*ALL, "loss._target_=my_lab.Lion"], "expected a subclass of nnlab.loss.base.Loss"),
    "wrong task": ([*ALL, "data=rings"], "focal"),
    "broken": (
        ["plugins=[other_lab]", "model._target_=other_lab.Model"],
        "model._target_: other_lab cannot be imported: ",
    ),
}


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG)
def test_mistake_is_refused_with_the_way_out(words, message, lab, capsys):
    Path("other_lab.py").write_text(BROKEN)
    assert main(["train", *words]) == 2
    found = capsys.readouterr().err
    assert message.lower() in found.lower()
    assert "Traceback" not in found
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        (BROKEN, "line 2: NameError: name 'undefined' is not defined"),
        (UNREADABLE, "line 1: SyntaxError: invalid syntax"),
    ],
    ids=["broken", "unreadable"],
)
def test_package_that_cannot_be_imported_is_named_with_file_and_line(text, ending, lab, capsys):
    Path("other_lab.py").write_text(text)
    assert main(["train", "plugins=[other_lab]", "model._target_=other_lab.Model"]) == 2
    assert f"other_lab.py, {ending}" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["model/mlp.yaml", "optim/adam.yaml", "callback/norms.yaml"])
def test_option_with_the_name_of_one_of_nnlabs_is_refused(place, lab, capsys):
    Path("configs", place).write_text("# mine\n_target_: my_lab.ResidualMLP\nwidth: 8\nnum_blocks: 1\n")
    group, name = place.removesuffix(".yaml").split("/")
    assert main(["train", *ALL]) == 2
    assert f"nnlab has {group}={name} too; rename it" in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_matthews_is_scikit_learns_also_in_parts(lab):
    from my_lab import Matthews

    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 1000)
    output = np.where(random.random(1000) < 0.8, truth, 1 - truth)
    expected = matthews_corrcoef(truth, output)
    pair = torch.from_numpy(output), torch.from_numpy(truth)
    metric = Matthews()
    assert metric(*pair).item() == pytest.approx(expected, rel=1e-12)
    parts = [metric.part(pair[0][rows], pair[1][rows]) for rows in (slice(0, 300), slice(300, 1000))]
    assert metric.of_part(metric.merged(*parts)).item() == pytest.approx(expected, rel=1e-12)
    assert metric(torch.ones(4), torch.ones(4)).item() == 0  # not defined: one class only


def test_focal_loss_is_its_formula(lab):
    from my_lab import Focal

    logits, target = torch.randn(50, 1, dtype=torch.float64), torch.randint(2, (50, 1)).double()
    right = torch.where(target == 1, logits.sigmoid(), 1 - logits.sigmoid())
    expected = (-((1 - right) ** 2) * right.log()).mean()
    torch.testing.assert_close(Focal(2.0)(logits, target), expected, rtol=1e-12, atol=0)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(Focal(0.0)(logits, target), plain, rtol=1e-12, atol=0)


def test_lion_steps_as_its_authors_write_it_down(lab):
    from my_lab import Lion

    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    optimizer = Lion([weight], lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)
    expected, mean = weight.detach().numpy().copy(), np.zeros(3)
    for step in range(5):
        grad = np.array([1.0, -0.5, (-1.0) ** step])
        weight.grad = torch.from_numpy(grad.copy())
        optimizer.step()
        update = np.sign(0.9 * mean + 0.1 * grad)
        expected -= 0.1 * (update + 0.5 * expected)
        mean = 0.99 * mean + 0.01 * grad
        np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-12)
