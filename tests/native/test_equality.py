"""Steps in C give what torch's own operations give, whatever a training is made of."""

from collections import Counter
from typing import Any

import pytest
import torch

from nnlab.loss import CrossEntropy
from nnlab.loss.base import Penalty
from nnlab.model.activation import ACTIVATIONS
from nnlab.native.library import NoCompilerError, load
from nnlab.trainer.state import copy_of
from pairwise import all_pairs, covering, pairs_of
from together_runs import alone, far, found_of, rows, together, trainer
from varied_runs import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, is_chaotic, specs_of


def _no_compiler() -> str:
    try:
        load(torch.float64)
    except NoCompilerError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(_no_compiler()), reason=_no_compiler() or "there is a compiler")

#: how threads share a step: (batch size, threads, rows in the split)
SHARING = {"one thread": (13, 1, 24), "units": (13, 2, 24), "rows": (140, 2, 150), "three threads": (13, 3, 24)}
#: gradients clipped, and with penalties
EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {}, "clipped": {"grad_clip_norm": 0.3}, "penalties": {"penalty": Penalty(1e-3, 1e-2)},
    "all": {"grad_clip_norm": 0.5, "penalty": Penalty(0.0, 0.01)},
}  # fmt: skip
#: PReLU has a weight of its own, which no C form knows
NATIVE = [name for name in ACTIVATIONS if name != "prelu"]
FACTORS = {
    "optimizer": list(OPTIMIZERS), "schedule": list(SCHEDULES), "loss": list(LOSSES), "activation": NATIVE,
    "layers": list(LAYERS), "sharing": list(SHARING), "extras": list(EXTRAS),
}  # fmt: skip


COVERING = covering(FACTORS, refused=is_chaotic)


def test_rows_cover_every_pair_of_values():
    pairs = all_pairs(FACTORS)
    assert [len(values) for values in FACTORS.values()] == [14, 12, 13, 22, 4, 4, 4]
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
        spec = {**specs[0], **EXTRAS[row["extras"]], "batch_size": batch_size, "threads": threads}
        train, valid = rows(task, num_rows), rows(task, 30, seed=1)
        expected = alone([{**spec, "compile": "off"}], train, valid)
        found = alone([{**spec, "compile": "step"}], train, valid)
        assert found[0].trainer.engine.engine.name == "native"
        assert expected[0].trainer.engine.engine.name == "eager"
        assert len(found[0].rows) == 20, row
        problems += [f"{row}: {problem}" for problem in far(found, expected)[:1]]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("settings", [{}, {"model": {"dropout": 0.3}}, {"make_loss": lambda: CrossEntropy(0.1)}])
def test_added_up_gradients_equal_torchs_own(settings):
    is_class = "make_loss" in settings
    task = "multiclass" if is_class else "regression"
    model = {**settings.get("model", {}), **({"num_outputs": 3} if is_class else {})}
    spec = {**settings, "model": model, "metrics": task, "accumulate_steps": 2, "batch_size": 5, "max_epochs": 20}
    train, valid = rows(task, 24), rows(task, 30, seed=1)
    found, expected = (alone([{**spec, "compile": compile}], train, valid) for compile in ("step", "off"))
    assert found[0].result.steps == expected[0].result.steps == 60
    assert not far(found, expected)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize("layers", LAYERS)
def test_one_step_in_single_precision_from_states_along_a_run_agrees(optimizer, layers):
    """A network of size 2-16-16-3; each state is gone on with by both."""
    train, valid = rows("multiclass", 104, dtype=torch.float32), rows("multiclass", 30, seed=1, dtype=torch.float32)
    model = {"depth": 2, "width": 16, "activation": "relu", "num_outputs": 3, **LAYERS[layers]}
    spec = {
        "precision": "fp32", "make_loss": lambda: CrossEntropy(0.0), "metrics": "multiclass", "model": model, "seed": 3,
        "lr": 0.01, "optimizer": optimizer, "compile": "off", "max_epochs": 7,
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
        assert ours.result.steps == theirs.result.steps == found.step + 1
        for name, weight in theirs.weights.items():
            torch.testing.assert_close(ours.weights[name], weight, rtol=1e-5, atol=1e-5 * float(weight.abs().max()))
        assert any(not torch.equal(tensor, found.state["model"][name]) for name, tensor in ours.weights.items())


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"model": {"dropout": 0.3, "norm": "batch"}}, {"grad_clip_norm": 0.1}])
def test_bits_are_the_same_twice_and_however_many_steps_a_call_does(threads, settings):
    train, valid = rows(num=300), rows(num=40, seed=1)
    spec = {**settings, "compile": "step", "threads": threads, "batch_size": 70, "max_epochs": 4}
    once, again = alone([spec], train, valid)[0], alone([spec], train, valid)[0]
    one_by_one = alone([{**spec, "checkpoint_every": 1}], train, valid)[0]
    for name, weight in once.weights.items():
        assert torch.equal(weight, again.weights[name])
        assert torch.equal(weight, one_by_one.weights[name])
    assert repr(once.rows) == repr(again.rows) == repr(one_by_one.rows)


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
