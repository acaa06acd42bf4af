"""A sweep on somebody else's processes, with parts that wait and that kill, and what its tests read of it."""

import json

from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sweep_files import members, run_of

#: seconds for which anything is waited for; nothing is asserted on how long it took
LIMIT_S = 120
#: 10 epochs of 4 steps
COMMON = ["data=moons", "data.num_train=60", "data.num_valid=20", "data.num_test=20", "data.batch_size=16"]
COMMON += ["model.dropout=0.1", "trainer.max_epochs=10", "trainer.checkpoint_every=4", "figures=[]", "device=cpu"]
COMMON += ["trainer.threads=1"]
#: no stack holds such members
ALONE = "trainer.precision=bf16"
_OWN = '''
import os
import signal
import time
from importlib.util import find_spec
from pathlib import Path

from nnlab.callback import Callback


class Slow(Callback):
    """Waits at every evaluation, and counts it."""

    def __init__(self, counted):
        self.counted = Path(counted)

    def on_evaluation(self, view, epoch, step, metrics):
        time.sleep(0.03)
        with open(self.counted / f"evaluations_{os.getpid()}", "a") as file:
            file.write("x")


class Deadly(Callback):
    """Kills its process in the fifth epoch: always for seed 1, once for seed 0."""

    def __init__(self, seed, counted):
        self.seed = seed
        self.died = Path(counted) / f"died_{seed}"

    def on_evaluation(self, view, epoch, step, metrics):
        if epoch == 5 and self.seed < 2 and (self.seed == 1 or not self.died.exists()):
            self.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
'''


def grant(folder, monkeypatch):
    """Make a folder the one to work in, with parts of one's own; what grants them."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "slow_parts.py").write_text(_OWN)
    options, counted = folder / "own" / "callback", folder / "counted"
    options.mkdir(parents=True)
    counted.mkdir()
    for name, extra in (("slow", ""), ("deadly", "  seed: ${seed}\n")):
        text = f"# {name}\n{name}:\n  _target_: slow_parts.{name.title()}\n  counted: {counted}\n{extra}"
        (options / f"{name}.yaml").write_text(text)
    return ["--config-dir", "own", "plugins=[slow_parts]"]


def weights(path):
    last = json.loads((path / "checkpoints" / "last.json").read_text())
    tensors = load_file(path / "checkpoints" / f"{last['step']}.safetensors")
    return {name: tensor.tobytes() for name, tensor in tensors.items()}


def shown_steps(path):
    """The steps of every point of a curve in TensorBoard, doubled ones too."""
    events = EventAccumulator(str(path), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    events.Reload()
    return [event.step for event in events.Scalars("valid/loss")]


def by_seed(folder="sweep"):
    return {run_of(path)["config"]["seed"]: path for path in members(folder)}
