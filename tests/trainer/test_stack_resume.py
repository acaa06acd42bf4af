"""Stacks that end early or are saved under way, and trainings that go on from there."""

import os
import signal
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from nnlab.callback import Callback, EarlyStopping
from nnlab.loss.base import Loss
from nnlab.metrics_file import read_metrics
from nnlab.schedule import Exponential, Plateau
from together_runs import (
    assert_same_bits,
    found_of,
    rows,
    specs,
    together,
)

K = 4


class KillingLoss(Loss):
    """Squared errors; at a certain call it sends this process a signal."""

    tasks = frozenset({"regression"})
    reads = "value"

    def __init__(self, at_call: int) -> None:
        self.calls_left = at_call

    def per_sample(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls_left -= 1
        if self.calls_left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return (prediction - target).square().mean(dim=-1)


class Killing(Callback):
    """Sends this process a signal after an evaluation."""

    def __init__(self, at_epoch: int) -> None:
        self.at_epoch = at_epoch

    def on_evaluation(self, view: Any, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        if epoch == self.at_epoch:
            os.kill(os.getpid(), signal.SIGTERM)


def with_folders(members: list[dict[str, Any]], folder: Any) -> list[dict[str, Any]]:
    made = [{**member, "folder": folder / str(place)} for place, member in enumerate(members)]
    for member in made:
        member["folder"].mkdir(parents=True, exist_ok=True)
    return made


def table(member: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "time_s"} for row in read_metrics(member["folder"] / "metrics.csv")]


GOING_ON: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout and momentum": {"model": {"dropout": 0.3}, "optimizer": "SGD", "optim": {"momentum": 0.9}},
    "batch norm": {"model": {"norm": "batch"}},
    "adagrad in single precision": {"optimizer": "Adagrad", "precision": "fp32"},
    "early stopping and plateau": {
        "make_callbacks": lambda: [EarlyStopping(3, 0.0, None)],
        "make_schedule": lambda: Plateau(0.5, 0, 0.1, "rel", 0, 0.0, "epoch", 0),
    },
    "accumulating": {"accumulate_steps": 2},
    "rarely evaluated": {"eval_every": 3},
    "without metrics": {"metrics": None},
}  # fmt: skip


def splits_for(settings: Mapping[str, Any]) -> Any:
    dtype = torch.float32 if settings.get("precision") == "fp32" else torch.float64
    return rows(num=37, dtype=dtype), rows(num=17, seed=1, dtype=dtype)


@pytest.mark.parametrize("name", GOING_ON)
def test_state_saved_at_any_step_goes_on_to_the_bits_of_an_uninterrupted_stack(name):
    """In stacks of any width: two members of four are gone on with, and one."""
    settings = {"batch_size": 8, "max_epochs": 4, **GOING_ON[name]}
    members, splits = specs(**settings), splits_for(settings)
    states: list[dict[int, Any]] = []

    def save(live: Any) -> None:
        states.append({number: found_of(fitting) for number, fitting in live.items()})

    whole = together(members, *splits)
    saved = together([{**member, "checkpoint_every": 1} for member in members], *splits, save=save)
    assert_same_bits(saved, whole)
    num_steps = whole[0].result.steps
    assert [state[0].step for state in states] == list(range(1, num_steps))
    for state in states[:: 2 if len(states) > 12 else 1]:
        assert len(state) == K
        for part in ([0, 1, 2, 3], [1, 3], [2]):
            gone_on = together(
                [members[number] for number in part], *splits,
                found={place: state[number] for place, number in enumerate(part)},
            )  # fmt: skip
            expected = [whole[number] for number in part]
            assert_same_bits(gone_on, expected)


def test_states_of_different_moments_go_on_in_one_call():
    """Those at the same place of their epochs share a stack, whatever the epoch."""
    settings = {"batch_size": 8, "max_epochs": 3}
    splits = rows(num=37), rows(num=17, seed=1)
    states: list[dict[int, Any]] = []

    def save(live: Any) -> None:
        states.append({number: found_of(fitting) for number, fitting in live.items()})

    whole = together(specs(**settings, checkpoint_every=1), *splits, save=save)
    moments = [3, 7, 8, 12]
    found = {place: states[step - 1][place] for place, step in enumerate(moments)}
    assert [state.step for state in found.values()] == moments
    assert_same_bits(together(specs(**settings, checkpoint_every=1), *splits, found=found), whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize("step", [1, 3, 7])
def test_signal_in_mid_epoch_ends_all_and_each_goes_on_from_its_own_folder(number, step, tmp_path):
    settings = {"batch_size": 8, "max_epochs": 3, "model": {"dropout": 0.2}}
    splits = rows(num=37), rows(num=17, seed=1)
    whole = with_folders(specs(**settings), tmp_path / "whole")
    expected = together(whole, *splits)

    def save(live: Any) -> None:
        os.kill(os.getpid(), number)

    members = with_folders(specs(**settings, checkpoint_every=step), tmp_path / "killed")
    stopped = together(members, *splits, save=save)
    status = {signal.SIGINT: "interrupted", signal.SIGUSR1: "preempted"}[number]
    assert [outcome.ending[:4] for outcome in stopped] == [
        (status, f"{number.name} after step {step}", step // 5, step)
    ] * K
    assert all(outcome.result.signal == number for outcome in stopped)
    first, rest = together(members[:1], *splits, resume=True), together(members[1:], *splits, resume=True)
    assert_same_bits([*first, *rest], expected)
    assert [table(member) for member in members] == [table(member) for member in whole]


@pytest.mark.parametrize("call", [1, 3, 8])
def test_signal_during_a_step_ends_all_after_it_and_each_goes_on(call, tmp_path):
    settings = {"batch_size": 8, "max_epochs": 3}
    splits = rows(num=37), rows(num=17, seed=1)
    whole = with_folders(specs(**settings, make_loss=lambda: KillingLoss(0)), tmp_path / "whole")
    expected = together(whole, *splits)
    members = with_folders(specs(**settings), tmp_path / "killed")
    stopped = together([{**member, "make_loss": lambda: KillingLoss(call)} for member in members], *splits)
    # The sixth call is the evaluation of the first epoch's five steps.
    assert [outcome.result.steps for outcome in stopped] == [call - (call > 5)] * K
    gone_on = together([{**member, "make_loss": lambda: KillingLoss(0)} for member in members], *splits, resume=True)
    assert_same_bits(gone_on, expected)
    assert [table(member) for member in members] == [table(member) for member in whole]


def test_signal_at_the_end_of_an_epoch_ends_all_and_each_goes_on(tmp_path):
    splits = rows(num=37), rows(num=17, seed=1)
    settings = {"batch_size": 8, "max_epochs": 3}
    whole = with_folders(specs(**settings), tmp_path / "whole")
    expected = together(whole, *splits)
    members = with_folders(specs(**settings), tmp_path / "killed")
    stopped = together(
        [{**member, "make_callbacks": lambda: [Killing(2)]} for member in members[:1]] + members[1:], *splits
    )
    assert [outcome.ending[0] for outcome in stopped] == ["interrupted"] * K
    assert [(outcome.result.epochs, len(outcome.rows)) for outcome in stopped] == [(2, 2)] * K
    going_on = together(members, *splits, resume=True)
    assert_same_bits(going_on, expected)
    assert [table(member) for member in members] == [table(member) for member in whole]


def test_training_whose_steps_were_done_when_the_signal_came_only_lacks_its_evaluation(tmp_path):
    schedule = {"make_schedule": lambda: Exponential(gamma=0.9, unit="step", warmup_steps=0)}
    settings = {"batch_size": 8, "max_epochs": 3, "max_steps": 7, **schedule}
    splits = rows(num=37), rows(num=17, seed=1)
    expected = together(specs(**settings), *splits)
    members = with_folders(specs(**settings, checkpoint_every=7), tmp_path)
    long = [{**member, "max_steps": None} for member in members]
    together(long, *splits, save=lambda live: os.kill(os.getpid(), signal.SIGTERM))
    found = together(members, *splits, resume=True)
    assert_same_bits(found, expected)
    assert [outcome.result.steps for outcome in found] == [7] * K


@pytest.mark.parametrize("ending", [{"max_epochs": 2}, {"max_epochs": 3, "max_steps": 7}])
def test_finished_training_is_taken_as_it_is(ending, tmp_path):
    splits = rows(num=37), rows(num=17, seed=1)
    members = with_folders(specs(batch_size=8, **ending), tmp_path)
    expected = together(members, *splits)
    assert_same_bits(together(members, *splits, resume=True), expected)


def test_finished_members_do_not_hold_up_one_that_has_more_to_do(tmp_path):
    splits = rows(num=37), rows(num=17, seed=1)
    members = with_folders(specs(batch_size=8, max_epochs=2), tmp_path)
    together(members, *splits)
    longer = [{**member, "max_epochs": 4 if place == 2 else 2} for place, member in enumerate(members)]
    found = together(longer, *splits, resume=True)
    expected = together([{k: v for k, v in member.items() if k != "folder"} for member in longer], *splits)
    assert_same_bits(found, expected)
