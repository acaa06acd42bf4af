"""Whole trainings in C: resumed, diverging, watched, refused."""

import json
import math

import pytest
import torch
from torch import nn

from nnlab.callback import Callback, Trace
from nnlab.cli import main
from nnlab.gradient import FiniteDifference
from nnlab.loss import CrossEntropy
from nnlab.native.layers import stages_of
from nnlab.native.library import compiler, load
from nnlab.schedule import Constant
from together_runs import assert_close, rows, trainer

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler (cc, gcc or clang)")

CASES = {
    "adam, dropout, batch norm": {"model": {"dropout": 0.3, "norm": "batch"}},
    "momentum, warm-up": {
        "optimizer": "SGD", "optim": {"momentum": 0.9, "nesterov": True},
        "make_schedule": lambda: Constant(unit="step", warmup_steps=20),
    },
    "nadam, clipped": {"optimizer": "NAdam", "grad_clip_norm": 0.2},
    "rprop": {"optimizer": "Rprop"},
    "radam, two threads": {"optimizer": "RAdam", "threads": 2, "batch_size": 5},
}  # fmt: skip


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_resumed_at_any_step_equals_uninterrupted(settings, tmp_path):
    settings = {"batch_size": 7, **settings, "compile": "step", "max_epochs": 5}
    train, valid = rows(num=40), rows(num=17, seed=1)
    whole = trainer(**settings)
    expected = whole.fit(train, valid)
    for stop in (1, 6, 7, 13):
        folder = tmp_path / str(stop)
        folder.mkdir()
        stopped = trainer(**settings, folder=folder, checkpoint_every=3, max_steps=stop).fit(train, valid)
        assert stopped.steps == stop
        again = trainer(**settings, folder=folder)
        resumed = again.fit(train, valid, resume=True)
        # Where it stopped in mid-epoch there is a row that the other has not.
        kept = {row["epoch"]: row for row in resumed.history if row["step"] % (expected.steps // 5) == 0}
        for row in expected.history:
            assert {**kept[row["epoch"]], "time_s": 0} == {**row, "time_s": 0}
        for name, tensor in whole.model.state_dict().items():
            assert torch.equal(tensor, again.model.state_dict()[name]), name
        again_state, whole_state = again.optimizer.state_dict(), whole.optimizer.state_dict()
        torch.testing.assert_close(again_state, whole_state, rtol=0, atol=0)


@pytest.mark.parametrize("stop", [None, 3])
def test_divergence_is_found_at_the_step_where_torchs_own_has_it(stop, tmp_path):
    spec = {"optimizer": "SGD", "lr": 50.0, "model": {"activation": "relu"}, "max_epochs": 60, "batch_size": 7}
    train, valid = rows(num=40), rows(num=17, seed=1)
    ends = []
    for compile in ("step", "off"):
        folder = tmp_path / compile
        folder.mkdir()
        if stop is not None:
            trainer(**spec, compile=compile, folder=folder, max_steps=stop).fit(train, valid)
        made = trainer(**spec, compile=compile, folder=folder)
        result = made.fit(train, valid, resume=stop is not None)
        ends.append((result.status, result.steps, result.diverged_at, made.model.state_dict()))
    assert ends[0][:3] == ends[1][:3]
    assert ends[0][0] == "diverged"
    assert all(math.isfinite(float(tensor.abs().max())) for tensor in ends[0][3].values())
    assert_close(ends[0][3], ends[1][3])


class Watching(Callback):
    """Keeps the loss, and the first parameter and its gradient, after each step."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, view, step, loss):
        first = next(iter(view.model.parameters()))
        self.seen.append((step, float(loss), first.detach().clone(), first.grad.clone()))


def test_callback_of_steps_sees_what_it_sees_otherwise(tmp_path):
    seen = []
    for compile in ("step", "off"):
        watching = Watching()
        callbacks = [watching, Trace(100)]
        folder = tmp_path / compile
        folder.mkdir()
        made = trainer(compile=compile, make_callbacks=lambda found=callbacks: found, grad_clip_norm=0.5, folder=folder)
        made.fit(rows(), rows(num=17, seed=1))
        seen.append(watching.seen)
    assert [step for step, *_ in seen[0]] == list(range(1, 7))
    torch.testing.assert_close(seen[0], seen[1], rtol=1e-9, atol=1e-12)
    tables = [(tmp_path / compile / "trace.csv").read_text().splitlines() for compile in ("step", "off")]
    assert len(tables[0]) == len(tables[1]) > 6


def in_two_places(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), layer, nn.Linear(4, 4), layer, nn.Linear(4, 1))


def tied() -> nn.Module:
    made = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1))
    made[2].weight = made[1].weight
    return made


REFUSED = {
    "activation": ({"model": {"activation": lambda: nn.Softmax(-1)}}, r"Softmax \(activation1\) has no C form"),
    "slope in two places": ({"make_model": lambda seed: in_two_places(nn.PReLU())}, "several places"),
    "norm in two places": ({"make_model": lambda seed: in_two_places(nn.BatchNorm1d(4))}, "several places"),
    "norm without weights in two places": (
        {"make_model": lambda seed: in_two_places(nn.BatchNorm1d(4, affine=False))}, "several places"
    ),
    "weight in two places": ({"make_model": lambda seed: tied()}, "several places"),
    "optimizer": ({"optimizer": "LBFGS"}, "LBFGS"),
    "loss": ({"make_loss": lambda: nn.PoissonNLLLoss()}, "PoissonNLLLoss has no C form"),
    "gradient": ({"gradient": FiniteDifference(1e-3)}, "FiniteDifference"),
    "precision": ({"precision": "bf16"}, "bf16"),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "said"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_c_form_is_refused_with_step_and_trained_otherwise_with_auto(settings, said, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")  # torch.compile would take some of them
    task = "multiclass" if "num_outputs" in settings.get("model", {}) else "regression"
    dtype = torch.float32 if settings.get("precision") == "bf16" else torch.float64
    train, valid = rows(task, dtype=dtype), rows(task, 17, 1, dtype)
    with pytest.raises(ValueError, match=f"trainer.compile: step is not possible here: .*{said}"):
        trainer(**settings, compile="step").fit(train, valid)
    made = trainer(**settings, compile="auto", max_epochs=2000, max_steps=4)
    assert made.fit(train, valid).steps == 4
    assert made.engine.engine.name == "eager"


def test_activation_without_a_weight_may_have_two_places():
    train, valid = rows(), rows(num=17, seed=1)
    ends = []
    for compile in ("step", "off"):
        made = trainer(make_model=lambda seed: in_two_places(nn.Tanh()).double(), seed=3, compile=compile)
        torch.manual_seed(3)
        for parameter in made.model.parameters():
            nn.init.normal_(parameter)
        made.fit(train, valid)
        ends.append(made.model.state_dict())
    assert_close(*ends)


def test_slopes_of_another_number_of_units_have_no_c_form():
    assert "PReLU (1) has no C form" in stages_of(nn.Sequential(nn.Linear(2, 4), nn.PReLU(3)))
    (stage,) = stages_of(nn.Sequential(nn.Linear(2, 4), nn.PReLU(4)))
    assert stage.slope.shape == (4,)


@pytest.mark.parametrize("weights", [None, [1.0, 2.0]])
def test_codes_and_weights_that_are_not_those_of_the_outputs_meet_torchs_own_error(weights):
    x, y = rows("multiclass")
    codes = y + 1 if weights is None else y
    settings = {"model": {"num_outputs": 3}, "make_loss": lambda: CrossEntropy(0.0, weights), "metrics": None}
    with pytest.raises(ValueError, match="not those of its outputs"):
        trainer(**settings, compile="step").fit((x, codes))
    with pytest.raises((IndexError, RuntimeError, ValueError), match=r"out of bounds|class_weight"):
        trainer(**settings, compile="auto", max_epochs=3000).fit((x, codes))


def test_auto_compiles_long_trainings_only():
    short, long = trainer(max_epochs=100), trainer(max_epochs=2000)
    assert short.choose_engine(rows()).engine.name == "eager"
    assert "less than" in short.engine.reason
    assert long.choose_engine(rows()).engine.name == "native"
    assert "4,000 steps" in long.engine.reason


def test_without_a_compiler_auto_says_so_once_and_step_is_refused(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CC", raising=False)
    load.cache_clear()
    try:
        made = trainer(max_epochs=2000, max_steps=2500)
        result = made.fit(rows(), rows(num=17, seed=1))
        assert made.engine.engine.name == "eager"
        assert [note for note in result.notes if "no C compiler was found" in note] == result.notes
        assert len(result.notes) == 1
        with pytest.raises(ValueError, match="no C compiler was found"):
            trainer(compile="step").fit(rows())
    finally:
        load.cache_clear()


def test_unknown_value_is_refused():
    with pytest.raises(ValueError, match=r"trainer\.compile: expected one of auto, off, step, found 'yes'"):
        trainer(compile="yes")


QUICK = ["data=moons", "model.width=8", "logger=[]", "figures=[]", "trainer.threads=1"]


def test_run_records_its_engine_and_is_resumed_with_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK, "trainer.max_epochs=300", "hydra.run.dir=whole"]) == 0
    assert "compiled steps" in capsys.readouterr().out
    assert main(["train", *QUICK, "trainer.max_epochs=300", "trainer.max_steps=3000", "hydra.run.dir=run"]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["choices"]["engine"] == "native"
    assert record["choices"]["compile"] == "step"
    assert record["config"]["trainer"]["compile"] == "auto"
    # So short that a new run would not be compiled.
    assert main(["resume", "run", "trainer.max_steps=3010"]) == 0
    assert main(["verify", "run"]) == 0


def test_eager_run_that_is_extended_stays_eager(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, epochs in (("whole", 300), ("run", 3)):
        words = [*QUICK, f"trainer.max_epochs={epochs}", f"hydra.run.dir={folder}"]
        assert main(["train", *words, *(["trainer.compile=off"] if folder == "whole" else [])]) == 0
    assert main(["resume", "run", "trainer.max_epochs=300"]) == 0
    last = [(tmp_path / folder / "metrics.csv").read_text().splitlines()[-1].split(",") for folder in ("whole", "run")]
    assert last[0][3:] == last[1][3:]


class Glancing(Watching):
    """As above, but content with fewer looks."""

    every_step = False


def test_callback_that_needs_not_every_step_lets_several_be_done():
    glancing = Glancing()
    trainer(compile="step", make_callbacks=lambda: [glancing], batch_size=2).fit(rows())
    assert [step for step, *_ in glancing.seen] == [12, 24, 36]


@pytest.mark.parametrize("compile", ["step", "off"])
def test_denormals_are_flushed_by_every_thread_and_either_way(compile):
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush denormals")
    torch.set_flush_denormal(False)
    model = nn.Linear(2, 4)
    with torch.no_grad():
        model.weight.fill_(1e-39)
    assert model.weight[0, 0] != 0
    threads = 2 if compile == "step" else 1
    settings = {"compile": compile, "threads": threads, "precision": "fp32", "metrics": None, "max_epochs": 1}
    x, y = rows(dtype=torch.float32)
    made = trainer(**settings, make_model=lambda seed: model, optimizer="SGD", lr=0.0)
    made.fit((x, y.expand(-1, 4).contiguous()))
    assert torch.equal(model.weight.view(torch.int32), torch.zeros(4, 2, dtype=torch.int32))
