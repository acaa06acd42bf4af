"""Every member of a stack has the metrics that it has alone, whatever it is made of."""

from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch

from nnlab.loss import (
    BCE,
    L1,
    MSE,
    BCEProbability,
    CrossEntropy,
    HalfMSE,
    Hinge,
    Huber,
    Polynomial,
    SmoothL1,
)  # fmt: skip
from nnlab.model.activation import ACTIVATIONS
from nnlab.schedule import Constant, Cosine, Exponential, OneCycle, Plateau, Step
from pairwise import all_pairs, covering, pairs_of
from together_runs import alone, far, found_of, rows, together

EPOCHS = 20
#: the rate of each is one at which 60 steps go downhill without a jump
OPTIMIZERS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "sgd": ("SGD", 0.02, {}),
    "sgd momentum": ("SGD", 0.01, {"momentum": 0.8}),
    "sgd nesterov": ("SGD", 0.01, {"momentum": 0.8, "nesterov": True}),
    "adam": ("Adam", 0.01, {}),
    "adamw": ("AdamW", 0.01, {"weight_decay": 0.1}),
    "rmsprop": ("RMSprop", 0.003, {}),
    "rmsprop centred": ("RMSprop", 0.003, {"centered": True}),
    "rmsprop momentum": ("RMSprop", 0.002, {"momentum": 0.5}),
    "adagrad": ("Adagrad", 0.02, {}),
    "nadam": ("NAdam", 0.01, {}),
    "radam": ("RAdam", 0.01, {}),
    "adamax": ("Adamax", 0.01, {}),
    "adadelta": ("Adadelta", 0.5, {}),
    "rprop": ("Rprop", 0.001, {"step_sizes": (1e-6, 0.02)}),
}
one_cycle = partial(OneCycle, pct_start=0.3, div_factor=10.0, final_div_factor=100.0)
SCHEDULES = {
    "constant": lambda: Constant(unit="epoch", warmup_steps=0),
    "warm-up": lambda: Constant(unit="step", warmup_steps=10),
    "step by epochs": lambda: Step(step_size=5, gamma=0.5, unit="epoch", warmup_steps=0),
    "step by steps": lambda: Step(step_size=7, gamma=0.8, unit="step", warmup_steps=4),
    "exponential by epochs": lambda: Exponential(gamma=0.9, unit="epoch", warmup_steps=0),
    "exponential by steps": lambda: Exponential(gamma=0.97, unit="step", warmup_steps=0),
    "cosine by epochs": lambda: Cosine(eta_min=1e-4, unit="epoch", warmup_steps=0),
    "cosine by steps": lambda: Cosine(eta_min=0.0, unit="step", warmup_steps=5),
    "one cycle by steps": lambda: one_cycle(anneal_strategy="cos", three_phase=False, unit="step", warmup_steps=0),
    "one cycle by epochs": lambda: one_cycle(anneal_strategy="linear", three_phase=True, unit="epoch", warmup_steps=0),
    "plateau": lambda: Plateau(0.5, 1, 0.05, "rel", 1, 0.0, "epoch", 0),
    "plateau with warm-up": lambda: Plateau(0.3, 0, 0.01, "abs", 0, 1e-5, "epoch", 6),
}
#: the loss, its data, the outputs and what comes after them
LOSSES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "mse": (MSE, "regression", {}),
    "half mse": (HalfMSE, "regression", {}),
    "l1": (L1, "regression", {}),
    "huber": (lambda: Huber(0.5), "regression", {}),
    "smooth l1": (lambda: SmoothL1(0.7), "regression", {}),
    "polynomial": (lambda: Polynomial([1.0, -0.5, 0.75, 0.0, 0.1]), "regression", {}),
    "bce": (BCE, "binary", {}),
    "bce weighted": (lambda: BCE([0.3, 1.7]), "binary", {}),
    "bce of probabilities": (BCEProbability, "binary", {"output_activation": "sigmoid"}),
    "hinge": (Hinge, "signs", {}),
    "cross-entropy": (lambda: CrossEntropy(0.0), "multiclass", {"num_outputs": 3}),
    "cross-entropy smoothed": (lambda: CrossEntropy(0.1), "multiclass", {"num_outputs": 3}),
    "cross-entropy weighted": (lambda: CrossEntropy(0.05, [1.0, 0.2, 2.5]), "multiclass", {"num_outputs": 3}),
}
LAYERS: dict[str, dict[str, Any]] = {
    "plain": {}, "dropout": {"dropout": 0.2}, "batch norm": {"norm": "batch"}, "layer norm": {"norm": "layer"},
}  # fmt: skip
FACTORS = {
    "optimizer": list(OPTIMIZERS), "schedule": list(SCHEDULES), "loss": list(LOSSES), "activation": list(ACTIVATIONS),
    "layers": list(LAYERS), "K": [2, 1, 7],
}  # fmt: skip
#: activations whose derivative is the same over whole intervals
LINES = {
    "identity", "relu", "leaky_relu", "prelu", "relu6", "hardtanh", "hardsigmoid", "softshrink", "hardshrink",
}  # fmt: skip


def is_chaotic(row: dict[str, Any]) -> bool:
    """Whether a derivative may be a sum of equal numbers, half of them negative: 0 but for rounding.

    The errors of L1 and hinge count 1 or -1, and an activation of lines hands them on as they are. Rprop looks at
    nothing but the sign of the sum.
    """
    return row.get("optimizer") == "rprop" and row.get("loss") in ("l1", "hinge") and row.get("activation") in LINES


COVERING = covering(FACTORS, costly=["K"], refused=is_chaotic)


def specs_of(row: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The members of a row, each with a seed and a rate of its own, and their task."""
    optimizer, lr, optim = OPTIMIZERS[row["optimizer"]]
    make_loss, task, outputs = LOSSES[row["loss"]]
    layers = LAYERS[row["layers"]]
    if row["layers"] == "batch norm" and row["optimizer"] in ("adagrad", "rprop"):
        # Where an activation is a line, a shift before a second batch norm has no part in the loss. Its derivative is
        # nothing but rounding, of which Rprop takes the sign; Adagrad divides it by itself plus 1e-10.
        layers = {**layers, "depth": 1}
    shared = {
        "optimizer": optimizer, "optim": optim, "make_schedule": SCHEDULES[row["schedule"]], "make_loss": make_loss,
        "metrics": task, "model": {"activation": row["activation"], **outputs, **layers},
        "max_epochs": EPOCHS,
    }  # fmt: skip
    return [{**shared, "seed": 10 + seed, "lr": lr * (1 - seed / 10)} for seed in range(row["K"])], task


def test_rows_cover_every_pair_of_values():
    pairs = all_pairs(FACTORS)
    sizes = [len(values) for values in FACTORS.values()]
    assert sizes == [14, 12, 13, 23, 4, 3]
    assert len(pairs) == (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2 == 1849
    covered = Counter(pair for row in COVERING for pair in pairs_of(row))
    assert set(covered) == pairs
    assert len(COVERING) >= 300


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_metrics_of_every_epoch_equal_those_alone_to_a_billionth(optimizer):
    problems = []
    for row in COVERING:
        if row["optimizer"] != optimizer:
            continue
        specs, task = specs_of(row)
        train, valid = rows(task), rows(task, 30, seed=1)
        lone, found = alone(specs, train, valid), together(specs, train, valid)
        assert all(outcome.result.status == "completed" and len(outcome.rows) == EPOCHS for outcome in lone), row
        assert all(not outcome.result.notes for outcome in found), (row, found[0].result.notes)
        problems += [f"{row}: {problem}" for problem in far(found, lone)[:1]]
    assert not problems, "\n".join(problems)


SMALL = {"depth": 2, "width": 16, "activation": "relu", "num_outputs": 3}
SINGLE = {"precision": "fp32", "make_loss": lambda: CrossEntropy(0.0), "metrics": "multiclass", "model": SMALL}


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_one_step_in_single_precision_from_states_along_a_run_agrees(optimizer):
    """A network of size 2-16-16-3; each state is gone on with alone and together."""
    train, valid = rows("multiclass", 104, dtype=torch.float32), rows("multiclass", 30, seed=1, dtype=torch.float32)
    specs = [{**SINGLE, "seed": seed, "lr": 0.01 * (1 + seed), "optimizer": optimizer} for seed in range(3)]
    states = []

    def save(live):
        states.append({number: found_of(fitting) for number, fitting in live.items()})

    together([{**spec, "max_epochs": 7, "checkpoint_every": 1} for spec in specs], train, valid, save=save)
    assert [state[0].step for state in states] == list(range(1, 56))
    for found in states[:50]:
        longer = [{**spec, "max_epochs": 7, "max_steps": found[0].step + 1} for spec in specs]
        lone, ours = (together(longer, train, valid, found=found, stacked=stacked) for stacked in (False, True))
        for a, b, before in zip(lone, ours, found.values(), strict=True):
            assert a.result.steps == b.result.steps == before.step + 1
            for name, weight in a.weights.items():
                torch.testing.assert_close(b.weights[name], weight, rtol=1e-5, atol=1e-5 * float(weight.abs().max()))
                assert not torch.equal(weight, before.state["model"][name])
        assert not far(ours, lone, 1e-5)


def test_final_validation_metrics_of_the_small_workload_agree_to_a_thousandth():
    """2-16-16-2 on 500 points, 350 of them trained on in batches of 32 by Adam."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(500, 2, generator=generator)
    data = x, (x.square().sum(1) > 1.4).long()
    train, valid = tuple(t[:350] for t in data), tuple(t[350:] for t in data)
    model = {**SMALL, "num_outputs": 2}
    specs = [
        {**SINGLE, "model": model, "seed": seed, "lr": lr, "batch_size": 32, "max_epochs": 200, "eval_every": 200}
        for seed, lr in enumerate((0.003, 0.01))
    ]
    lone, ours = alone(specs, train, valid), together(specs, train, valid)
    assert all(outcome.rows[-1]["valid/accuracy"] > 0.9 for outcome in lone)
    assert not far(ours, lone, 1e-3)
