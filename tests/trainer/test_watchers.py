"""Callbacks that fail: each costs itself, never the training."""

import json

import pytest
import torch

from nnlab import Trainer
from nnlab.callback import Callback
from nnlab.cli import main
from nnlab.loss import MSE

HOOKS = ["on_fit_start", "on_step_end", "on_evaluation", "on_fit_end", "state_dict"]


def failing(hook):
    def fails(self, *args):
        self.calls += 1
        raise RuntimeError("no such luck")

    return type("Clumsy", (Callback,), {hook: fails, "calls": 0})()


class Counting(Callback):
    def __init__(self):
        self.steps, self.evaluations, self.ended = 0, 0, 0

    def on_step_end(self, view, step, loss):
        self.steps += 1

    def on_evaluation(self, view, epoch, step, metrics):
        self.evaluations += 1

    def on_fit_end(self, view, step):
        self.ended += 1

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


def fit(callbacks, folder=None, resume=False, **settings):
    torch.manual_seed(0)
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    settings = {"max_epochs": 3, "checkpoint_every": "1ep"} | settings
    trainer = Trainer(model, MSE(), optimizer, callbacks=callbacks, folder=folder, **settings)
    result = trainer.fit((x, x[:, :1]), (x, x[:, :1]), resume=resume)
    return result, [parameter.tolist() for parameter in model.parameters()]


@pytest.mark.parametrize("hook", HOOKS)
def test_callback_that_fails_is_let_go_of_with_one_note_and_changes_nothing(hook, tmp_path):
    clumsy, counting = failing(hook), Counting()
    result, weights = fit([clumsy, counting], tmp_path)
    _, alone = fit([])
    assert result.status == "completed"
    assert weights == alone
    assert clumsy.calls == 1
    assert (counting.steps, counting.evaluations, counting.ended) == (6, 3, 1)
    assert result.notes == ["callback Clumsy failed (RuntimeError: no such luck); training goes on without it"]


def test_callback_that_refuses_at_the_start_ends_the_training():
    class Refusing(Callback):
        def on_fit_start(self, view):
            raise ValueError("callback.refusing: not with this model")

    with pytest.raises(ValueError, match="not with this model"):
        fit([Refusing()])


def test_two_callbacks_of_one_class_each_take_back_their_own_state(tmp_path):
    fit([Counting(), Counting()], tmp_path, max_epochs=2)
    state = json.loads((tmp_path / "checkpoints" / "4.json").read_text())
    assert "Counting_2" in json.dumps(state)
    first, second = Counting(), Counting()
    fit([first, second], tmp_path, resume=True, max_epochs=3)
    assert (first.steps, second.steps) == (6, 6)


def test_callback_that_cannot_take_its_state_back_is_noted_and_left_out(tmp_path):
    class Forgetful(Counting):
        def load_state_dict(self, state):
            raise KeyError("steps")

    fit([Forgetful()], tmp_path, max_epochs=2)
    result, _ = fit([Forgetful()], tmp_path, resume=True, max_epochs=3)
    assert result.status == "completed"
    assert result.notes == ["callback Forgetful failed (KeyError: 'steps'); training goes on without it"]


def test_plugin_callback_that_fails_costs_the_command_nothing_but_a_note(tmp_path, monkeypatch, capsys):
    package = tmp_path / "watching"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from nnlab.callback import Callback\n\n\n"
        "class Torn(Callback):\n"
        "    def on_evaluation(self, view, epoch, step, metrics):\n"
        "        raise OSError(28, 'No space left on device')\n"
    )
    configs = tmp_path / "conf" / "callback"
    configs.mkdir(parents=True)
    (configs / "torn.yaml").write_text("# a callback that fails\ntorn:\n  _target_: watching.Torn\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = ["plugins=[watching]", "callback=[torn]", "logger=[]", "data=moons", "trainer.max_epochs=2"]
    code = main(["train", "--config-dir", str(tmp_path / "conf"), *words, "hydra.run.dir=run"])
    assert code == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "completed"
    assert any("callback Torn failed (OSError" in note for note in result["notes"])
    assert "callback Torn failed" in capsys.readouterr().out
