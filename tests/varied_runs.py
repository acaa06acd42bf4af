"""Trainings that differ in everything that one can differ in, for tests that compare ways to compute them."""

from functools import partial
from typing import Any

from torch import nn

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
from nnlab.schedule import Constant, Cosine, Exponential, OneCycle, Plateau, Step

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
#: activations that have no name of their own, for layers as wide as those of ``together_runs``
OWN_ACTIVATIONS = {"prelu of each unit": partial(nn.PReLU, 5)}
#: activations whose derivative is the same over whole intervals
LINES = {
    "identity", "relu", "leaky_relu", "prelu", "prelu of each unit", "relu6", "hardtanh", "hardsigmoid", "softshrink",
    "hardshrink",
}  # fmt: skip


def is_chaotic(row: dict[str, Any]) -> bool:
    """Whether a derivative may be a sum of equal numbers, half of them negative: 0 but for rounding.

    The errors of L1 and hinge count 1 or -1, and an activation of lines hands them on as they are. Rprop looks at
    nothing but the sign of the sum.
    """
    return row.get("optimizer") == "rprop" and row.get("loss") in ("l1", "hinge") and row.get("activation") in LINES


def specs_of(row: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The members of a row, each with a seed and a rate of its own, and their task."""
    optimizer, lr, optim = OPTIMIZERS[row["optimizer"]]
    make_loss, task, outputs = LOSSES[row["loss"]]
    layers = LAYERS[row["layers"]]
    activation = OWN_ACTIVATIONS.get(row["activation"], row["activation"])
    if row["layers"] == "batch norm" and row["optimizer"] in ("adagrad", "rprop"):
        # Where an activation is a line, a shift before a second batch norm has no part in the loss. Its derivative is
        # nothing but rounding, of which Rprop takes the sign; Adagrad divides it by itself plus 1e-10.
        layers = {**layers, "depth": 1}
    if row["optimizer"] == "rprop" and row["loss"] in ("l1", "hinge"):
        # The derivative of the output's bias is such a sum as is_chaotic speaks of, whatever the activation.
        layers = {**layers, "bias": False}
    shared = {
        "optimizer": optimizer, "optim": optim, "make_schedule": SCHEDULES[row["schedule"]], "make_loss": make_loss,
        "metrics": task, "model": {"activation": activation, **outputs, **layers},
        "max_epochs": EPOCHS,
    }  # fmt: skip
    return [{**shared, "seed": 10 + seed, "lr": lr * (1 - seed / 10)} for seed in range(row["K"])], task
