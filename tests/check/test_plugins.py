"""Packages of the user's own: granted on the command line, and nowhere else."""

import json
import sys
from pathlib import Path

import pytest

from nnlab.cli import main

PACKAGE = """
import torch
from os import system
from subprocess import Popen
from torch import nn
from nnlab.data import Dataset, Split
from nnlab.loss import Loss

open("imported", "w").close()

def line(num_train: int = 20, slope: float = 2.0) -> Dataset:
    x = torch.linspace(-1, 1, num_train)[:, None]
    return Dataset("regression", Split(x, slope * x), None, None, ("x",), ("y",))

def no_data(num_train: int = 20) -> str:
    return "rows"

def _hidden() -> Dataset:
    return line()

class Line(nn.Module):
    def __init__(self, num_inputs: int, num_outputs: int, bias: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(num_inputs, num_outputs, bias=bias)

    def forward(self, x):
        return self.layer(x)

class Cubic(Loss):
    reads = "value"
    tasks = frozenset({"regression"})

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def per_sample(self, prediction, target):
        return self.factor * (prediction - target).abs().pow(3).mean(dim=-1)

class Unfinished(Loss):
    pass

class NoLoss:
    pass
"""
FILES = {
    "data/mine.yaml": "# mine\n_target_: my_lab.line\nnum_train: 20\nbatch_size: 5\nshuffle: true\n",
    "data/lazy.yaml": "# without what nnlab reads\n_target_: my_lab.line\n",
    "data/empty.yaml": "# gives no data\n_target_: my_lab.no_data\nbatch_size: 5\nshuffle: true\n",
    "model/mine.yaml": "# mine\n_target_: my_lab.Line\nbias: false\n",
    "model/bare.yaml": "# lacks bias\n_target_: my_lab.Line\n",
    "loss/mine.yaml": "# mine\n_target_: my_lab.Cubic\nfactor: 2.0\nl1: 0.0\nl2: 0.0\n",
    "loss/unfinished.yaml": "# abstract\n_target_: my_lab.Unfinished\n",
    "loss/not.yaml": "# of the wrong base\n_target_: my_lab.NoLoss\n",
    "experiment/mine.yaml": "# @package _global_\n# all mine\ndefaults:\n  - override /data: mine\n"
    "  - override /model: mine\n  - override /loss: mine\n",
    "experiment/grants.yaml": "# @package _global_\n# grants itself\ndefaults:\n  - override /data: mine\n"
    "plugins: [my_lab]\n",
    "experiment/hides.yaml": "# @package _global_\n# grants itself by interpolation\ndefaults:\n"
    "  - override /data: mine\nplugins: ${lab.packages}\nlab: {packages: [my_lab]}\n",
    "data/grants.yaml": "# @package _global_\n# grants itself\nplugins: [my_lab]\ndata:\n  _target_: my_lab.line\n"
    "  batch_size: 5\n  shuffle: true\n",
    "lab/grants.yaml": "# @package _global_\n# grants itself\nplugins: [my_lab]\n",
    # hides the grant of data=grants wherever both are chosen
    "experiment/mask.yaml": "# @package _global_\n# takes every grant back\nplugins: []\n",
    "optim/stranger.yaml": "# names a module that only lies about\n_target_: my_lab.Adam\nlr: 0.1\n",
}


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A working directory with ``my_lab`` on the path and configs of the user's own in ``conf``."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "my_lab.py").write_text(PACKAGE)
    for name, content in FILES.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.delitem(sys.modules, "my_lab", raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_lab", None)


def train(*words):
    return main(["train", "--config-dir", "conf", "logger=[]", "trainer.dry_run=true", *words])


def test_granted_package_gives_data_model_and_loss(work):
    assert train("plugins=[my_lab]", "experiment=mine", "data.num_train=40", "+data.slope=3") == 0
    (folder,) = Path("outputs/mine").iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["plugins"] == ["my_lab"]
    assert record["config"]["data"] == {
        "_target_": "my_lab.line",
        "num_train": 40,
        "batch_size": 5,
        "shuffle": True,
        "slope": 3,
    }
    assert json.loads((folder / "result.json").read_text())["status"] == "completed"


#: what is typed -> words of the message; none of these may even import the package
UNGRANTED = {
    "data=mine": ["expected a target in nnlab.data, found 'my_lab.line'", "plugins=[my_package]"],
    "experiment=mine": ["data._target_", "model._target_", "loss._target_"],
    "data=mine +data.slope=3": ["'my_lab.line'"],
    "optim=stranger +optim.foo=1": ["'my_lab.Adam'"],
    "optim=stranger optim.lr=abc": ["'my_lab.Adam'", "optim.lr=abc"],
    "experiment=grants": ["plugins: a file sets it to ['my_lab']", "on the command line only"],
    "experiment=grants optm=1": ["plugins: a file sets it"],
    "experiment=grants plugins=[math]": ["plugins: a file sets it"],
    "experiment=hides": ["plugins: a file sets it"],
    "data=grants": ["plugins: a file sets it"],
    "-m experiment=mask,rings data=iris,grants": ["plugins: a file sets it"],
    "+lab=grants data=mine": ["plugins: a file sets it"],
    "-m experiment=rings,grants": ["plugins: a file sets it"],
    "-m data=rings,mine,grants optim=sgd,adam": ["plugins: a file sets it"],
    "data=mine plugins=${name}": ["expected a list of words", "'my_lab.line'"],
    "data=mine plugins=[no_such_package]": ["there is no package 'no_such_package'", "PYTHONPATH", "'my_lab.line'"],
    "data=mine plugins=[my-lab]": ["expected names of packages", "'my_lab.line'"],
    "data=mine plugins=[math]": ["expected a target in nnlab.data or math, found 'my_lab.line'"],
    "data=mine plugins.0=my_lab": ["set a value", "'my_lab.line'"],
}


@pytest.mark.parametrize("line", UNGRANTED)
def test_package_that_the_command_line_does_not_grant_is_refused_and_not_imported(line, work, capsys):
    assert train(*line.split()) == 2
    message = capsys.readouterr().err
    for words in UNGRANTED[line]:
        assert words in message
    assert "my_lab" not in sys.modules
    assert not Path("imported").exists()
    assert not Path("outputs").exists() or not list(Path("outputs").iterdir())


#: with the grant, what is still refused
REFUSED = {
    "data=mine data._target_=my_lab._hidden": "data._target_: expected a dotted path of public names",
    "data=mine data._target_=my_lab.system": "which is a builtin_function_or_method",
    "model=mine model._target_=my_lab.Popen": "my_lab.Popen is really subprocess.Popen",
    "data=mine data._target_=my_lab.lines": "my_lab has no 'lines'; did you mean line",
    "data=mine +data.slop=3": "my_lab.line takes no 'slop'; did you mean slope?",
    "data=mine +data.slope=abc": "expected a number, found 'abc'",
    "data=empty": "data: my_lab.no_data gave no Dataset but str",
    "data=lazy": "data.batch_size: missing",
    "data=mine model=bare": "model.bias: missing; my_lab.Line needs it",
    "data=mine loss=unfinished": "my_lab.Unfinished is abstract: it leaves per_sample undefined",
    "data=mine loss=not": "loss._target_: expected a subclass of nnlab.loss.base.Loss",
    "data=mine model=mine model._target_=my_lab.line": "model.bias: my_lab.line takes no such key",
}


@pytest.mark.parametrize("line", REFUSED)
def test_granted_package_is_held_to_what_its_group_allows(line, work, capsys):
    assert train("plugins=[my_lab]", *line.split()) == 2
    message = capsys.readouterr().err
    assert REFUSED[line] in message
    assert "Traceback" not in message


def test_option_that_nnlab_has_too_is_refused_rather_than_passed_over(work, capsys):
    Path("conf/optim/adam.yaml").write_text("# another\n_target_: torch.optim.Adam\nlr: 0.5\n")
    assert train() == 2
    assert "adam.yaml: nnlab has optim=adam too; rename it" in capsys.readouterr().err


def test_broken_yaml_is_refused_naming_the_file(work, capsys):
    Path("conf/optim/broken.yaml").write_text("# broken\nlr: [1\n")
    assert train("optim=broken") == 2
    printed = capsys.readouterr().err
    assert "broken.yaml" in printed
    assert "Traceback" not in printed


def test_key_that_an_option_inherits_is_known(work, capsys):
    Path("conf/optim/heir.yaml").write_text("# sgd with momentum\ndefaults:\n  - sgd\n  - _self_\nmomentum: 0.5\n")
    assert train("optim=heir", "optim.nesterof=true") == 2
    assert "optim=heir has no key 'nesterof'; did you mean nesterov?" in capsys.readouterr().err
    assert train("optim=heir", "optim.nesterov=true", "data.num_train=100") == 0


def test_group_of_the_users_own_is_added_and_read_by_interpolation(work, capsys):
    Path("conf/lab/rates.yaml").write_text("# rates\nrate: 0.25\n")
    assert train("+lab=rates", "optim.lr=${lab.rate}", "lab.rate=0.5", "data.num_train=100") == 0
    (folder,) = Path("outputs/rings").iterdir()
    assert json.loads((folder / "run.json").read_text())["config"]["optim"]["lr"] == 0.5
    assert train("+lab=rtes") == 2
    assert "lab has no option 'rtes'; did you mean rates" in capsys.readouterr().err
