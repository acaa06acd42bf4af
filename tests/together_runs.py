"""Trainings for the tests of stacks: the same ones alone and together, on small data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnlab import Trainer
from nnlab.loss import MSE
from nnlab.loss.base import Loss
from nnlab.metric import MAE, R2, RMSE, Accuracy, LogLoss
from nnlab.metric.readout import Readout
from nnlab.model import MLP
from nnlab.trainer.fitting import Fitting
from nnlab.trainer.result import FitResult
from nnlab.trainer.resume import Found
from nnlab.trainer.state import copy_of
from nnlab.trainer.together import Task, fit_together

Rows = tuple[Tensor, Tensor]
#: of a training that the functions here know how to make
Spec = Mapping[str, Any]


def rows(task: str = "regression", num: int = 24, seed: int = 0, dtype: torch.dtype = torch.float64) -> Rows:
    """Inputs [N, 2] and a target that depends on them, with some noise."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num, 2, generator=generator, dtype=torch.float64)
    noise = 0.1 * torch.randn(num, 1, generator=generator, dtype=torch.float64)
    value = x.sin().sum(1, keepdim=True) + noise
    if task == "regression":
        return x.to(dtype), value.to(dtype)
    if task == "binary":
        return x.to(dtype), (value > 0).to(dtype)
    if task == "signs":
        return x.to(dtype), (2 * (value > 0) - 1).to(dtype)
    return x.to(dtype), (value > -0.7).long().squeeze(1) + (value > 0.7).long().squeeze(1)


def metrics_of(task: str) -> list[Any]:
    """Without AUROC: where units are dead, scores are tied but for rounding, and rounding decides what it is."""
    return [R2(), MAE(), RMSE()] if task == "regression" else [Accuracy(), LogLoss()]


def mlp(seed: int, *, num_outputs: int = 1, **settings: Any) -> MLP:
    torch.manual_seed(seed)
    defaults = {
        "depth": 2, "width": 5, "widths": None, "activation": "tanh", "output_activation": "identity",
        "dropout": 0.0, "norm": "none", "bias": True,
    }  # fmt: skip
    return MLP(2, num_outputs, **(defaults | settings))


def trainer(
    seed: int = 0,
    lr: float = 0.01,
    *,
    make_model: Callable[[int], nn.Module] | None = None,
    model: Mapping[str, Any] | None = None,
    make_loss: Callable[[], Loss] = MSE,
    optimizer: str = "Adam",
    optim: Mapping[str, Any] | None = None,
    make_optimizer: Callable[[nn.Module, float], torch.optim.Optimizer] | None = None,
    make_schedule: Callable[[], Any] | None = None,
    make_callbacks: Callable[[], Sequence[Any]] | None = None,
    metrics: str | None = "regression",
    precision: Any = "fp64",
    **settings: Any,
) -> Trainer:
    """A fresh one; everything in a specification is made anew, so that it can be trained alone and together."""
    made = make_model(seed) if make_model is not None else mlp(seed, **(model or {}))
    # Adagrad's sums have the type that the parameters have when it is made.
    made.to(torch.float64 if precision == "fp64" else torch.float32)
    if make_optimizer is not None:
        own = make_optimizer(made, lr)
    else:
        own = getattr(torch.optim, optimizer)(made.parameters(), lr=lr, **(optim or {}))
    return Trainer(
        made, make_loss(), own, schedule=make_schedule() if make_schedule else None,
        callbacks=make_callbacks() if make_callbacks else (), metrics=metrics_of(metrics) if metrics else (),
        seed=seed, precision=precision, device="cpu",
        **({"batch_size": 13, "max_epochs": 3, "threads": 1} | settings),
    )  # fmt: skip


class Outcome:
    """A training and how it ended."""

    def __init__(self, trainer: Trainer, result: FitResult) -> None:
        self.trainer = trainer
        self.result = result

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.trainer.model.state_dict()

    @property
    def rows(self) -> list[dict[str, float]]:
        return [{key: value for key, value in row.items() if key != "time_s"} for row in self.result.history]

    @property
    def ending(self) -> tuple[Any, ...]:
        result = self.result
        return result.status, result.reason, result.epochs, result.steps, result.diverged_at


def split(spec: Spec, train: Rows, valid: Rows) -> tuple[dict[str, Any], Rows, Rows]:
    """A specification's own data, if it has any."""
    own = dict(spec)
    return own, own.pop("train", train), own.pop("valid", valid)


def alone(specs: Sequence[Spec], train: Rows, valid: Rows) -> list[Outcome]:
    outcomes = []
    for spec in specs:
        own, own_train, own_valid = split(spec, train, valid)
        made = trainer(**own)
        outcomes.append(Outcome(made, made.fit(own_train, own_valid)))
    return outcomes


def together(
    specs: Sequence[Spec],
    train: Rows,
    valid: Rows,
    found: Mapping[int, Found] | None = None,
    save: Callable[[Mapping[int, Fitting]], None] | None = None,
    stacked: bool = True,
    resume: bool = False,
) -> list[Outcome]:
    """All in stacks, or one after another; an error of one is raised."""
    tasks = []
    for number, spec in enumerate(specs):
        own, own_train, own_valid = split(spec, train, valid)
        tasks.append(Task(trainer(**own), own_train, own_valid, resume, (found or {}).get(number), stacked))
    outcomes: dict[int, Outcome] = {}

    def ended(number: int, result: FitResult | None, error: Exception | None) -> None:
        if error is not None:
            raise error
        assert number not in outcomes
        outcomes[number] = Outcome(tasks[number].trainer, result)

    fit_together(tasks, ended, save)
    return [outcomes[number] for number in range(len(specs))]


def found_of(fitting: Fitting) -> Found:
    """The state of a training under way, as if it had been read from its checkpoint."""
    best = copy_of(fitting.best.state) if fitting.best is not None else None
    return Found(fitting.progress.step, fitting.snapshot(), best, [dict(row) for row in fitting.history], ())


def far(found: Sequence[Outcome], expected: Sequence[Outcome], tolerance: float = 1e-9) -> list[str]:
    """Where endings or metrics differ by more than a share of themselves, in words; empty where they agree."""
    problems = []
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        if ours.ending[:1] + ours.ending[2:] != theirs.ending[:1] + theirs.ending[2:]:
            problems.append(f"{number}: ended {ours.ending}, alone {theirs.ending}")
        if [list(row) for row in ours.rows] != [list(row) for row in theirs.rows]:
            problems.append(f"{number}: other columns or another number of rows")
            continue
        for our_row, their_row in zip(ours.rows, theirs.rows, strict=True):
            for key, value in their_row.items():
                if not abs(our_row[key] - value) <= tolerance * abs(value) and our_row[key] == our_row[key]:
                    problems.append(f"{number}: {key} of epoch {our_row['epoch']}: {our_row[key]!r}, alone {value!r}")
                elif (our_row[key] != our_row[key]) != (value != value):
                    problems.append(f"{number}: {key} of epoch {our_row['epoch']}: {our_row[key]}, alone {value}")
    return problems


def same_bits(ours: Outcome, theirs: Outcome) -> bool:
    """Whether two trainings have the same endings, metrics and parameters, to the last bit."""
    return (
        ours.ending == theirs.ending
        and repr(ours.rows) == repr(theirs.rows)  # NaN is equal to NaN here
        and list(ours.weights) == list(theirs.weights)
        and all(torch.equal(tensor, theirs.weights[name]) for name, tensor in ours.weights.items())
    )


def assert_as_alone(
    members: Sequence[Spec], splits: tuple[Any, Any] | None = None, tolerance: float = 1e-9
) -> tuple[list[Outcome], list[Outcome]]:
    """Endings, metrics, best rows, both models, the optimizers' states and the notes are those of lone runs.

    Returns:
        The stacked ones and the lone ones.
    """
    splits = splits or SPLITS
    lone, found = alone(members, *splits), together(members, *splits)
    assert not far(found, lone, tolerance)
    for ours, theirs in zip(found, lone, strict=True):
        assert ours.result.notes == theirs.result.notes
        assert (ours.result.best or {}).get("epoch") == (theirs.result.best or {}).get("epoch")
        assert_close(ours.weights, theirs.weights)
        assert_close(ours.trainer.optimizer.state_dict(), theirs.trainer.optimizer.state_dict())
        for checkpoint in ("best", "last"):
            assert_close(*(one.trainer.evaluate(splits[1], checkpoint=checkpoint) for one in (ours, theirs)))
    return found, lone


def assert_close(ours: Any, theirs: Any) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12, equal_nan=True)


def assert_same_bits(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> None:
    assert [same_bits(*pair) for pair in zip(ours, theirs, strict=True)] == [True] * len(theirs)


def specs(num: int = 4, **settings: Any) -> list[dict[str, Any]]:
    """Members with seeds and rates of their own."""
    return [{"seed": seed, "lr": 0.01 * (1 + seed), **settings} for seed in range(num)]


def readout(mean: float, std: float) -> Readout:
    """Of a target that was standardized with these moments."""
    moments = (torch.tensor([value], dtype=torch.float64) for value in (mean, std))
    return Readout("regression", "value", 0.0, *moments)


SPLITS = rows(), rows(num=17, seed=1)
