"""Steps of models without a C form, whose gradient is a program of torch.compile's.

A program takes seconds to make: what can share one is in one test.
"""

import json
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from nnlab.callback import Callback
from nnlab.gradient import FiniteDifference
from nnlab.loss import BCE, CrossEntropy
from nnlab.loss.base import Penalty
from nnlab.machine import Machine, machine, remember
from nnlab.model.dropout import Dropout
from nnlab.schedule import Exponential
from nnlab.trainer.compile_cost import LEAST_GAIN, Operations
from nnlab.trainer.compiler import CACHE_VARIABLE, why_no_compiler
from nnlab.trainer.state import copy_of
from own_models import Own
from together_runs import alone, assert_close, far, rows, trainer
from varied_runs import OPTIMIZERS, SCHEDULES

pytestmark = pytest.mark.skipif(bool(why_no_compiler()), reason=why_no_compiler() or "there is a compiler")


class Residual(nn.Module):
    """A residual connection, a norm, and a layer that is not used."""

    def __init__(self, seed, dropout=0.0, batch_norm=False):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.inner, self.last = nn.Linear(2, 6), nn.Linear(6, 6), nn.Linear(6, 1)
        self.norm = nn.BatchNorm1d(6) if batch_norm else nn.LayerNorm(6)
        self.dropout, self.unused = nn.Dropout(dropout), nn.Linear(2, 2)

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        return self.last(hidden + F.gelu(self.dropout(self.inner(self.norm(hidden)))))


class Branches(nn.Module):
    """Two layers side by side: the compiler finds that their biases have one derivative, and computes it once."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.left, self.right, self.last = nn.Linear(2, 6), nn.Linear(2, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.last(torch.tanh(self.left(x) + self.right(x)))


class Small(nn.Module):
    """As few operations as make a network, and as take little time to compile."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.last = nn.Linear(2, 4), nn.Linear(4, 1)
        self.scale = 1.0

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)) * self.scale)


def engines(outcomes):
    return [one.trainer.engine.engine.name for one in outcomes]


EQUAL = {
    "clipped, a smaller last batch": {"grad_clip_norm": 0.3, "make_schedule": SCHEDULES["cosine by steps"]},
    "added up, clipped, three classes": {
        "make_model": Branches, "make_loss": lambda: CrossEntropy(0.1, [0.3, 1.0, 2.0]),
        "metrics": "multiclass", "accumulate_steps": 3, "grad_clip_norm": 0.2, "batch_size": 5,
    },
    "dropout, batch norm, penalties": {
        "make_model": lambda seed: Residual(seed, dropout=0.3, batch_norm=True), "make_loss": BCE, "metrics": "binary",
        "penalty": Penalty(1e-3, 1e-2), "optimizer": "SGD", "optim": {"momentum": 0.8}, "batch_size": 12,
    },
}  # fmt: skip


@pytest.mark.parametrize("settings", EQUAL.values(), ids=EQUAL)
def test_metrics_of_every_epoch_equal_torchs_own_to_a_billionth(settings):
    task = settings.get("metrics", "regression")
    train, valid = rows(task), rows(task, 30, seed=1)
    spec = {"make_model": Residual, "max_epochs": 20, **settings}
    found, expected = (alone([{**spec, "compile": compile}], train, valid) for compile in ("step", "off"))
    assert engines(found + expected) == ["inductor", "eager"]
    assert len(found[0].rows) == 20
    assert not far(found, expected)
    assert_close(found[0].weights, expected[0].weights)  # running statistics among them
    assert_close(*(one[0].trainer.optimizer.state_dict() for one in (found, expected)))
    assert found[0].result.notes == expected[0].result.notes


def test_every_optimizer_with_a_schedule_agrees_and_a_process_may_train_any_number_of_models():
    """Torch gives up on a function of which it has made eight programs; here are more, one after another."""
    train, valid = rows(), rows(num=30, seed=1)
    problems = []
    for (optimizer, lr, optim), make_schedule in zip(OPTIMIZERS.values(), [*SCHEDULES.values()] * 2, strict=False):
        spec = {
            "make_model": Small, "optimizer": optimizer, "lr": lr, "optim": optim, "make_schedule": make_schedule,
            "batch_size": 8, "max_epochs": 20,
        }  # fmt: skip
        found, expected = (alone([{**spec, "compile": compile}], train, valid) for compile in ("step", "off"))
        assert engines(found) == ["inductor"]
        problems += [f"{optimizer}: {problem}" for problem in far(found, expected)[:1]]
    assert not problems, "\n".join(problems)


def test_one_step_in_single_precision_from_fifty_states_agrees():
    train, valid = rows(num=40, dtype=torch.float32), rows(num=17, seed=1, dtype=torch.float32)
    spec = {"make_model": Small, "precision": "fp32", "batch_size": 40, "max_epochs": 1, "seed": 3}
    walk, one = (trainer(**{**spec, **own}) for own in ({"max_epochs": 50, "compile": "off"}, {"compile": "step"}))
    states = []

    class Keeping(Callback):
        def on_step_end(self, view, step, loss):
            states.append([copy_of(walk.model.state_dict()), copy_of(walk.optimizer.state_dict())])

    walk.watch(Keeping())
    begun = [copy_of(walk.model.state_dict()), copy_of(walk.optimizer.state_dict())]
    walk.fit(train, valid)
    engine = one.choose_engine(train).engine
    assert (engine.name, len(states)) == ("inductor", 50)
    for before, after in zip([begun, *states], states, strict=False):
        one.model.load_state_dict(before[0])
        one.optimizer.load_state_dict(copy_of(before[1]))
        gradient = engine._gradient
        for parameter in one.model.parameters():
            parameter.grad = None
        gradient(one.model, one.objective, *train, one.precision, 1.0)
        one.optimizer.step()
        torch.testing.assert_close(one.model.state_dict(), after[0], rtol=1e-5, atol=1e-6)


class Looking(Callback):
    """Has every step done by itself."""

    def on_step_end(self, view, step, loss):
        del view, step, loss


def dropped(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 4), nn.Softmax(-1), nn.Dropout(0.4), nn.Linear(4, 1))


def test_bits_are_the_same_twice_whatever_the_cadence_and_resumed_at_any_step(tmp_path):
    train, valid = rows(num=40, dtype=torch.float32), rows(num=17, seed=1, dtype=torch.float32)
    spec = {
        "make_model": dropped, "precision": "fp32", "batch_size": 8, "max_epochs": 4, "compile": "step",
        "make_schedule": lambda: Exponential(gamma=0.9, unit="step", warmup_steps=5),
    }  # fmt: skip
    ways = [{}, {}, {"checkpoint_every": 1}, {"make_callbacks": lambda: [Looking()]}]
    once, *others = alone([{**spec, **way} for way in ways], train, valid)
    assert engines([once, *others]) == ["inductor"] * 4
    for other in others:
        assert repr(once.rows) == repr(other.rows)
        assert all(torch.equal(tensor, other.weights[name]) for name, tensor in once.weights.items())
    for stop in (1, 5, 12):
        folder = tmp_path / str(stop)
        folder.mkdir()
        assert trainer(**spec, folder=folder, max_steps=stop).fit(train, valid).steps == stop
        again = trainer(**spec, folder=folder)
        again.fit(train, valid, resume=True)
        assert all(torch.equal(tensor, again.model.state_dict()[name]) for name, tensor in once.weights.items())


class Rescaling(Callback):
    """Sets a number that ``forward`` reads."""

    def on_evaluation(self, view, epoch, step, metrics):
        if epoch == 2:
            view.model.scale = 0.5


@pytest.mark.parametrize("accumulate_steps", [1, 2])
def test_model_that_changes_is_gone_on_with_by_torchs_own_operations_which_is_said(accumulate_steps):
    spec = {
        "make_model": Small, "make_callbacks": lambda: [Rescaling()], "batch_size": 6, "grad_clip_norm": 0.1,
        "accumulate_steps": accumulate_steps, "max_epochs": 5,
    }  # fmt: skip
    train, valid = rows(), rows(num=30, seed=1)
    found, expected = (alone([{**spec, "compile": compile}], train, valid) for compile in ("step", "off"))
    assert engines(found) == ["inductor"]
    assert not far(found, expected)
    assert_close(found[0].weights, expected[0].weights)
    (note,) = found[0].result.notes
    assert "from here on steps are done by torch's own operations" in note
    assert "model.scale == 1.0 no longer holds" in note
    assert "in forward" in note


def hooked(parameter):
    parameter.register_hook(lambda grad: 2 * grad)
    return parameter


def with_hook(seed):
    made = Small(seed)
    hooked(made.first.weight)
    return made


def with_own_dropout(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 4), nn.Softmax(-1), Dropout(0.4), nn.Linear(4, 1))


REFUSED = {
    "a branch": ({"make_model": lambda seed: Own(seed, "branch")}, r"[Bb]ranching \(own_models.py, line \d+\)"),
    "a count": ({"make_model": lambda seed: Own(seed, "count")}, "compiled anew: model.count == 0 no longer holds"),
    "dropout of nnlab's": ({"make_model": with_own_dropout}, "torch.compile cannot make one program .* line"),
    "hook on a layer": ({"make_model": Small, "hook": True}, "hooks on the model or its layers"),
    "hook on a parameter": ({"make_model": with_hook}, "hooks on the model's parameters"),
    "frozen": ({"make_model": Small, "frozen": True}, "does not update every parameter"),
    "optimizer": ({"make_model": Small, "optimizer": "LBFGS"}, "LBFGS goes another way"),
    "gradient": ({"make_model": Small, "gradient": FiniteDifference(1e-3)}, "FiniteDifference"),
    "precision": ({"make_model": Small, "precision": "bf16"}, "bf16"),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_compiled_is_refused_with_step_and_trained_as_ever_with_auto(settings, said, pays):
    settings = dict(settings)
    hook, frozen = settings.pop("hook", False), settings.pop("frozen", False)
    dtype = torch.float32 if settings.get("precision") == "bf16" else torch.float64
    train = rows(num=40, dtype=dtype)

    def make(compile):
        made = trainer(**settings, compile=compile, batch_size=40, max_epochs=3)
        if hook:
            made.model.first.register_forward_hook(lambda *given: None)
        if frozen:
            made.model.first.weight.requires_grad_(False)
        return made

    with pytest.raises(ValueError, match=f"trainer.compile: step is not possible here: .*{said}"):
        make("step").fit(train)
    automatic, off = make("auto"), make("off")
    results = [made.fit(train) for made in (automatic, off)]
    assert automatic.engine.engine.name == "eager"
    if "LBFGS" not in said:
        assert torch.compile is not None
    # What was tried leaves no trace.
    assert [{**row, "time_s": 0} for row in results[0].history] == [{**row, "time_s": 0} for row in results[1].history]
    assert results[0].notes == results[1].notes


def test_rows_of_a_loader_are_refused():
    x, y = rows()
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    with pytest.raises(ValueError, match="its rows come from a DataLoader"):
        trainer(make_model=Small, compile="step").fit(loader)


@pytest.fixture
def numbers(tmp_path, monkeypatch):
    """Sets what is known of this machine, in a cache of its own for these numbers alone."""

    def put(**values):
        programs = os.environ["NNLAB_CACHE"]
        monkeypatch.setenv("NNLAB_CACHE", str(tmp_path / "cache"))
        remember(Machine(**values))
        assert machine() == Machine(**values)
        monkeypatch.setenv("NNLAB_CACHE", programs)  # where programs are found again

    yield put
    machine.cache_clear()


@pytest.fixture
def pays(numbers):
    """Any program pays on this machine."""
    numbers(inductor_start_s=1e-9, inductor_graph_s=1e-9)


def test_operations_are_counted_with_what_they_write():
    a, b = torch.ones(3, 4, requires_grad=True), torch.ones(4, 5)
    operations = Operations()
    with operations:
        (a @ b).t().exp().sum()  # a view is none; of the product nothing is counted but itself
    known = Machine()
    assert (operations.number, operations.num_bytes) == (3, 4 * (15 + 1))
    np.testing.assert_allclose(
        operations.saved_us, 3 * known.inductor_operation_us + 64 * known.inductor_byte_ns / 1e3, rtol=1e-12
    )


#: steps, and what the run says of it; 20,000 are too few whatever the model is
LENGTHS = {"a few": (20_000, "takes about 18 s"), "many": (100_000_000, None)}


def test_auto_compiles_where_the_length_of_the_run_pays_for_it(numbers):
    train = rows(num=8)
    short = trainer(make_model=Small, batch_size=8, max_epochs=20_000, compile="auto").choose_engine(train)
    assert short.engine.name == "eager"
    assert short.reason == "Small has no C form in its place; torch.compile takes about 18 s and would save about 20 s"
    operations = Operations()
    made = trainer(make_model=Small, batch_size=8)
    with operations:
        made.gradient(made.model, made.objective, *train, made.precision, 1)
    least = LEAST_GAIN * 18.0 / (operations.saved_us / 1e6)
    for factor, expected in ((0.99, "eager"), (1.01, "inductor")):
        one = trainer(make_model=Small, batch_size=8, max_epochs=int(factor * least), compile="auto")
        choice = one.choose_engine(train)
        assert choice.engine.name == expected
        assert choice.note is None
        assert ("save what torch.compile takes" in choice.reason) == (expected == "inductor")
    # A batch of another size takes another program; accumulated batches save as often as there are of them.
    two = trainer(make_model=Small, batch_size=5, max_epochs=25_000, compile="auto").choose_engine(train)
    assert "takes about 28 s" in two.reason
    numbers(inductor_start_s=1e9)
    other = trainer(make_model=Small, batch_size=8, max_epochs=int(1.01 * least), compile="auto").choose_engine(train)
    assert other.engine.name == "eager"


def test_without_a_compiler_it_is_off_which_is_said_once(monkeypatch, pays):
    monkeypatch.setenv("CXX", "no-such-compiler")
    train = rows(num=8)
    with pytest.raises(ValueError, match=r"no C\+\+ compiler was found \(no-such-compiler; set CXX to one\)"):
        trainer(make_model=Small, compile="step").fit(train)
    made = trainer(make_model=Small, compile="auto", batch_size=8, max_epochs=3)
    result = made.fit(train)
    assert made.engine.engine.name == "eager"
    assert [note for note in result.notes if "no C++ compiler" in note] == [
        "steps are done by torch's own operations, not by compiled ones: no C++ compiler was found "
        "(no-such-compiler; set CXX to one)"
    ]


class Tracing(Small):
    """Has everything that a trial could change."""

    def __init__(self, seed):
        super().__init__(seed)
        self.dropout, self.norm = nn.Dropout(0.5), nn.BatchNorm1d(2)
        self.latest = None

    def forward(self, x):
        self.latest = len(x)
        self.extra = "made in forward"
        return super().forward(self.dropout(self.norm(x)))


def test_making_programs_leaves_no_trace():
    made = trainer(make_model=Tracing, compile="step", batch_size=24)
    made.model.eval()
    made.model.first.weight.grad = torch.full((4, 2), 7.0, dtype=torch.float64)
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    attributes = {name for layer in made.model.modules() for name in vars(layer)}
    stream, variables, threads = torch.get_rng_state(), dict(os.environ), threading.active_count()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert made.choose_engine(rows()).engine.name == "inductor"
    assert not said
    assert all(torch.equal(tensor, made.model.state_dict()[name]) for name, tensor in before.items())
    assert made.model.latest is None
    assert {name for layer in made.model.modules() for name in vars(layer)} == attributes
    assert not any(layer.training for layer in made.model.modules())
    assert made.model.first.weight.grad.tolist() == [[7.0, 7.0]] * 4
    assert made.model.last.weight.grad is None
    assert torch.equal(torch.get_rng_state(), stream)
    assert os.environ.get(CACHE_VARIABLE) == variables.get(CACHE_VARIABLE)
    assert threading.active_count() == threads
    assert torch._dynamo.config.trace_autograd_ops is False
    assert torch._inductor.config.fallback_random is False


PACKAGE = """
import torch
from torch import nn

class Waves(nn.Module):
    def __init__(self, num_inputs: int, num_outputs: int, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(num_inputs, width), nn.Linear(width, num_outputs)

    def forward(self, x):
        hidden = torch.sin(self.first(x))
        if BRANCHES and hidden.sum() > 0:
            hidden = 2 * hidden
        return self.last(hidden)
"""
#: what the command leaves beside its folder is looked for where torch keeps its own
COMMANDS = """
import os, sys
from pathlib import Path
from nnlab.cli import main
from nnlab.machine import Machine, forget, remember
words = ["train", "data=iris", "--config-dir", "mine", "model=waves", "logger=[]", "figures=[]", "trainer.max_epochs=2",
         "trainer.threads=1", "data.batch_size=30"]
code = main([*words, "plugins=[branching_lab]", "model._target_=branching_lab.Waves", "trainer.compile=step"])
print("REFUSED", code, os.path.exists("outputs"), "torch._inductor" in sys.modules)
remember(Machine(inductor_start_s=1e-9, inductor_graph_s=1e-9))
code = main([*words, "plugins=[waves_lab]"])
forget()
(folder,) = Path("outputs").glob("*/*")
print("TRAINED", code)
from torch._dynamo.utils import counters
number = counters["stats"]["unique_graphs"]
code = main(["resume", str(folder), "trainer.max_epochs=3", "plugins=[waves_lab]"])
print("RESUMED", code, number, counters["stats"]["unique_graphs"])
"""


def test_command_refuses_before_a_folder_is_made_and_resume_keeps_the_engine(tmp_path):
    for name, branches in (("waves_lab", False), ("branching_lab", True)):
        (tmp_path / f"{name}.py").write_text(PACKAGE.replace("BRANCHES", str(branches)))
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "waves.yaml").write_text("# sines\n_target_: waves_lab.Waves\nwidth: 4\n")
    (tmp_path / "temporary").mkdir()
    source = os.pathsep.join([str(tmp_path), *sys.path])
    environment = os.environ | {"PYTHONPATH": source, "TMPDIR": str(tmp_path / "temporary"), "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, "-c", COMMANDS], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    printed = ended.stdout + ended.stderr
    assert "REFUSED 2 False True" in printed, printed
    assert "branching_lab.py, line 12)" in ended.stderr
    assert "TRAINED 0" in printed, printed
    assert "RESUMED 0 1 2" in printed, printed  # by the defaults, two epochs more would not have paid
    assert "1 thread, fp32, torch.compile\n" in printed
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("outputs/*/*/run.json"))
    chosen = {name: record["choices"][name] for name in ("engine", "compile")}
    assert chosen == {"engine": "inductor", "compile": "step"}
    assert list((tmp_path / "temporary").iterdir()) == []
