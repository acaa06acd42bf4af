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
from nnlab.trainer.compile_cost import Operations
from nnlab.trainer.compiler import CACHE_VARIABLE, why_no_compiler
from nnlab.trainer.engine import Ahead
from nnlab.trainer.state import copy_of
from own_models import Own
from together_runs import alone, assert_close, far, rows, trainer
from varied_runs import OPTIMIZERS, SCHEDULES

pytestmark = pytest.mark.skipif(bool(why_no_compiler()), reason=why_no_compiler() or "there is a compiler")


class Residual(nn.Module):
    """A residual connection, norms, dropout, and a layer that is not used."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.inner, self.last = nn.Linear(2, 6), nn.Linear(6, 6), nn.Linear(6, 1)
        self.norm = nn.Sequential(nn.BatchNorm1d(6), nn.LayerNorm(6))
        self.dropout, self.unused = nn.Dropout(0.3), nn.Linear(2, 2)

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
        "metrics": "multiclass", "accumulate_steps": 3, "grad_clip_norm": 0.2, "batch_size": 6,
    },
    "dropout, norms, penalties": {
        "make_model": Residual, "make_loss": BCE, "metrics": "binary", "penalty": Penalty(1e-3, 1e-2),
        "grad_clip_norm": 0.5, "optimizer": "SGD", "optim": {"momentum": 0.8}, "batch_size": 12,
    },
}  # fmt: skip


@pytest.mark.parametrize("settings", EQUAL.values(), ids=EQUAL)
def test_metrics_of_every_epoch_equal_torchs_own_to_a_billionth(settings):
    task = settings.get("metrics", "regression")
    train, valid = rows(task), rows(task, 30, seed=1)
    spec = {"make_model": Small, "max_epochs": 20, **settings}
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
        with one.settings():
            one.model.train()
            engine.start_epoch(Ahead(0, 0, [], None))
            assert engine.steps(1) == 1
        torch.testing.assert_close(one.model.state_dict(), after[0], rtol=1e-5, atol=1e-6)


class Shifted(nn.Module):
    """A loss with a number of its own, whose derivative is the share of a batch in a step."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, prediction, target):
        return (prediction - target).square().mean() + self.number


def test_gradient_that_is_an_argument_of_the_program_may_be_changed_in_place():
    """The last step has one batch: its share, 1, is that number's gradient, which is then clipped."""
    train, weights = rows(num=40), {}
    for compile in ("step", "off"):
        model = Small(0)
        model.number = nn.Parameter(torch.zeros((), dtype=torch.float64))
        made = trainer(
            make_model=lambda seed, own=model: own, make_loss=lambda own=model: Shifted(own.number), compile=compile,
            batch_size=8, accumulate_steps=2, grad_clip_norm=0.01, metrics=None, optimizer="SGD",
        )  # fmt: skip
        made.fit(train)
        weights[compile] = copy_of(made.model.state_dict())
    assert_close(weights["step"], weights["off"])


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


@pytest.mark.parametrize(("accumulate_steps", "traces"), [(1, False), (2, True)])
def test_model_that_changes_is_gone_on_with_by_torchs_own_operations_which_is_said(accumulate_steps, traces):
    """Whether or not torch would make another program by itself."""
    spec = {
        "make_model": Small, "make_callbacks": lambda: [Rescaling()], "batch_size": 6, "grad_clip_norm": 0.1,
        "accumulate_steps": accumulate_steps, "max_epochs": 5,
    }  # fmt: skip
    train, valid = rows(), rows(num=30, seed=1)
    with torch._dynamo.config.patch(trace_autograd_ops=traces):
        found, expected = (alone([{**spec, "compile": compile}], train, valid) for compile in ("step", "off"))
    assert engines(found) == ["inductor"]
    assert not far(found, expected)
    assert_close(found[0].weights, expected[0].weights)
    (note,) = found[0].result.notes
    assert "from here on steps are done by torch's own operations" in note
    assert "model.scale == 1.0 no longer holds" in note
    assert "in forward" in note


class Counting(Small):
    def forward(self, x):
        self.scale += 1.0
        return super().forward(x)


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
    "a count": ({"make_model": Counting}, "compiled anew: model.scale == 1.0 no longer holds"),
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
    # What was tried leaves no trace.
    assert [{**row, "time_s": 0} for row in results[0].history] == [{**row, "time_s": 0} for row in results[1].history]
    assert results[0].notes == results[1].notes


def test_compiler_that_is_switched_off_or_silent_is_refused(monkeypatch):
    with torch._dynamo.config.patch(suppress_errors=True), pytest.raises(ValueError, match="suppress_errors is set"):
        trainer(make_model=Small, compile="step").fit(rows())
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    with pytest.raises(ValueError, match="switched off, as by TORCHDYNAMO_DISABLE"):
        trainer(make_model=Small, compile="step").fit(rows())


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
    numbers(inductor_start_s=1e-9, inductor_compile_s=1e-9)


def test_operations_are_counted_with_what_they_write():
    a, b = torch.ones(3, 4, requires_grad=True), torch.ones(4, 5)
    operations = Operations()
    with operations:
        (a @ b).t().exp().sum()  # a view is none; of the product nothing is counted but itself
    known = Machine()
    assert (operations.number, operations.num_bytes, operations.convolves) == (3, 4 * (15 + 1), False)
    np.testing.assert_allclose(
        operations.saved_us, 3 * known.inductor_saved_us - 64 * known.inductor_byte_ns / 1e3, rtol=1e-12
    )
    with operations:
        F.conv1d(torch.ones(1, 1, 3), torch.ones(1, 1, 2))
    assert operations.convolves


class Convolved(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.last = nn.Conv1d(1, 2, 2), nn.Linear(2, 1)

    def forward(self, x):
        return self.last(self.first(x.unsqueeze(1)).squeeze(-1))


#: no number of a machine is what the others are: each has to be in its place
KNOWN = {"inductor_start_s": 7.0, "inductor_compile_s": 0.5, "inductor_saved_us": 3.0, "inductor_byte_ns": 8.0}
NO_C = "Small has no C form in its place; "


def test_auto_compiles_where_the_length_of_the_run_pays_for_it(numbers):
    numbers(**KNOWN)
    train = rows(num=8)

    def counted(batch_size):
        made, operations = trainer(make_model=Small), Operations()
        with operations:
            made.gradient(made.model, made.objective, *(t[:batch_size] for t in train), made.precision, 1)
        return operations.number, operations.num_bytes

    def choice(steps, **settings):
        own = {"make_model": Small, "batch_size": 8, "compile": "auto", **settings}
        return trainer(**own, max_epochs=steps).choose_engine(train)

    for sizes, batch_size in ((1, 8), (2, 5)):  # a smaller last batch takes a program of its own
        number, num_bytes = counted(batch_size)
        saved_s, compile_s = (3.0 * number - 8e-3 * num_bytes) / 1e6, 7.0 + sizes * 0.5 * number
        assert 0.5 < saved_s / (3e-6 * number) < 0.9
        few, least = int(1.2 * sizes * 0.5 / 3e-6), int(1.2 * compile_s / saved_s)
        own = {"batch_size": batch_size, "accumulate_steps": sizes}  # an epoch is one step
        assert choice(few // sizes - 1, **own).reason.startswith(
            f"{NO_C}torch.compile pays from {few:,} gradients on, and there are {few - sizes:,} to compute"
        )
        short = choice(int(0.99 * least) // sizes, **own)
        assert (short.engine.name, short.note) == ("eager", None)
        assert f"{NO_C}torch.compile takes about {compile_s:.2g} s and would save about" in short.reason
        if sizes == 1:
            chosen = choice(int(1.01 * least))
            assert (chosen.engine.name, chosen.note) == ("inductor", None)
            assert "steps save what torch.compile takes; by torch.compile, since Small has no C form" in chosen.reason
    number, num_bytes = counted(8)
    # Whatever is written costs, and what a convolution saves is not known.
    numbers(**{**KNOWN, "inductor_byte_ns": 3e3 * number / num_bytes * 1.001})
    assert "would save about 0 s" in choice(10**9).reason
    numbers(inductor_start_s=1e-9, inductor_compile_s=1e-9)
    assert "convolutions" in choice(10**9, make_model=Convolved).reason


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
remember(Machine(inductor_start_s=1e-9, inductor_compile_s=1e-9))
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
