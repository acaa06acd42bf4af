import hashlib
import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from nnlab.folder import FolderError
from nnlab.schedule import Plateau
from nnlab.trainer.checkpoint import Checkpoints, pack, parse_cadence, unpack
from nnlab.trainer.plan import Cadence, Progress
from nnlab.trainer.state import TrainingState

OPTIMIZERS = [
    "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD", "LBFGS",
]  # fmt: skip


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def trained_state(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01)
    x, y = torch.randn(8, 3), torch.randn(8, 1)

    def closure():
        optimizer.zero_grad()
        value = nn.functional.mse_loss(model(x), y)
        value.backward()
        return value

    def step():
        if name == "LBFGS":
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()

    schedule = Plateau(
        unit="epoch",
        warmup_steps=0,
        factor=0.1,
        patience=2,
        threshold=1e-4,
        threshold_mode="rel",
        cooldown=0,
        min_lr=0.0,
    )
    return TrainingState(model, optimizer, schedule, None, [torch.Generator().manual_seed(5)]), step


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_of_every_optimizer_survives_the_files_and_goes_on_the_same(name, tmp_path):
    state, step = trained_state(name)
    for _ in range(3):
        step()
    checkpoints = Checkpoints(tmp_path)
    taken = state.take()
    checkpoints.save(3, taken, None)
    for _ in range(2):
        step()
    expected = state.take()
    at, loaded = checkpoints.load("last")
    assert at == 3
    assert same(taken, loaded)
    state.put_back(loaded)
    for _ in range(2):
        step()
    assert same(expected["model"], state.take()["model"])


def test_pack_and_unpack_keep_structure_keys_and_odd_numbers():
    state = {"a": [1, 2.5, None, True, math.inf], 3: {"t": torch.arange(3), "x": -math.inf}, "deep": [[torch.zeros(2)]]}
    skeleton, tensors = pack(state)
    json.dumps(skeleton, allow_nan=False)
    assert same(unpack(json.loads(json.dumps(skeleton)), tensors), state)


def test_pointers_name_whole_files_with_their_digests(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    best = {"model": {"w": torch.ones(2)}}
    checkpoints.save(10, {"model": {"w": torch.zeros(2)}}, (7, best))
    folder = tmp_path / "checkpoints"
    for which, step in (("last", 10), ("best", 7)):
        pointer = json.loads((folder / f"{which}.json").read_text())
        assert pointer["step"] == step
        assert set(pointer["sha256"]) == {f"{step}.safetensors", f"{step}.json"}
        for name, digest in pointer["sha256"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert torch.equal(load_file(folder / "7.safetensors")["model.w"], torch.ones(2))


def test_two_newest_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3, 4, 5):
        checkpoints.save(step, {"step": step}, (2, {"best": 2}) if step >= 2 else None)
    names = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.safetensors"))
    assert names == ["2.safetensors", "4.safetensors", "5.safetensors"]
    assert [checkpoints.load(which)[0] for which in ("last", "previous", "best")] == [5, 4, 2]


def test_file_that_has_a_name_never_changes_when_its_step_turns_out_best(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    whole = {"model": {"w": torch.ones(2)}, "optimizer": {"m": torch.zeros(2)}}
    checkpoints.save(1, whole, None)
    before = {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").glob("1.*")}
    checkpoints.save(2, whole, (1, {"model": {"w": torch.ones(2)}}))
    assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").glob("1.*")} == before
    for which in ("best", "previous"):
        for name, digest in json.loads((tmp_path / "checkpoints" / f"{which}.json").read_text())["sha256"].items():
            assert hashlib.sha256(before[name]).hexdigest() == digest


def test_missing_checkpoint_is_refused_naming_the_file(tmp_path):
    with pytest.raises(FolderError, match=r"last\.json"):
        Checkpoints(tmp_path).load("last")


@pytest.mark.parametrize(
    ("text", "expected"), [(50, (50, "step")), ("30s", (30, "s")), ("2ep", (2, "ep")), ("0.5s", (0.5, "s"))]
)
def test_cadence_reads_steps_seconds_and_epochs(text, expected):
    assert parse_cadence(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-3", "often", "2.5", "1.5ep", "3 min"])
def test_cadence_refuses_anything_else(text):
    with pytest.raises(ValueError, match=r"trainer\.checkpoint_every"):
        parse_cadence(text)


def test_cadence_is_due_at_its_steps_epochs_and_seconds():
    moments = iter([0.0, 1.0, 5.0, 5.0, 6.0])
    seconds = Cadence("5s", clock=lambda: next(moments))
    assert [seconds.is_due(Progress()), seconds.is_due(Progress())] == [False, True]
    seconds.saved()
    assert not seconds.is_due(Progress())
    steps = Cadence(4)
    assert [steps.is_due(Progress(step=step)) for step in (3, 4, 8)] == [False, True, True]
    epochs = Cadence("2ep")
    at = [Progress(epoch=1, step=5, batch=0), Progress(epoch=2, step=10, batch=0), Progress(epoch=2, step=11, batch=1)]
    assert [epochs.is_due(progress) for progress in at] == [False, True, False]
