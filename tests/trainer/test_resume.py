"""A training that was killed at some step and resumed has the bits of one that never was."""

import csv
import json
import os
import signal

import pytest
import torch

from nnlab import Trainer
from nnlab.callback import EarlyStopping, Trace
from nnlab.folder import FolderError
from nnlab.gradient import Autograd, Backprop, FiniteDifference, Gradient
from nnlab.logger import TensorBoard
from nnlab.loss import MSE, Penalty
from nnlab.metric import R2
from nnlab.model import MLP
from nnlab.schedule import Constant, Cosine, Exponential, OneCycle, Plateau, Step
from nnlab.trainer.sinks import Sinks

EPOCHS, BATCH = 3, 8
WAYS = {"autograd": Autograd, "backprop": Backprop, "finite_difference": lambda: FiniteDifference(1e-3)}
SCHEDULES = {
    "constant": lambda: Constant(unit="epoch", warmup_steps=5),
    "step": lambda: Step(step_size=1, gamma=0.5, unit="epoch", warmup_steps=0),
    "exponential": lambda: Exponential(gamma=0.9, unit="step", warmup_steps=0),
    "cosine": lambda: Cosine(eta_min=0.0, unit="step", warmup_steps=3),
    "one_cycle": lambda: OneCycle(
        max_lr=None, pct_start=0.3, div_factor=25.0, final_div_factor=1e4, anneal_strategy="cos", three_phase=False,
        unit="step", warmup_steps=0,
    ),
    "plateau": lambda: Plateau(
        factor=0.5, patience=0, threshold=0.5, threshold_mode="rel", cooldown=0, min_lr=0.0, unit="epoch",
        warmup_steps=0,
    ),
}  # fmt: skip


class KilledError(RuntimeError):
    """What ends a training in the middle."""


class Killer(Gradient):
    """Computes as another way does, until it is called once too often."""

    def __init__(self, way, calls):
        self.way = way
        self.calls_left = calls

    def __call__(self, *parts):
        if self.calls_left == 0:
            raise KilledError
        self.calls_left -= 1
        return self.way(*parts)


def rows(num=35):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(num, 2, generator=generator)
    return x, x.sin().sum(1, keepdim=True)


def trainer(folder, calls=None, optimizer="Adam", keys=None, schedule="constant", way="autograd", gradient=None,
            norm="batch",
            callbacks=(), epochs=EPOCHS, **settings):  # fmt: skip
    torch.manual_seed(0)
    model = MLP(
        2, 1, depth=2, width=6, widths=None, activation="tanh", output_activation="identity", dropout=0.3, norm=norm,
        bias=True,
    )  # fmt: skip
    made = getattr(torch.optim, optimizer)(model.parameters(), **({"lr": 0.01} | (keys or {})))
    gradient = gradient or WAYS[way]()
    return Trainer(
        model, MSE(), made, schedule=SCHEDULES[schedule](), penalty=Penalty(l2=1e-3), metrics=[R2()],
        gradient=gradient if calls is None else Killer(gradient, calls),
        callbacks=[EarlyStopping(50, 0.0, None), *callbacks],
        batch_size=BATCH, max_epochs=epochs, folder=folder, device="cpu", threads=1,
        **({"checkpoint_every": 2} | settings),
    )  # fmt: skip


def table(folder, name="metrics"):
    with (folder / f"{name}.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "time_s"} for row in csv.DictReader(file)]


def state(folder):
    """The newest checkpoint's two files, without the moment and the duration."""
    pointer = json.loads((folder / "checkpoints" / "last.json").read_text())
    described = json.loads((folder / "checkpoints" / f"{pointer['step']}.json").read_text())
    kept = {key: value for key, value in described["state"]["dict"] if key != "seconds"}
    kept["best"] = {key: value for key, value in kept["best"]["dict"] if key != "time_s"}
    return pointer["step"], kept, (folder / "checkpoints" / f"{pointer['step']}.safetensors").read_bytes()


def assert_resumed_equals_uninterrupted(tmp_path, kills, **settings):
    whole = tmp_path / "whole"
    whole.mkdir()
    finished = trainer(whole, **settings).fit(rows(), rows(20))
    for kill in kills:
        folder = tmp_path / f"killed_{kill}"
        folder.mkdir()
        with pytest.raises(KilledError):
            trainer(folder, calls=kill, **settings).fit(rows(), rows(20))
        resumed = trainer(folder, **settings).fit(rows(), rows(20), resume=True)
        assert (resumed.status, resumed.steps, resumed.epochs) == (finished.status, finished.steps, finished.epochs)
        assert table(folder) == table(whole)
        assert state(folder) == state(whole)


CASES = {
    "dropout, batch norm, one cycle": {"schedule": "one_cycle"},
    "by time, which is never due": {"checkpoint_every": "1000s"},
    "at every step": {"checkpoint_every": 1},
    "by epochs, evaluated every other": {"checkpoint_every": "1ep", "eval_every": 2},
    "fp64 without shuffling": {"precision": "fp64", "shuffle": False, "norm": "layer"},
    "bf16": {"precision": "bf16", "norm": "none"},
    "accumulating and clipped": {"accumulate_steps": 2, "grad_clip_norm": 0.5},
    "by backprop": {"way": "backprop"},
    "by finite differences": {"way": "finite_difference", "norm": "none"},
    "cut by steps": {"max_steps": 12},
}


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_resumed_at_any_step_equals_uninterrupted(settings, tmp_path):
    num_calls = 15 if "max_steps" not in settings else 12
    assert_resumed_equals_uninterrupted(tmp_path, range(0, num_calls, 2 if "way" in settings else 1), **settings)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_resumed_with_every_schedule_equals_uninterrupted(schedule, tmp_path):
    assert_resumed_equals_uninterrupted(tmp_path, (4, 9, 11), schedule=schedule)


OPTIMIZERS = {
    "Adadelta": {}, "Adagrad": {}, "Adam": {"amsgrad": True}, "AdamW": {}, "Adamax": {}, "NAdam": {}, "RAdam": {},
    "RMSprop": {"momentum": 0.9, "centered": True}, "Rprop": {}, "SGD": {"momentum": 0.9, "nesterov": True},
    "LBFGS": {"max_iter": 3, "lr": 0.1},
}  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_with_every_optimizer_equals_uninterrupted(optimizer, tmp_path):
    assert_resumed_equals_uninterrupted(tmp_path, (4, 9, 11), optimizer=optimizer, keys=OPTIMIZERS[optimizer])


class Signalled(Gradient):
    """Sends this process a signal while it computes for the n-th time."""

    def __init__(self, calls):
        self.calls_left = calls

    def __call__(self, *parts):
        self.calls_left -= 1
        if self.calls_left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return Autograd()(*parts)


@pytest.mark.parametrize("max_steps", [12, 15], ids=["in mid-epoch", "at an epoch's end"])
def test_interrupted_at_the_last_of_its_steps_there_is_none_left_to_do(max_steps, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    settings = {"max_steps": max_steps, "checkpoint_every": "1000s"}
    trainer(whole, **settings).fit(rows(), rows(20))
    interrupted = trainer(stopped, gradient=Signalled(max_steps), **settings).fit(rows(), rows(20))
    assert (interrupted.status, interrupted.steps) == ("interrupted", max_steps)
    resumed = trainer(stopped, **settings).fit(rows(), rows(20), resume=True)
    assert (resumed.status, resumed.steps) == ("completed", max_steps)
    assert table(stopped) == table(whole)
    assert state(stopped) == state(whole)


def test_trace_goes_on_where_the_checkpoint_was(tmp_path):
    for name, kill in (("whole", None), ("killed", 9)):
        (tmp_path / name).mkdir()
        made = trainer(tmp_path / name, calls=kill, callbacks=[Trace(200)])
        if kill is None:
            made.fit(rows(), rows(20))
            continue
        with pytest.raises(KilledError):
            made.fit(rows(), rows(20))
        trainer(tmp_path / name, callbacks=[Trace(200)]).fit(rows(), rows(20), resume=True)
    assert table(tmp_path / "killed", "trace") == table(tmp_path / "whole", "trace")
    assert [int(row["step"]) for row in table(tmp_path / "killed", "trace")] == list(range(16))


def test_divergence_after_a_resume_is_the_one_of_an_uninterrupted_run(tmp_path):
    """Plain SGD with a rate that overflows in the third epoch; the checkpoint is from its middle."""
    settings = {"optimizer": "SGD", "keys": {"lr": 3e4}, "norm": "none", "checkpoint_every": 1, "epochs": 30}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    reference = trainer(whole, **settings)
    finished = reference.fit(rows(), rows(20))
    assert finished.status == "diverged"
    with pytest.raises(KilledError):
        trainer(killed, calls=finished.steps - 1, **settings).fit(rows(), rows(20))
    again = trainer(killed, **settings)
    resumed = again.fit(rows(), rows(20), resume=True)
    assert (resumed.status, resumed.steps, resumed.diverged_at) == ("diverged", finished.steps, finished.diverged_at)
    for name, tensor in reference.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name


def test_extended_training_goes_on_as_one_that_was_longer_from_the_start(tmp_path):
    whole, extended = tmp_path / "whole", tmp_path / "extended"
    whole.mkdir()
    extended.mkdir()
    trainer(whole, epochs=5).fit(rows(), rows(20))
    trainer(extended, epochs=3).fit(rows(), rows(20))
    result = trainer(extended, epochs=5).fit(rows(), rows(20), resume=True)
    assert (result.epochs, result.steps) == (5, 25)
    assert table(extended) == table(whole)
    assert state(extended) == state(whole)


def test_events_have_every_point_once(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(KilledError):
        trainer(tmp_path, calls=13, checkpoint_every="1ep", loggers=[TensorBoard()]).fit(rows(), rows(20))
    trainer(tmp_path, checkpoint_every="1ep", loggers=[TensorBoard()]).fit(rows(), rows(20), resume=True)
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("train/loss")
    assert [(event.step, event.value) for event in events] == [
        (int(row["step"]), pytest.approx(float(row["train/loss"]))) for row in table(tmp_path)
    ]


def killed_folder(tmp_path):
    with pytest.raises(KilledError):
        trainer(tmp_path, calls=9).fit(rows(), rows(20))
    return json.loads((tmp_path / "checkpoints" / "last.json").read_text())["step"]


def test_damaged_newest_checkpoint_is_said_and_the_one_before_used(tmp_path):
    (tmp_path / "whole").mkdir()
    trainer(tmp_path / "whole").fit(rows(), rows(20))
    folder = tmp_path / "killed"
    folder.mkdir()
    step = killed_folder(folder)
    path = folder / "checkpoints" / f"{step}.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = trainer(folder).fit(rows(), rows(20), resume=True)
    assert any(f"{step}.safetensors is damaged" in note and "before it is used" in note for note in result.notes)
    assert table(folder) == table(tmp_path / "whole")


def test_folder_without_a_whole_checkpoint_is_refused_and_left_as_it_is(tmp_path):
    killed_folder(tmp_path)
    for path in (tmp_path / "checkpoints").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "result.json"}
    with pytest.raises(FolderError, match=r"is damaged.*no other checkpoint is left"):
        trainer(tmp_path).fit(rows(), rows(20), resume=True)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"norm": "layer"}, r"expected norm1\.running_mean to be nothing|expected .* to be"),
        ({"optimizer": "SGD"}, "expected the state of SGD, found that of something else"),
        ({"precision": "fp64"}, r"float64, found .* float32"),
    ],
)
def test_checkpoint_of_something_else_is_refused_before_anything_is_copied(settings, said, tmp_path):
    killed_folder(tmp_path)
    other = trainer(tmp_path, **settings)
    before = {name: tensor.clone() for name, tensor in other.model.state_dict().items()}
    with pytest.raises(FolderError, match=said):
        other.fit(rows(), rows(20), resume=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.model.state_dict().items())


def test_dataloader_cannot_be_resumed(tmp_path):
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*rows()), batch_size=8)
    with pytest.raises(ValueError, match="resume=True needs a folder and tensors"):
        trainer(tmp_path).fit(loader, resume=True)


ENDS = {
    # the evaluation that stops it, the divergence, the single evaluation: none of them comes twice
    "early_stopped": {"callbacks": [EarlyStopping(1, 10.0, None)], "epochs": 20},
    "diverged": {"optimizer": "SGD", "keys": {"lr": 1e18}, "norm": "none"},
    "completed": {"epochs": 0},
}


@pytest.mark.parametrize("status", ENDS)
def test_a_training_that_is_over_stays_over_when_it_is_resumed(tmp_path, status):
    settings = ENDS[status]
    first = trainer(tmp_path, **settings).fit(rows(), rows(20))
    before = [path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.suffix in (".csv", ".safetensors")]
    pointer = (tmp_path / "checkpoints" / "last.json").read_bytes()
    second = trainer(tmp_path, **settings).fit(rows(), rows(20), resume=True)
    assert first.status == status
    assert (second.status, second.reason, second.steps, second.diverged_at) == (
        first.status,
        first.reason,
        first.steps,
        first.diverged_at,
    )
    after = [path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.suffix in (".csv", ".safetensors")]
    assert after == before
    assert (tmp_path / "checkpoints" / "last.json").read_bytes() == pointer


def test_a_training_of_no_epochs_goes_on_when_it_gets_some(tmp_path):
    trainer(tmp_path, epochs=0).fit(rows(), rows(20))
    result = trainer(tmp_path, epochs=2).fit(rows(), rows(20), resume=True)
    assert (result.status, result.epochs) == ("completed", 2)
    assert [row["epoch"] for row in table(tmp_path)] == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["../outside", "a/b", ".hidden", ""])
def test_a_table_that_would_lie_elsewhere_is_refused_before_anything_is_cut(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "outside.csv").write_text("a\n1\n2\n")
    sinks = Sinks(tmp_path / "run", [], [], "run")
    with pytest.raises(FolderError, match="names a table"):
        sinks.resume({name: 0})
    assert (tmp_path / "outside.csv").read_text() == "a\n1\n2\n"
