"""What a process imports and when, in processes of their own: nothing before it is needed, and some of it never."""

import gc
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from nnlab import collector

SOURCE = str(Path(__file__).resolve().parents[1] / "src")


def run(script, work):
    """What a script prints, line by line."""
    environment = os.environ | {"PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=work, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


WHOLE_TRAINING = """
import gc, json, sys
from pathlib import Path


class Listener:
    seen = {}

    def find_spec(self, name, path=None, target=None):
        if name in ("matplotlib", "PIL"):
            (result,) = Path("outputs").glob("*/*/result.json")
            self.seen[name] = sorted(json.loads(result.read_text())["test"])


sys.meta_path.insert(0, Listener())
sys.argv = ["nnlab", "train", "trainer.max_epochs=2", "trainer.checkpoint_every=1ep"]
from nnlab.cli import main
assert main() == 0
print(sorted(name for name in NAMES if name in sys.modules))
print(Listener.seen)
print(gc.isenabled(), gc.get_freeze_count() > 100_000)
"""
#: torch's compiler and what it stands on, tables, data sets and everything of TensorBoard but the form of its files
NEVER = (
    *("torch._dynamo", "torch._inductor", "torch._functorch.aot_autograd", "torch.onnx", "sympy", "mpmath"),
    *("pandas", "scipy", "sklearn", "matplotlib.pyplot", "mlflow", "onnx"),
    *("torch.utils.tensorboard", "tensorboard.backend", "tensorboard.data", "tensorboard.summary", "tensorflow"),
)


def test_whole_training_imports_no_compiler_and_draws_only_afterwards(tmp_path):
    *_, there, drawn, is_frozen = run(f"NAMES = {NEVER}\n{WHOLE_TRAINING}", tmp_path)
    assert there == "[]"
    # When the first of them was imported, the training was over and the test metrics were written.
    assert drawn == "{'matplotlib': ['accuracy', 'loss'], 'PIL': ['accuracy', 'loss']}"
    assert is_frozen == "True True"


OPTIMIZERS = """
import sys
import torch
from nnlab.optim.dynamo import put_off_dynamo

put_off_dynamo()
put_off_dynamo()
finders = list(sys.meta_path)
weight = torch.ones(3, requires_grad=True)
for kind in ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "Adagrad", "Adadelta", "LBFGS"):
    optimizer = getattr(torch.optim, kind)([weight])
    optimizer.zero_grad()
    weight.sum().backward()
    torch.nn.utils.clip_grad_norm_([weight], 1.0)
    optimizer.load_state_dict(optimizer.state_dict())
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
print("torch._dynamo" in sys.modules)
optimizer = torch.optim.SGD([weight], lr=0.5)
weight.grad = torch.full((3,), 2.0)
optimizer.step()  # torch's own, which imports it
print("torch._dynamo" in sys.modules, weight.tolist())
methods = [torch.optim.Optimizer.zero_grad, torch.optim.Optimizer.add_param_group]
print([getattr(method.__wrapped__, "__dynamo_disable", None) is method.__wrapped__ for method in methods])
put_off_dynamo()
print(sys.meta_path == finders)
"""


def test_optimizers_do_without_the_compiler_until_torch_wants_it(tmp_path):
    assert run(OPTIMIZERS, tmp_path) == ["False", "True [0.0, 0.0, 0.0]", "[False, False]", "True"]


COMPILES = """
import os, sys
import torch
from nnlab.optim.dynamo import put_off_dynamo


def compile_a_step():
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.SGD([weight], lr=0.25)
    graphs = []

    def backend(graph, inputs):
        graphs.append(sorted(node.name for node in graph.graph.nodes if node.op.startswith("call")))
        return graph.forward

    @torch.compile(backend=backend)
    def step(factor):
        loss = (factor * weight).sin().sum()
        optimizer.zero_grad(set_to_none=False)  # computes, which the compiler would see if it looked
        return loss * 2

    losses = []
    for factor in (0.5, 2.0):
        loss = step(torch.tensor(factor))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(losses, weight.tolist(), graphs, flush=True)


if os.fork() == 0:  # as it is without nnlab
    compile_a_step()
    os._exit(0)
assert os.wait()[1] == 0
put_off_dynamo()
assert "torch._dynamo" not in sys.modules
compile_a_step()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="compares two processes that begin alike")
def test_compiled_function_with_an_optimizer_is_cut_into_the_same_graphs_as_ever(tmp_path):
    plain, after = run(COMPILES, tmp_path)
    assert "sin" in plain
    assert after == plain


OTHER_TORCH = """
import functools, sys
import torch
from nnlab.optim.dynamo import put_off_dynamo

KIND = torch.optim.Optimizer
names = ["add_param_group", "load_state_dict", "state_dict", "zero_grad"]
inside = [getattr(KIND, name).__wrapped__ for name in names]
for name, function in zip(names, inside):
    setattr(KIND, name, functools.wraps(function)(lambda *given, **named: 1 / 0))
before = list(sys.meta_path)
put_off_dynamo()
print(sys.meta_path == before, [vars(function) for function in inside])
"""


def test_torch_that_is_built_otherwise_is_left_alone(tmp_path):
    assert run(OTHER_TORCH, tmp_path) == ["True [{}, {}, {}, {}]"]


@pytest.mark.parametrize("was_enabled", [True, False])
def test_collector_rests_during_imports_and_is_as_before_afterwards(was_enabled):
    before, frozen = gc.isenabled(), gc.get_freeze_count()
    try:
        (gc.enable if was_enabled else gc.disable)()
        seen = []
        with suppress(ImportError), collector.resting():
            seen.append(gc.isenabled())
            raise ImportError
        assert seen == [False]
        assert gc.isenabled() == was_enabled
        # This process is not nnlab's own: what is in it may have to be collected.
        collector.keep()
        assert gc.get_freeze_count() == frozen
    finally:
        (gc.enable if before else gc.disable)()
