"""Whole steps in CUDA graphs. Without a CUDA device the very same steps are called instead of replayed.

Everything but the capture is thereby tested on the CPU; on a machine with a card the tests marked ``gpu`` say the same
of the graphs.
"""

import math
import random
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from graphed_runs import DEVICES, NO_CARD, use
from nnlab.callback import Callback
from nnlab.gradient import Autograd, Backprop, FiniteDifference
from nnlab.gradient.base import Precision
from nnlab.loss import CrossEntropy, HalfMSE
from nnlab.loss.base import Penalty
from nnlab.schedule import Constant, Exponential
from nnlab.seeding import epoch_order
from nnlab.trainer import graphed
from nnlab.trainer.batches import FixedBatches, TensorBatches
from nnlab.trainer.graphed import why_not_graphed, why_not_repeated
from nnlab.trainer.replay import Replay, block_of
from nnlab.trainer.state import copy_of
from nnlab.trainer.static_alone import AloneFeed, AloneWork
from nnlab.trainer.static_check import Recorder, difference, why_not_static
from nnlab.trainer.static_step import StaticSteps, Touched, streams_of
from own_models import Own
from pairwise import all_pairs, covering, pairs_of
from together_runs import alone, assert_close, far, rows, trainer
from varied_runs import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, is_chaotic, specs_of


@pytest.fixture(params=DEVICES, autouse=True)
def device(request, monkeypatch):
    use(request.param, monkeypatch)
    return torch.device(request.param)


#: how a batch's rows and its updates divide the 24 rows: (batch size, batches in an update)
SHARES = {"whole steps": (8, 1), "a smaller last": (5, 1), "added up": (5, 2), "a single step": (100, 1)}
EXTRAS = {
    "plain": {}, "clipped": {"grad_clip_norm": 0.3}, "penalties, by hand": {"penalty": Penalty(1e-3, 1e-2)},
}  # fmt: skip
FACTORS = {
    "optimizer": list(OPTIMIZERS), "schedule": list(SCHEDULES)[1::2], "loss": list(LOSSES)[::2],
    "layers": list(LAYERS), "shares": list(SHARES), "extras": list(EXTRAS), "activation": ["tanh", "prelu"],
}  # fmt: skip
COVERING = covering(FACTORS, refused=is_chaotic)


def test_rows_cover_every_pair_of_values():
    assert [len(values) for values in FACTORS.values()] == [14, 6, 7, 4, 4, 3, 2]
    assert {pair for row in COVERING for pair in pairs_of(row)} == all_pairs(FACTORS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_metrics_of_every_epoch_equal_torchs_own_to_a_billionth(optimizer):
    problems = []
    for row in COVERING:
        if row["optimizer"] != optimizer:
            continue
        specs, task = specs_of({**row, "K": 1})
        batch_size, accumulate_steps = SHARES[row["shares"]]
        gradient = Backprop() if row["extras"] == "penalties, by hand" else Autograd()
        spec = {
            **specs[0], **EXTRAS[row["extras"]], "batch_size": batch_size, "accumulate_steps": accumulate_steps,
            "gradient": gradient,
        }  # fmt: skip
        train, valid = rows(task), rows(task, 30, seed=1)
        found, expected = (alone([{**spec, "compile": compile}], train, valid) for compile in ("step", "off"))
        assert found[0].trainer.engine.engine.name == "graphs"
        assert expected[0].trainer.engine.engine.name == "eager"
        assert len(found[0].rows) == 20
        problems += [f"{row}: {problem}" for problem in far(found, expected)[:1]]
    assert not problems, "\n".join(problems)


def torchs_own(seed):
    """Layers of torch's alone: dropout draws from the global stream.

    The derivative of a bias before batch norm is nothing but rounding, which Adam divides by itself plus 1e-8.
    """
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 9, bias=False), nn.BatchNorm1d(9), nn.GELU(), nn.Dropout(0.4), nn.Linear(9, 1))


OTHERS = {
    "in order": {"shuffle": False},
    "metrics now and then": {"eval_every": 3},
    "no metrics": {"metrics": None},
    "one row left over": {"batch_size": 23},
    "steps cut short": {"max_steps": 7},
    "torch's own layers": {"make_model": torchs_own},
    "buffers in place": {"make_model": partial(Own, does="in place")},
    "torch's loss": {"make_loss": nn.SmoothL1Loss},
    "no decay": {
        "make_optimizer": lambda model, lr: torch.optim.AdamW(
            [{"params": list(model.parameters())[::2]}, {"params": list(model.parameters())[1::2], "weight_decay": 0}]
        )
    },
    "ascent": {"optimizer": "SGD", "lr": 1e-4, "optim": {"maximize": True}},
    "nesterov, damped not, warm-up": {
        "optimizer": "SGD", "optim": {"momentum": 0.9, "nesterov": True},
        "make_schedule": lambda: Constant(unit="step", warmup_steps=20),
    },
    "damped": {"optimizer": "SGD", "optim": {"momentum": 0.9, "dampening": 0.5}},
}  # fmt: skip


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS)
def test_whole_trainings_equal_torchs_own_and_leave_the_same_state(settings):
    train, valid = rows(), rows(num=17, seed=1)
    ends = []
    for compile in ("step", "off"):
        ends += alone([{"batch_size": 5, "max_epochs": 7, **settings, "compile": compile}], train, valid)
    assert ends[0].trainer.engine.engine.name == "graphs"
    assert not far(ends[:1], ends[1:])
    assert ends[0].result.notes == ends[1].result.notes
    for checkpoint in ("best", "last"):
        assert_close(*(one.trainer.evaluate(valid, checkpoint=checkpoint) for one in ends))
    states = []
    for one in ends:
        grads = [parameter.grad for parameter in one.trainer.model.parameters()]
        states.append(copy_of([one.weights, one.trainer.optimizer.state_dict(), grads]))
    assert_close(*states)


SETTINGS = {
    "adam, dropout, batch norm": {"model": {"dropout": 0.3, "norm": "batch"}},
    "momentum, by steps": {
        "optimizer": "SGD", "optim": {"momentum": 0.9},
        "make_schedule": lambda: Exponential(gamma=0.9, unit="step", warmup_steps=5),
    },
    "nadam, clipped, added up": {"optimizer": "NAdam", "grad_clip_norm": 0.2, "accumulate_steps": 2, "batch_size": 4},
    "rprop": {"optimizer": "Rprop"},
    "radam, global dropout": {"optimizer": "RAdam", "make_model": torchs_own},
    "single precision": {"precision": "fp32", "model": {"dropout": 0.1}},
}  # fmt: skip


class Looking(Callback):
    """Has every step done by itself."""

    def on_step_end(self, view, step, loss):
        del view, step, loss


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_bits_are_the_same_twice_and_however_many_steps_a_call_does(settings):
    dtype = torch.float32 if "precision" in settings else torch.float64
    train, valid = rows(num=67, dtype=dtype), rows(num=40, seed=1, dtype=dtype)
    spec = {"batch_size": 5, "max_epochs": 4, **settings, "compile": "step"}
    ways = [{}, {}, {"checkpoint_every": 1}, {"checkpoint_every": 3}, {"make_callbacks": lambda: [Looking()]}]
    once, *others = alone([{**spec, **way} for way in ways], train, valid)
    for other in others:
        assert repr(once.rows) == repr(other.rows)
        assert all(torch.equal(tensor, other.weights[name]) for name, tensor in once.weights.items())


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_resumed_at_any_step_equals_uninterrupted(settings, tmp_path):
    dtype = torch.float32 if "precision" in settings else torch.float64
    settings = {"batch_size": 7, **settings, "compile": "step", "max_epochs": 5}
    train, valid = rows(num=40, dtype=dtype), rows(num=17, seed=1, dtype=dtype)
    whole = trainer(**settings)
    expected = whole.fit(train, valid)
    for stop in (1, 5, 6, 13):
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
        states = [(one.model.state_dict(), one.optimizer.state_dict()) for one in (again, whole)]
        torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.mark.parametrize("stop", [None, 3])
@pytest.mark.parametrize(("optimizer", "lr", "gamma"), [("SGD", 50.0, 1.0), ("Adam", 1e20, 1e7)])
def test_divergence_is_found_at_the_step_where_torchs_own_has_it(optimizer, lr, gamma, stop, tmp_path):
    spec = {"optimizer": optimizer, "lr": lr, "model": {"activation": "relu"}, "max_epochs": 60, "batch_size": 7}
    spec["make_schedule"] = lambda: Exponential(gamma=gamma, unit="step", warmup_steps=0)
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


def test_callback_of_steps_sees_what_it_sees_otherwise():
    seen = []
    for compile in ("step", "off"):
        watching = Watching()
        trainer(compile=compile, make_callbacks=lambda it=watching: [it], grad_clip_norm=0.5).fit(rows())
        seen.append(watching.seen)
    assert [step for step, *_ in seen[0]] == list(range(1, 7))
    assert_close(*seen)


class Changing(Callback):
    """After the second evaluation changes the parameters, and gives them and a buffer other memory."""

    def on_evaluation(self, view, epoch, step, metrics):
        if epoch == 2:
            for parameter in view.model.parameters():
                parameter.data = parameter.data * 1.5
            for layer in view.model.modules():
                for name, buffer in layer._buffers.items():
                    layer._buffers[name] = buffer.clone()
        if epoch == 4:
            with torch.no_grad():
                next(view.model.parameters()).mul_(0.5)


def test_model_that_is_moved_or_changed_between_epochs_is_gone_on_with(monkeypatch):
    made = []
    program = graphed.Program

    def counted(*positional):
        made.append(positional)
        return program(*positional)

    monkeypatch.setattr(graphed, "Program", counted)
    spec = {"make_callbacks": lambda: [Changing()], "model": {"norm": "batch"}, "max_epochs": 8}
    found, expected = (alone([{**spec, "compile": compile}], rows(), rows(seed=1)) for compile in ("step", "off"))
    assert len(made) == 2  # graphs know addresses: only for the model that was moved they are made anew
    assert not far(found, expected)
    assert_close(found[0].weights, expected[0].weights)


def test_one_step_in_single_precision_from_states_along_a_run_agrees():
    """A network of size 2-16-16-3; each state is gone on with by both."""
    train, valid = rows("multiclass", 104, dtype=torch.float32), rows("multiclass", 30, seed=1, dtype=torch.float32)
    spec = {
        "precision": "fp32", "make_loss": lambda: CrossEntropy(0.0), "metrics": "multiclass", "lr": 0.01,
        "model": {"depth": 2, "width": 16, "activation": "relu", "num_outputs": 3}, "max_epochs": 7,
    }  # fmt: skip
    states = []

    class Keeping(Callback):
        def on_step_end(self, view, step, loss):
            states.append(copy_of([view.model.state_dict(), made.optimizer.state_dict()]))

    made = trainer(**spec, compile="off", make_callbacks=lambda: [Keeping()])
    made.fit(train, valid)
    assert len(states) == 56
    for before, optimizer_before in states[:50]:
        ends = []
        for compile in ("step", "off"):
            one = trainer(**spec, compile=compile, max_steps=1)
            one.model.load_state_dict(before)
            one.optimizer.load_state_dict(copy_of(optimizer_before))
            one.fit(train, valid)
            ends.append(one.model.state_dict())
        for name, weight in ends[1].items():
            torch.testing.assert_close(ends[0][name], weight, rtol=1e-5, atol=1e-5 * float(weight.abs().max()))
            assert not torch.equal(ends[0][name], before[name])


def test_products_in_bf16_are_those_of_torch():
    train, valid = rows(dtype=torch.float32), rows(num=17, seed=1, dtype=torch.float32)
    spec = {"precision": "bf16", "optimizer": "SGD", "max_epochs": 2}
    found, expected = (alone([{**spec, "compile": compile}], train, valid) for compile in ("step", "off"))
    plain = alone([{**spec, "precision": "fp32", "compile": "step"}], train, valid)
    assert not far(found, expected, 1e-5)
    assert far(found, plain, 1e-5)


def steps_of(device, num_rows=23, batch_size=5, accumulate_steps=1, gradient=None, planned=0, **settings):
    """Static steps, planned for an epoch whose rates differ, with the parts and what the optimizer remembers."""
    made = trainer(**settings)
    batches = TensorBatches(*(side.to(device) for side in rows(num=num_rows)), batch_size, True, 0)
    batches.epoch(0)
    for layer in made.model.modules():
        if hasattr(layer, "generator"):
            layer.generator = torch.Generator(device)
    made.model.train()
    parts = replace(made._parts, gradient=gradient or Autograd())
    feed = AloneFeed(batches, accumulate_steps)
    num_steps = feed.num_whole + bool(feed.rest)
    work = AloneWork(parts, num_steps)
    work.plan([0.01 * (1 + number) for number in range(planned, num_steps)], planned)
    return parts, StaticSteps(work, feed, parts.parameters[0]), work.stacked.tensors()


STATIC = {
    **{name: {"optimizer": kind, "lr": lr, "optim": optim} for name, (kind, lr, optim) in OPTIMIZERS.items()},
    "dropout": {"model": {"dropout": 0.3}},
    "batch norm": {"model": {"norm": "batch"}},
    "layer norm": {"model": {"norm": "layer"}},
    "torch's own": {"make_model": torchs_own},
    "clipped": {"grad_clip_norm": 0.1},
    "added up": {"accumulate_steps": 2, "batch_size": 3},
    "by hand": {"gradient": Backprop(), "model": {"dropout": 0.3, "norm": "batch"}},
    "half mse": {"make_loss": HalfMSE},
    "penalties": {"penalty": Penalty(0.1, 0.1)},
    "decay": {"optim": {"weight_decay": 0.1}},
}  # fmt: skip


@pytest.mark.parametrize("settings", STATIC.values(), ids=STATIC)
def test_steps_of_an_epoch_are_the_same_operations_on_the_same_memory(settings, device):
    parts, steps, state = steps_of(device, **{"num_rows": 48, **settings})
    with Touched(parts.model, [*parts.parameters, *state], streams_of(parts.model)).put_back():
        steps.try_out(True, 1)
    steps.go_to(0)
    lasting = [*parts.parameters, *parts.model.buffers(), *state, steps.losses, *steps.predictions(0, 9)]
    places = [tensor.data_ptr() for tensor in lasting]
    steps.begin()
    seen = []
    for _ in range(7):
        with Recorder() as recorder:
            steps.whole()
        seen.append(recorder.operations)
    assert difference(seen[2], seen[6]) is None
    assert [tensor.data_ptr() for tensor in lasting] == places
    names = {operation.name for operation in seen[2]}
    assert "aten.index_select.default" in names  # else nothing was taken down
    assert not {name for name in names if "local_scalar" in name or "item" in name or "lift_fresh" in name}
    assert len(set(steps.losses[:7].tolist())) == 7


def test_steps_with_every_loss_can_be_recorded(device):
    for name, (make_loss, task, outputs) in LOSSES.items():
        settings = {"make_loss": make_loss, "metrics": task, "model": outputs}
        made = trainer(**settings)
        batches = TensorBatches(*(side.to(device) for side in rows(task)), 5, True, 0)
        assert why_not_repeated(made._parts, batches, 2) is None, name


class Odd(nn.Module):
    """A linear layer, and something that cannot be recorded."""

    def __init__(self, does):
        super().__init__()
        self.linear, self.spare = nn.Linear(2, 1), nn.Linear(2, 1) if does == "spare" else None
        self.does = does
        self.chance = random.Random(0)
        if does == "momentum":
            self.norm = nn.BatchNorm1d(1, momentum=None)

    def forward(self, x):
        y = self.linear(x)
        if self.does == "item":
            return y * float(y.detach().abs().max())
        if self.does == "chance":
            return y * self.chance.random()
        if self.does == "layers":
            for _ in range(self.chance.randrange(1, 50)):
                y = y + 1
        if self.does == "constant":
            return y * torch.tensor(2.0, dtype=y.dtype, device=y.device)
        if self.does == "mask":
            return y + x[:, :1][x[:, :1] > 0].sum()
        if self.does == "momentum":
            return self.norm(y)
        if self.does == "fails":
            raise RuntimeError("the layer is out of order")
        return y


ODD = {
    "item": "_local_scalar_dense", "chance": "is given", "layers": "not the same operations", "constant": "lift_fresh",
    "mask": "index", "momentum": "_local_scalar_dense", "spare": "does not reach every parameter",
    "fails": "the layer is out of order",
}  # fmt: skip


def hooked(place):
    model = nn.Linear(2, 1, dtype=torch.float64)
    if place == "layer":
        model.register_forward_hook(lambda *given: None)
    else:
        model.weight.register_hook(lambda grad: grad * 2)
    return model


REFUSED = {
    **{f"odd: {does}": ({"make_model": lambda seed, does=does: Odd(does)}, said) for does, said in ODD.items()},
    "counting": ({"make_model": partial(Own, does="count")}, "is given"),
    "branch": ({"make_model": partial(Own, does="branch")}, "number from the device"),
    "buffer replaced": ({"make_model": partial(Own, does="replace")}, "other memory"),
    "hook of a layer": ({"make_model": lambda seed: hooked("layer")}, "hooks on the model or its layers"),
    "hook of a parameter": ({"make_model": lambda seed: hooked("parameter")}, "hooks on the model's parameters"),
    "L-BFGS": ({"optimizer": "LBFGS"}, "LBFGS is none of"),
    "gradient": ({"gradient": FiniteDifference(1e-3)}, "FiniteDifference"),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "said"), REFUSED.values(), ids=REFUSED)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_recorded_is_refused_with_the_reason(settings, said, device):
    if device.type == "cuda" and said in ("_local_scalar_dense", "index", "number from the device"):
        said = "synchroniz|" + said
    with pytest.raises(ValueError, match=said):
        trainer(**settings, compile="step").fit(rows())


def test_rows_of_a_loader_half_precision_and_another_device_are_refused():
    own = trainer()._parts
    batches = TensorBatches(*rows(), 5, True, 0)
    assert "DataLoader" in why_not_graphed(own, FixedBatches([]), 1)
    assert why_not_graphed(own, batches, 1) == "CUDA graphs need a CUDA device"
    half = Precision(torch.float32, torch.float16, "cuda", torch.amp.GradScaler("cuda", enabled=False))
    parts = replace(own, precision=half)
    assert "fp16" in why_not_repeated(parts, batches, 1)


@pytest.mark.parametrize("does", ["in place", "replace", "dropout", "batch norm"])
def test_asking_leaves_no_trace(does, device):
    made = trainer(make_model=partial(Own, does=does))
    made.model.eval()
    buffers = list(made.model.buffers())
    before = copy_of([made.model.state_dict(), made.optimizer.state_dict(), torch.get_rng_state()])
    batches = TensorBatches(*(side.to(device) for side in rows()), 5, True, 0)
    why_not_repeated(made._parts, batches, 1)
    after = [made.model.state_dict(), made.optimizer.state_dict(), torch.get_rng_state()]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert all(now is then for now, then in zip(made.model.buffers(), buffers, strict=True))
    assert all(parameter.grad is None for parameter in made.model.parameters())
    assert not made.model.training


def test_steps_that_make_their_own_memory_or_forget_to_are_told_apart():
    kept = [torch.zeros(3)]

    def grows():
        kept.append(kept[-1] + 1)

    def stays():
        kept[0].add_(1)

    assert why_not_static(stays) is None
    assert "other memory" in why_not_static(grows)


@pytest.mark.parametrize(
    ("num_steps", "block"), [(0, 1), (1, 1), (10, 10), (32, 32), (33, 32), (250, 25), (251, 31), (10_000, 32)]
)
def test_blocks_take_the_fewest_replays(num_steps, block):
    def replays(size):
        return num_steps // size + num_steps % size

    assert replays(block_of(num_steps)) == replays(block) == min(map(replays, range(1, 33)))
    assert block_of(num_steps) <= max(1, num_steps)


class Tape:
    """In the place of a card: what is captured is called again when it is replayed."""

    def __init__(self):
        self.num_captures = 0

    def capture(self, work):
        self.num_captures += 1
        return SimpleNamespace(replay=work)


@pytest.mark.parametrize("num_steps", [1, 7, 32, 33, 250])
def test_replays_add_up_to_the_steps_that_were_asked_for(num_steps):
    done, ends = [], []
    tape = Tape()
    replay = Replay(lambda: done.append(0), lambda: ends.append(len(done)), tape, num_steps)
    total = 0
    for number in (num_steps, 1, num_steps, num_steps // 2, num_steps):
        replay.run(number) if number else None
        total += number
        assert len(done) == total
        assert ends[-1] == total
    assert tape.num_captures <= 2


def test_what_is_tried_out_in_mid_epoch_finds_rates_that_make_sense(device):
    """Adam with coefficients of 0 divides 0 by 0 where a unit is dead."""
    parts, steps, state = steps_of(device, planned=3, model={"activation": "relu"})
    with torch.no_grad():
        next(p for p in parts.parameters if p.dim() == 1).fill_(-100.0)
    steps.try_out(True, 3)
    assert all(tensor.isfinite().all() for tensor in [*parts.parameters, *state])


def test_losses_of_an_epoch_are_those_of_a_loop_written_out(device):
    """Against float64 steps of stochastic gradient descent on a line, by hand: w -= lr mean(2 (w x - y) x)."""
    x = torch.linspace(-1, 1, 7, dtype=torch.float64).unsqueeze(1)
    y = 3 * x
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(model.weight, 0.5)
    made = trainer(make_model=lambda seed: model, optimizer="SGD", lr=0.1, metrics=None, batch_size=3, compile="step")
    history = made.fit((x, y)).history
    w, expected = 0.5, []
    for epoch in range(3):
        order = epoch_order(0, epoch, 7).tolist()
        total = 0.0
        for first in (0, 3, 6):
            points = [float(x[row]) for row in order[first : first + 3]]
            total += sum((w * point - 3 * point) ** 2 for point in points)
            w -= 0.1 * sum(2 * (w - 3) * point * point for point in points) / len(points)
        expected.append(total / 7)
    assert [row["train/loss"] for row in history] == pytest.approx(expected, rel=1e-12)
    assert float(model.weight.detach()) == pytest.approx(w, rel=1e-12)


@pytest.mark.gpu
@NO_CARD
@pytest.mark.parametrize("make_model", [None, torchs_own], ids=["own stream", "global stream"])
def test_random_streams_are_where_torchs_own_steps_leave_them(make_model, device):
    if device.type != "cuda":
        pytest.skip("of graphs")
    streams = []

    class Ending(Callback):
        def on_fit_end(self, view, step):
            own = [layer.generator.get_state() for layer in view.model.modules() if hasattr(layer, "generator")]
            streams.append([torch.cuda.get_rng_state(), *own])

    for compile in ("step", "off"):
        settings = {"make_model": make_model} if make_model else {"model": {"dropout": 0.3}}
        trainer(**settings, compile=compile, make_callbacks=lambda: [Ending()]).fit(rows(), rows(seed=1))
    torch.testing.assert_close(*streams, rtol=0, atol=0)
