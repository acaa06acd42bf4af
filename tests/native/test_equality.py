"""Steps in C give what torch's own operations give, whatever a training is made of."""

from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from nnlab.loss import BCE, CrossEntropy
from nnlab.loss.base import Penalty
from nnlab.model.activation import ACTIVATIONS
from nnlab.native.library import NoCompilerError, load
from nnlab.optim.groups import parameter_groups
from nnlab.seeding import epoch_order
from nnlab.trainer.state import copy_of
from pairwise import all_pairs, covering, pairs_of
from together_runs import alone, assert_close, far, found_of, rows, together, trainer
from varied_runs import LAYERS, LOSSES, OPTIMIZERS, OWN_ACTIVATIONS, SCHEDULES, is_chaotic, specs_of


def _no_compiler() -> str:
    try:
        load(torch.float64)
    except NoCompilerError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(_no_compiler()), reason=_no_compiler() or "there is a compiler")

#: how threads share a step: (batch size, threads, rows in the split where a step is one batch)
SHARING = {"one thread": (13, 1, 24), "units": (13, 2, 24), "rows": (140, 2, 150), "three threads": (13, 3, 24)}
#: batches of a step, of which the last step has fewer, and how many times the rows they need
BATCHES = {"one batch": (1, 1.0), "three batches": (3, 2.5)}
#: gradients clipped, and with penalties
EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {}, "clipped": {"grad_clip_norm": 0.3}, "penalties": {"penalty": Penalty(1e-3, 1e-2)},
    "all": {"grad_clip_norm": 0.5, "penalty": Penalty(0.0, 0.01)},
}  # fmt: skip
FACTORS = {
    "optimizer": list(OPTIMIZERS), "schedule": list(SCHEDULES), "loss": list(LOSSES),
    "activation": [*ACTIVATIONS, *OWN_ACTIVATIONS], "layers": list(LAYERS), "sharing": list(SHARING),
    "extras": list(EXTRAS), "batches": list(BATCHES),
}  # fmt: skip


COVERING = covering(FACTORS, costly=["batches"], refused=is_chaotic)


def test_rows_cover_every_pair_of_values():
    pairs = all_pairs(FACTORS)
    assert [len(values) for values in FACTORS.values()] == [14, 12, 13, 24, 4, 4, 4, 2]
    assert set(Counter(pair for row in COVERING for pair in pairs_of(row))) == pairs
    assert len(COVERING) >= 300


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_metrics_of_every_epoch_equal_torchs_own_to_a_billionth(optimizer):
    problems = []
    for row in COVERING:
        if row["optimizer"] != optimizer:
            continue
        specs, task = specs_of({**row, "K": 1})
        batch_size, threads, num_rows = SHARING[row["sharing"]]
        accumulate_steps, times = BATCHES[row["batches"]]
        spec = {
            **specs[0], **EXTRAS[row["extras"]], "batch_size": batch_size, "threads": threads,
            "accumulate_steps": accumulate_steps,
        }  # fmt: skip
        train, valid = rows(task, int(num_rows * times)), rows(task, 30, seed=1)
        expected = alone([{**spec, "compile": "off"}], train, valid)
        found = alone([{**spec, "compile": "step"}], train, valid)
        assert found[0].trainer.engine.engine.name == "native"
        assert expected[0].trainer.engine.engine.name == "eager"
        assert len(found[0].rows) == 20, row
        problems += [f"{row}: {problem}" for problem in far(found, expected)[:1]]
    assert not problems, "\n".join(problems)


#: what a step of several batches computes batch by batch, and what it can compute of all at once
ADDED_UP: dict[str, tuple[str, dict[str, Any]]] = {
    "all at once": ("regression", {}),
    "dropout": ("regression", {"model": {"dropout": 0.3}}),
    "smoothed": ("multiclass", {"make_loss": lambda: CrossEntropy(0.1), "model": {"num_outputs": 3}}),
    "class weights": (
        "multiclass", {"make_loss": lambda: CrossEntropy(0.1, [0.3, 1.0, 2.0]), "model": {"num_outputs": 3}}
    ),
    "weights of two classes": ("binary", {"make_loss": lambda: BCE([0.3, 1.7]), "penalty": Penalty(1e-3, 1e-2)}),
    "batch norm": ("regression", {"model": {"norm": "batch"}, "grad_clip_norm": 0.3}),
    "batch norm and weights": (
        "binary", {"make_loss": lambda: BCE([0.3, 1.7]), "model": {"norm": "batch", "dropout": 0.3}}
    ),
}  # fmt: skip


#: batch size, threads, rows: of an epoch's two steps the second has fewer batches, or too few rows for both threads
@pytest.mark.parametrize(("batch_size", "threads", "num_rows"), [(5, 1, 24), (5, 3, 24), (140, 2, 580), (140, 2, 440)])
@pytest.mark.parametrize("case", ADDED_UP)
def test_added_up_gradients_equal_torchs_own(case, batch_size, threads, num_rows):
    task, settings = ADDED_UP[case]
    spec = {**settings, "metrics": task, "accumulate_steps": 3, "batch_size": batch_size, "max_epochs": 20}
    train, valid = rows(task, num_rows), rows(task, 30, seed=1)
    found = alone([{**spec, "compile": "step", "threads": threads}], train, valid)
    expected = alone([{**spec, "compile": "off"}], train, valid)
    assert found[0].result.steps == expected[0].result.steps == 40
    assert not far(found, expected)
    assert_close(found[0].weights, expected[0].weights)  # the running statistics among them


def test_running_mean_is_that_of_all_batches_in_their_order():
    def make_model(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 5, bias=False), nn.BatchNorm1d(5, momentum=None), nn.Linear(5, 1))

    x, y = rows(num=24)
    made = trainer(make_model=make_model, accumulate_steps=3, batch_size=5, max_epochs=1, lr=0.0, compile="step")
    linear, norm = made.model[0], made.model[1]
    made.fit((x, y))
    z = x @ linear.weight.detach().T
    order = epoch_order(0, 0, 24)
    batches = [z[part] for part in order.split(5)]
    mean, variance = (torch.stack([getattr(batch, name)(0) for batch in batches]).mean(0) for name in ("mean", "var"))
    assert int(norm.num_batches_tracked) == 5
    torch.testing.assert_close((norm.running_mean, norm.running_var), (mean, variance), rtol=1e-12, atol=1e-14)


#: one step in single precision: the kinds of layers, and what else a step is made of
ONE_STEP: dict[str, dict[str, Any]] = {
    **{name: {"model": model} for name, model in LAYERS.items()},
    "prelu": {"model": {"activation": "prelu"}},
    "prelu of each unit, dropout": {"model": {"activation": partial(nn.PReLU, 16), "dropout": 0.2}},
    "class weights added up": {"make_loss": lambda: CrossEntropy(0.0, [0.3, 1.0, 2.0]), "accumulate_steps": 3},
    "batch norm added up": {"model": {"norm": "batch", "activation": "prelu"}, "accumulate_steps": 3},
}


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize("case", ONE_STEP)
def test_one_step_in_single_precision_from_states_along_a_run_agrees(optimizer, case):
    """A network of size 2-16-16-3; each state is gone on with by both."""
    settings = ONE_STEP[case]
    num_rows = 104 * settings.get("accumulate_steps", 1)
    train = rows("multiclass", num_rows, dtype=torch.float32)
    valid = rows("multiclass", 30, seed=1, dtype=torch.float32)
    model = {"depth": 2, "width": 16, "activation": "relu", "num_outputs": 3, **settings.get("model", {})}
    spec = {
        "precision": "fp32", "make_loss": lambda: CrossEntropy(0.0), "metrics": "multiclass", "seed": 3, "lr": 0.01,
        "optimizer": optimizer, "compile": "off", "max_epochs": 7, **settings, "model": model,
    }  # fmt: skip
    states = []
    # A stack of one, so that states can be looked at on the way.
    together([{**spec, "checkpoint_every": 1}], train, valid, save=lambda live: states.append(found_of(live[0])))
    assert [state.step for state in states] == list(range(1, 56))
    for found in states[:50]:
        ends = [
            together([{**spec, "compile": compile, "max_steps": found.step + 1}], train, valid, {0: found}, None, False)
            for compile in ("step", "off")
        ]
        ours, theirs = ends[0][0], ends[1][0]
        assert ours.trainer.engine.engine.name == "native"
        assert ours.result.steps == theirs.result.steps == found.step + 1
        for name, weight in theirs.weights.items():
            torch.testing.assert_close(ours.weights[name], weight, rtol=1e-5, atol=1e-5 * float(weight.abs().max()))
        assert any(not torch.equal(tensor, found.state["model"][name]) for name, tensor in ours.weights.items())


SAME_BITS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("regression", {}),
    "dropout, batch norm": ("regression", {"model": {"dropout": 0.3, "norm": "batch"}}),
    "clipped": ("regression", {"grad_clip_norm": 0.1}),
    "prelu": ("regression", {"model": {"activation": "prelu"}, "grad_clip_norm": 0.1}),
    "prelu of each unit": ("regression", {"model": {"activation": partial(nn.PReLU, 5), "dropout": 0.3}}),
    "class weights added up": (
        "binary", {"make_loss": lambda: BCE([0.3, 1.7]), "model": {"activation": "prelu"}, "accumulate_steps": 2}
    ),
    "batch norm added up": ("regression", {"model": {"dropout": 0.3, "norm": "batch"}, "accumulate_steps": 3}),
}  # fmt: skip


@pytest.mark.parametrize(("batch_size", "threads"), [(70, 1), (70, 2), (70, 3), (200, 2), (200, 3)])
@pytest.mark.parametrize("case", SAME_BITS)
def test_bits_are_the_same_twice_and_however_many_steps_a_call_does(case, batch_size, threads):
    task, settings = SAME_BITS[case]
    train, valid = rows(task, 900), rows(task, 40, seed=1)
    spec = {**settings, "metrics": task, "compile": "step", "threads": threads, "batch_size": batch_size}
    spec["max_epochs"] = 4
    once, again = alone([spec], train, valid)[0], alone([spec], train, valid)[0]
    one_by_one = alone([{**spec, "checkpoint_every": 1}], train, valid)[0]
    for name, weight in once.weights.items():
        assert torch.equal(weight, again.weights[name])
        assert torch.equal(weight, one_by_one.weights[name])
    assert repr(once.rows) == repr(again.rows) == repr(one_by_one.rows)
    shares_units = bool(once.trainer.engine.engine._steps._program.by_units)
    assert shares_units == ("batch norm" in case or (threads > 1 and batch_size == 70))


@pytest.mark.parametrize(("batch_size", "threads"), [(13, 1), (13, 2), (150, 2)])
@pytest.mark.parametrize("activation", ["prelu", partial(nn.PReLU, 5)], ids=["one slope", "a slope for each unit"])
def test_slopes_are_decayed_and_clipped_as_any_parameter(activation, batch_size, threads):
    def make_optimizer(model, lr):
        return torch.optim.AdamW(parameter_groups(model, ["bias", "norm"]), lr=lr, weight_decay=0.5)

    train, valid = rows(num=3 * batch_size), rows(num=17, seed=1)
    spec = {"model": {"activation": activation}, "make_optimizer": make_optimizer}
    spec |= {"batch_size": batch_size, "threads": threads}
    ends = {}
    for clip_norm in (None, 0.05):
        own = {**spec, "grad_clip_norm": clip_norm, "penalty": Penalty(1e-3, 1e-2), "max_epochs": 20}
        found, expected = (alone([{**own, "compile": compile}], train, valid)[0] for compile in ("step", "off"))
        assert_close(found.weights, expected.weights)
        ours, theirs = (dict(made.trainer.model.named_parameters()) for made in (found, expected))
        for name, parameter in theirs.items():
            torch.testing.assert_close(ours[name].grad, parameter.grad, rtol=1e-9, atol=1e-12)
        slopes = {name: parameter for name, parameter in ours.items() if "activation" in name}
        assert [len(slope) for slope in slopes.values()] == [1 if activation == "prelu" else 5] * 2
        ends[clip_norm] = torch.cat(list(slopes.values())).detach()
    assert not torch.allclose(ends[None], ends[0.05])
    assert not torch.allclose(ends[None], torch.tensor(0.25, dtype=torch.float64), atol=0.01)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_batch_norm_beside_layer_norm_is_computed_by_one_thread(threads):
    def make_model(seed):
        torch.manual_seed(seed)
        before = [nn.Linear(2, 40, bias=False), nn.BatchNorm1d(40), nn.Tanh()]
        return nn.Sequential(*before, nn.Linear(40, 40), nn.LayerNorm(40), nn.Tanh(), nn.Linear(40, 1))

    train, valid = rows(num=26), rows(num=17, seed=1)
    spec = {"make_model": make_model, "max_epochs": 20}
    found = alone([{**spec, "compile": "step", "threads": threads}], train, valid)
    assert not far(found, alone([{**spec, "compile": "off"}], train, valid))


def test_state_left_behind_is_torchs_own():
    train, valid = rows(), rows(num=17, seed=1)
    states = []
    for compile in ("step", "off"):
        made = trainer(compile=compile, model={"norm": "batch"}, grad_clip_norm=0.5)
        made.fit(train, valid)
        grads = {name: parameter.grad for name, parameter in made.model.named_parameters()}
        states.append(copy_of([made.model.state_dict(), made.optimizer.state_dict(), grads]))
    torch.testing.assert_close(*states, rtol=1e-9, atol=1e-12)


def test_ten_seeds_in_single_precision_are_not_told_apart():
    """2-16-16-2 on 350 points in batches of 32: after 30 epochs rounding has long parted the two ways."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(500, 2, generator=generator)
    data = x, (x.square().sum(1) > 1.4).long()
    train, valid = tuple(t[:350] for t in data), tuple(t[350:] for t in data)
    model = {"depth": 2, "width": 16, "activation": "tanh", "num_outputs": 2}
    spec = {
        "precision": "fp32", "make_loss": lambda: CrossEntropy(0.0), "metrics": "multiclass", "model": model,
        "batch_size": 32, "max_epochs": 30, "eval_every": 30, "lr": 0.02,
    }  # fmt: skip
    ends = {
        compile: alone([{**spec, "seed": seed, "compile": compile} for seed in range(10)], train, valid)
        for compile in ("step", "off")
    }
    losses = {
        compile: torch.tensor([outcome.rows[-1]["valid/loss"] for outcome in found], dtype=torch.float64)
        for compile, found in ends.items()
    }
    assert losses["off"].max() < 0.5
    differences = losses["step"] - losses["off"]
    assert differences.abs().max() > 0  # else one way was compared with itself
    # Student's 95 % interval of ten paired differences
    assert abs(differences.mean()) < 2.262 * differences.std() / 10**0.5
