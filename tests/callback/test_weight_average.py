"""Averaged weights: equal to the average by hand, no part of the training, saved, resumed and used."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nnlab.callback import Callback, WeightAverage
from nnlab.cli import main
from nnlab.metric import R2
from nnlab.restore import load_run
from nnlab.trainer import Trainer

WORDS = ["data=moons", "device=cpu", "trainer.threads=1", "model.width=6", "model.norm=batch", "trainer.max_epochs=4"]
WORDS += ["data.num_train=200", "figures=[]", "logger=[]", "callback=[weight_average]"]


class Recorder(Callback):
    """Copies of the weights after every step, and whether an evaluation followed."""

    def __init__(self):
        self.states = []
        self.evaluated = []

    def on_step_end(self, view, step, loss):
        self.states.append({name: t.detach().double().numpy().copy() for name, t in view.model.state_dict().items()})

    def on_evaluation(self, view, epoch, step, metrics):
        self.evaluated.append(step)


def model_of(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)).double()


def fitted(average, **settings):
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 2, generator=random, dtype=torch.float64)
    target = inputs.prod(dim=1, keepdim=True)
    model, recorder = model_of(), Recorder()
    trainer = Trainer(
        model,
        nn.MSELoss(),
        torch.optim.SGD(model.parameters(), lr=0.1),
        metrics=[R2()],
        callbacks=[recorder, *([average] if average else [])],
        batch_size=8,
        max_epochs=3,
        precision="fp64",
        device="cpu",
        **settings,
    )
    return trainer, trainer.fit((inputs[:48], target[:48]), (inputs[48:], target[48:])), recorder


def by_hand(states, kind, decay):
    average = {name: value.copy() for name, value in states[0].items()}
    for number, state in enumerate(states[1:], 2):
        weight = 1 - decay if kind == "ema" else 1 / number
        for name, value in state.items():
            is_count = name.endswith("num_batches_tracked")
            average[name] = value.copy() if is_count else average[name] + weight * (value - average[name])
    return average


@pytest.mark.parametrize("kind", ["ema", "swa"])
@pytest.mark.parametrize("every", ["step", "evaluation"])
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_average_is_that_of_the_weights_that_count(kind, every, start):
    average = WeightAverage(kind, 0.9, start, every)
    _, _, recorder = fitted(average)
    steps = range(1, 19) if every == "step" else recorder.evaluated
    counted = [recorder.states[step - 1] for step in steps if step > start * 18]
    assert average.num_taken == len(counted) > 1
    for name, expected in by_hand(counted, kind, 0.9).items():
        np.testing.assert_allclose(average.average[name].double().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_training_has_the_same_bits_with_and_without():
    averaged, plain = fitted(WeightAverage("ema", 0.9, 0.0, "step")), fitted(None)
    for mine, theirs in zip(averaged[0].model.state_dict().values(), plain[0].model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    without_time = [[{**row, "time_s": 0} for row in result.history] for result in (averaged[1], plain[1])]
    assert without_time[0] == without_time[1]


def test_average_is_evaluated_as_a_model_of_its_own():
    average = WeightAverage("swa", 0.0, 0.0, "step")
    trainer, result, _ = fitted(average)
    own = model_of()
    own.load_state_dict(average.average)
    random = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 2, generator=random, dtype=torch.float64)
    target = inputs.prod(dim=1, keepdim=True)
    expected = nn.functional.mse_loss(own.eval()(inputs[48:]), target[48:]).item()
    assert any(f"(swa, 18 weights): valid/loss {expected:.6g}" in note for note in result.notes)
    del trainer


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(folder, *words):
    assert main(["train", *WORDS, *words, f"hydra.run.dir={folder}"]) == 0
    return json.loads(Path(folder, "result.json").read_text())


def state_of(folder):
    return load_run(folder, "average").model.state_dict()


def test_run_shows_saves_and_uses_the_average(home, capsys):
    result = train("run")
    with open("run/average.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert list(rows[0]) == ["epoch", "step", "valid/loss", "valid/accuracy"]
    capsys.readouterr()
    assert main(["evaluate", "run", "--checkpoint", "average", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found == pytest.approx(result["average"], rel=1e-6)
    assert result["average"] != result["test"]
    assert main(["evaluate", "run", "--checkpoint", "average", "--split", "valid", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found["loss"] == pytest.approx(float(rows[-1]["valid/loss"]), rel=1e-6)
    Path("new.csv").write_text("x,y\n0.1,0.9\n")
    assert main(["predict", "run", "--checkpoint", "average", "--input", "new.csv", "--output", "-"]) == 0
    words = ["--checkpoint", "average", "--format", "torch_export", "--output", "out"]
    assert main(["export", "run", *words]) == 0


@pytest.mark.parametrize("every", ["step", "evaluation"])
def test_resumed_run_has_the_average_of_an_uninterrupted_one(every, home):
    words = [f"callback.weight_average.after={every}", "callback.weight_average.kind=swa"]
    train("whole", *words)
    train("halved", *words, "trainer.max_epochs=2")
    assert main(["resume", "halved", "trainer.max_epochs=4"]) == 0
    for name, tensor in state_of("whole").items():
        assert torch.equal(tensor, state_of("halved")[name]), name
    assert Path("halved/average.csv").read_text() == Path("whole/average.csv").read_text()


def test_members_of_a_stack_have_the_average_that_they_would_have_alone(home):
    words = ["callback.weight_average.after=evaluation", "trainer.precision=fp64", "trainer.compile=off"]
    assert main(["train", "-m", *WORDS, *words, "seed=0,1,2", "hydra.sweep.dir=sweep"]) == 0
    engines = [json.loads(p.read_text())["choices"]["engine"] for p in Path("sweep").glob("*/run.json")]
    assert engines == ["stack"] * 3
    train("lone", *words, "seed=1")
    (member,) = Path("sweep").glob("1_*")
    for name, tensor in state_of("lone").items():
        torch.testing.assert_close(tensor, state_of(member)[name], rtol=1e-9, atol=1e-12)


def test_members_that_average_every_step_go_alone_and_say_so(home, capsys):
    assert main(["train", "-m", *WORDS, "seed=0,1", "hydra.sweep.dir=sweep"]) == 0
    assert "WeightAverage looks at single steps" in capsys.readouterr().out


def test_killed_run_keeps_its_average(home):
    script = "import os, signal\nfrom nnlab.callback import WeightAverage\nbefore = WeightAverage.on_evaluation\n"
    script += "def killed(self, view, epoch, step, metrics):\n    if epoch == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
    script += "    return before(self, view, epoch, step, metrics)\nWeightAverage.on_evaluation = killed\n"
    script += "import sys\nfrom nnlab.cli import main\nmain(sys.argv[1:])\n"
    words = ["train", *WORDS, "trainer.checkpoint_every=5", "hydra.run.dir=killed"]
    assert subprocess.run([sys.executable, "-c", script, *words], check=False).returncode == -9
    assert main(["resume", "killed"]) == 0
    train("whole", "trainer.checkpoint_every=5")
    for name, tensor in state_of("whole").items():
        assert torch.equal(tensor, state_of("killed")[name]), name


WRONG = {
    "kind=polyak": "kind: expected ema or swa, found 'polyak'",
    "decay=1.5": "decay: expected a number from 0 to 1, found 1.5",
    "start=1": "start: expected a number from 0 to below 1, found 1",
    "after=epoch": "after: expected step or evaluation, found 'epoch'",
}


@pytest.mark.parametrize("word", WRONG)
def test_wrong_value_is_refused(word, home, capsys):
    assert main(["train", *WORDS, f"callback.weight_average.{word}"]) == 2
    shown = capsys.readouterr().err
    assert "callback.weight_average." in shown
    assert not Path("outputs").exists()


def test_run_without_an_average_says_what_makes_one(home, capsys):
    assert main(["train", *WORDS[:-1], "callback=[]", "hydra.run.dir=plain"]) == 0
    assert main(["evaluate", "plain", "--checkpoint", "average"]) == 2
    assert "no weights were averaged" in capsys.readouterr().err
    train("late", "callback.weight_average.start=0.9", "trainer.max_epochs=1")
    content = json.loads(Path("late/result.json").read_text())
    assert "average" in content or any("no weights were averaged" in note for note in content["notes"])
