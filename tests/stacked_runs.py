"""Runs for the tests of stacked optimizers: every class with every flag, each row with numbers of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nnlab.optim.stacked import StackedUpdate, stacked_update

#: a layer's weights and bias, a number alone, one with many axes; 29 numbers
SHAPES = ((3, 5), (3,), (), (2, 1, 5))
SIZE = sum(int(np.prod(shape)) for shape in SHAPES)
#: torch has a fused form of them on the CPU
FUSED = ("SGD", "Adam", "AdamW", "Adagrad")


@dataclass(frozen=True)
class Case:
    kind: str
    flags: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.kind, *(name for name, value in self.flags.items() if value)])

    def settings(self, random: np.random.Generator) -> dict[str, Any]:
        """Hyper-parameters of one row."""
        betas = (float(random.uniform(0, 0.99)), float(random.uniform(0.5, 0.9999)))
        eps = float(10 ** random.uniform(-10, -3))
        momentum = float(random.uniform(0.1, 0.99))
        own: dict[str, dict[str, Any]] = {
            "SGD": {"dampening": float(random.choice([0.0, random.uniform(0, 1)]))},
            "Adam": {"betas": betas, "eps": eps},
            "AdamW": {"betas": betas, "eps": eps},
            "RMSprop": {"alpha": float(random.uniform(0.3, 0.999)), "eps": eps},
            "Adagrad": {"lr_decay": float(random.uniform(0, 0.1)), "initial_accumulator_value": eps, "eps": eps},
            "NAdam": {"betas": betas, "eps": eps, "momentum_decay": float(random.uniform(0, 0.01))},
            "RAdam": {"betas": betas, "eps": eps},
            "Adamax": {"betas": betas, "eps": eps},
            "Adadelta": {"rho": float(random.uniform(0.3, 0.99)), "eps": eps},
            "Rprop": {
                "etas": (float(random.uniform(0.05, 0.95)), float(random.uniform(1.01, 3))),
                "step_sizes": (float(10 ** random.uniform(-8, -4)), float(random.uniform(0.05, 50))),
            },
        }
        chosen = own[self.kind] | {name: value for name, value in self.flags.items() if name != "momentum"}
        if self.flags.get("momentum"):
            chosen["momentum"] = momentum
        if self.flags.get("nesterov"):
            chosen["dampening"] = 0.0
        return chosen

    @property
    def decays(self) -> bool:
        return self.kind != "Rprop"


def _cases(kind: str, **flags: Sequence[bool]) -> list[Case]:
    return [Case(kind, dict(zip(flags, values, strict=True))) for values in product(*flags.values())]


BOTH = (False, True)
CASES = [
    *(
        case
        for case in _cases("SGD", momentum=BOTH, nesterov=BOTH, maximize=BOTH)
        if case.flags["momentum"] or not case.flags["nesterov"]
    ),
    *_cases("Adam", amsgrad=BOTH, decoupled_weight_decay=BOTH, maximize=BOTH),
    *_cases("AdamW", amsgrad=BOTH, maximize=BOTH),
    *_cases("RMSprop", momentum=BOTH, centered=BOTH, maximize=BOTH),
    *_cases("Adagrad", maximize=BOTH),
    *_cases("NAdam", decoupled_weight_decay=BOTH, maximize=BOTH),
    *_cases("RAdam", decoupled_weight_decay=BOTH, maximize=BOTH),
    *_cases("Adamax", maximize=BOTH),
    *_cases("Adadelta", maximize=BOTH),
    *_cases("Rprop", maximize=BOTH),
]


@dataclass
class Runs:
    """R runs: their parameters (views of ``weights`` or tensors of their own) and torch's optimizers."""

    parameters: list[list[nn.Parameter]]
    optimizers: list[torch.optim.Optimizer]
    weights: Tensor

    def stacked(self) -> StackedUpdate:
        return stacked_update(self.optimizers, self.parameters, self.weights)

    def step_alone(self, rates: Sequence[float], grad: Tensor) -> None:
        """Each run by torch's own optimizer."""
        for row in range(len(self.optimizers)):
            self.step_one(row, rates[row], grad)

    def step_one(self, row: int, rate: float, grad: Tensor) -> None:
        for parameter, own in zip(self.parameters[row], cut(grad[row]), strict=True):
            parameter.grad = own.clone()
        for group in self.optimizers[row].param_groups:
            group["lr"] = float(rate)
        self.optimizers[row].step()


def cut(row: Tensor) -> list[Tensor]:
    """The parts of a row that belong to each parameter."""
    sizes = [int(np.prod(shape)) for shape in SHAPES]
    return [part.view(shape) for part, shape in zip(row[:SIZE].split(sizes), SHAPES, strict=True)]


def make_runs(
    case: Case, num_rows: int, *, dtype: torch.dtype, decay: str, padded_to: int = SIZE, fused: bool = False
) -> Runs:
    """Runs from fixed seeds: row r is the same whatever their number, and whether the rows are padded.

    Args:
        case: class and flags.
        num_rows: R.
        dtype: of the weights.
        decay: ``none``; ``some`` rows have weight decay; ``groups``: biases are left alone in every second row.
        padded_to: numbers in a row.
        fused: whether torch's fused form is the reference.
    """
    weights = torch.zeros(num_rows, padded_to, dtype=dtype)
    parameters, optimizers = [], []
    for row in range(num_rows):
        random = np.random.default_rng([row, 1])
        weights[row, :SIZE] = torch.from_numpy(random.normal(size=SIZE)).to(dtype)
        own = [nn.Parameter(part) for part in cut(weights[row])]
        settings = case.settings(random)
        groups: list[dict[str, Any]] = [{"params": own}]
        if case.decays and decay != "none" and row % 3:
            settings["weight_decay"] = float(10 ** random.uniform(-3, -1))
            if decay == "groups" and row % 2:
                groups = [{"params": own[::2]}, {"params": own[1::2], "weight_decay": 0.0}]
        form = {"fused": True} if fused else {"foreach": False}
        optimizers.append(getattr(torch.optim, case.kind)(groups, lr=0.01, **form, **settings))
        parameters.append(own)
    return Runs(parameters, optimizers, weights)


def rates_of(num_steps: int, num_rows: int) -> np.ndarray:
    """Learning rates, float64 [S, R]; column r is the same whatever their number."""
    columns = [10 ** np.random.default_rng([row, 2]).uniform(-4, -1, size=num_steps) for row in range(num_rows)]
    return np.stack(columns, axis=1)


def grads_of(num_steps: int, num_rows: int, dtype: torch.dtype) -> Tensor:
    """Gradients of changing size, shape [S, R, SIZE]; column r is the same whatever their number."""
    rows = [np.random.default_rng([row, 3]).normal(size=(num_steps, SIZE)) for row in range(num_rows)]
    return torch.from_numpy(np.stack(rows, axis=1)).to(dtype)


def padded(grad: Tensor, like: Tensor) -> Tensor:
    """The gradient [R, SIZE] in rows as long as the weights'."""
    whole = torch.zeros_like(like)
    whole[:, :SIZE] = grad
    return whole
