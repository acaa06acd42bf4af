"""Who shares a stack with whom, and errors of single members."""

from typing import Any

import pytest
import torch
from torch import nn

from nnlab import Trainer
from nnlab.loss import CrossEntropy, Penalty
from nnlab.loss.base import Loss
from nnlab.metric import RMSE
from nnlab.schedule import Schedule
from nnlab.trainer.interrupt import Interrupt
from nnlab.trainer.together import Task, fit_together, place_of, why_alone
from own_models import Own, Scaled, sequence_with_one_activation
from together_runs import SPLITS, Outcome, readout, rows, same_bits, specs, together, trainer


class Failing(Schedule):
    def __init__(self, where: str) -> None:
        super().__init__("epoch", 0)
        self.where = where

    def rate(self, base_lr: float, t: int) -> float:
        if self.where == "rate" and t == 2:
            raise RuntimeError("no rate for epoch 2")
        return base_lr

    def observe(self, value: float, greater_is_better: bool = False) -> None:
        if self.where == "observe":
            raise RuntimeError("nothing to be seen")


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"make_schedule": lambda: Failing("rate")}, "no rate for epoch 2"),
        ({"make_schedule": lambda: Failing("observe")}, "nothing to be seen"),
        ({"optimizer": "SGD", "lr": 1e200}, "value cannot be converted"),
        ({"valid": (torch.zeros(3, 7), torch.zeros(3, 1))}, "give rows of 2"),
    ],
)
def test_error_in_one_ends_that_one_and_moves_no_bit_of_another(stacked, other, text):
    splits = rows(dtype=torch.float32), rows(num=17, seed=1, dtype=torch.float32)
    members = specs(precision="fp32", max_epochs=4)
    reference = together(members, *splits, stacked=stacked)
    mixed = [*members[:2], {**members[2], "seed": 9, **other}, *members[2:]]
    trainers, ended = [], {}
    for member in mixed:
        own = dict(member)
        valid = own.pop("valid", splits[1])
        trainers.append(Task(trainer(**own), splits[0], valid, stacked=stacked))
    fit_together(trainers, lambda number, result, error: ended.setdefault(number, (result, error)))
    assert text in str(ended[2][1])
    assert ended[2][0] is None
    for number, expected in zip((0, 1, 3, 4), reference, strict=True):
        assert ended[number][1] is None
        assert same_bits(Outcome(trainers[number].trainer, ended[number][0]), expected)


class Breaking(Loss):
    """Fails at a certain call, which concerns the whole stack."""

    tasks = frozenset({"regression"})
    reads = "value"

    def __init__(self) -> None:
        self.calls_left = 6

    def per_sample(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls_left -= 1
        if self.calls_left == 0:
            raise RuntimeError("no memory is left")
        return (prediction - target).square().mean(dim=-1)


def test_error_of_the_whole_stack_ends_those_that_are_in_it_and_none_that_has_left():
    ended: list[Any] = []
    loss = Breaking()
    members = [{**member, "make_loss": lambda: loss, "max_epochs": 1 + place} for place, member in enumerate(specs(3))]
    tasks = [Task(trainer(**member), *SPLITS, stacked=True) for member in members]
    fit_together(tasks, lambda number, result, error: ended.append((number, result and result.status, str(error))))
    assert ended == [(0, "completed", "None"), (1, None, "no memory is left"), (2, None, "no memory is left")]


def fitting(**settings: Any) -> Any:
    own = dict(settings)
    train = own.pop("train", SPLITS[0])
    return trainer(**own).begin(train, SPLITS[1], Interrupt())


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 5}, {"lr": 0.5}, {"optimizer": "SGD"}, {"max_epochs": 7}, {"max_steps": 2}, {"eval_every": 2},
        {"grad_clip_norm": 1.0}, {"train": rows(seed=3)}, {"shuffle": False}, {"monitor": "train/loss"},
        {"readout": readout(1.0, 2.0)},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_place_is_the_same_with_another(other):
    same = {"readout": readout(3.0, 4.0)} if "readout" in other else {}
    assert place_of(fitting(**same)) == place_of(fitting(**other))
    assert why_alone(fitting(**other)) is None


@pytest.mark.parametrize(
    "other",
    [
        {"model": {"width": 4}}, {"model": {"activation": "relu"}}, {"model": {"norm": "layer"}}, {"batch_size": 12},
        {"accumulate_steps": 2}, {"precision": "fp32"}, {"penalty": Penalty(l2=0.1)}, {"metrics": None},
        {"make_loss": lambda: CrossEntropy(0.0)}, {"make_loss": lambda: CrossEntropy(0.1)}, {"train": rows(num=25)},
        {"overfit_batches": 1}, {"checkpoint_every": 7}, {"readout": readout(1.0, 2.0)}, {"make_model": Own},
        {"make_model": lambda seed: Own(seed, scale=2.0)}, {"make_loss": lambda: Scaled(1.0)},
        {"make_loss": lambda: Scaled(1.0 + 1e-12)}, {"model": {"dropout": 0.1}},
        {"make_model": sequence_with_one_activation},
    ],
    ids=lambda other: "-".join(other),
)  # fmt: skip
def test_place_differs_with_another(other):
    places = {
        place_of(fitting(**settings)) for settings in ({}, {"make_model": lambda seed: Own(seed, scale=3.0)}, other)
    }
    assert len(places) == 3
    scaled = place_of(fitting(make_loss=lambda: Scaled(1.0 + 2e-12)))
    assert place_of(fitting(**other)) != scaled


def test_probabilities_of_dropout_share_a_place_unless_one_is_zero():
    places = [place_of(fitting(model={"dropout": p})) for p in (0.1, 0.7)]
    assert places[0] == places[1]


def test_metrics_with_settings_of_their_own_do_not_share_a_place():
    class Root(RMSE):  # type: ignore[misc]
        def __init__(self, digits: int) -> None:
            self._digits = digits

    first, second = (fitting() for _ in range(2))
    first.evaluator.metrics, second.evaluator.metrics = [Root(1)], [Root(2)]
    assert place_of(first) != place_of(second)


def test_training_with_torchs_own_dropout_is_resumed_to_the_same_bits_by_itself(tmp_path):
    """In three parts, each of which has the global generator for itself: begun, done, ended."""
    splits = rows(dtype=torch.float32)

    def train(folder, max_epochs, resume=False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        options = {"batch_size": 8, "max_epochs": max_epochs, "device": "cpu", "compile": "off", "folder": folder}
        one = Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.01), **options)
        errors = []
        fit_together([Task(one, splits, None, resume)], lambda number, result, error: errors.append(error))
        one.close()
        assert errors == [None]
        return [parameter.tolist() for parameter in model.parameters()]

    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    train(tmp_path / "parts", 2)
    assert train(tmp_path / "parts", 4, resume=True) == train(tmp_path / "whole", 4)
