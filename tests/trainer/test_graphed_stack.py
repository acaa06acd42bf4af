"""Stacks whose steps are CUDA graphs; see ``test_graphed.py`` for what is tested on the CPU."""

from functools import partial

import pytest
import torch

from graphed_runs import DEVICES, use
from nnlab.loss import CrossEntropy
from nnlab.schedule import Constant
from nnlab.trainer import static_stack
from nnlab.trainer.stack import Stack
from own_models import Own
from together_runs import alone, assert_same_bits, far, found_of, rows, specs, together


@pytest.fixture(params=DEVICES, autouse=True)
def device(request, monkeypatch):
    use(request.param, monkeypatch)
    monkeypatch.setattr("nnlab.trainer.together.Stack", lambda *given: Stack(*given[:4], is_recorded=True))
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """How many programs were made, by the number of rows of their stacks."""
    made = []
    program = static_stack.Program

    def counted(steps, touched, keeps_outputs):
        made.append(len(touched.tensors[0]))
        return program(steps, touched, keeps_outputs)

    monkeypatch.setattr(static_stack, "Program", counted)
    return made


MEMBERS = {
    "adam": specs(),
    "in order": specs(shuffle=False),
    "all the same rows": [{"lr": lr, "shuffle": False} for lr in (0.1, 0.01, 0.001)],
    "the same rows until one leaves": [
        {"lr": 0.01 * (1 + n), "shuffle": False, "max_epochs": 2 + 3 * (n > 0)} for n in range(5)
    ],
    "a single step": specs(batch_size=100),
    "added up": specs(batch_size=5, accumulate_steps=2),
    "added up to one step": specs(accumulate_steps=2),
    "dropout": specs(model={"dropout": 0.3}),
    "batch norm, clipped": specs(model={"norm": "batch"}, grad_clip_norm=0.2, batch_size=8),
    "momentum, warm-up": specs(
        optimizer="SGD", optim={"momentum": 0.9}, make_schedule=lambda: Constant(unit="step", warmup_steps=9)
    ),
    "optimizers of two kinds": [{"optimizer": kind, "seed": len(kind)} for kind in ("RAdam", "SGD", "NAdam", "Adam")],
    "classes": specs(
        make_loss=lambda: CrossEntropy(0.1), metrics="multiclass", model={"num_outputs": 3}, train=rows("multiclass"),
        valid=rows("multiclass", 17, 1),
    ),
    "clipped or not": [{"seed": 1}, {"seed": 2, "grad_clip_norm": 0.1}],
    "own module": specs(make_model=partial(Own, does="in place")),
    "metrics now and then": specs(eval_every=2),
    "lengths": [{"seed": seed, "max_steps": 1 + 2 * seed} for seed in range(4)],
}  # fmt: skip


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_members_end_as_alone(members, made):
    members = [{"max_epochs": 6, **spec} for spec in members]
    splits = rows(), rows(num=17, seed=1)
    found = together(members, *splits)
    assert made
    lone = alone([{**spec, "compile": "off"} for spec in members], *splits)
    assert not far(found, lone)
    for ours, theirs in zip(found, lone, strict=True):
        assert ours.result.notes == theirs.result.notes
        torch.testing.assert_close(ours.weights, theirs.weights, rtol=1e-9, atol=1e-12)
        states = [one.trainer.optimizer.state_dict() for one in (ours, theirs)]
        torch.testing.assert_close(*states, rtol=1e-9, atol=1e-12)
        grads = [[parameter.grad for parameter in one.trainer.model.parameters()] for one in (ours, theirs)]
        torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-12)


def test_steps_are_made_anew_when_the_stack_shrinks(made):
    members = [{"seed": seed, "max_epochs": 2 + 3 * (seed > 1)} for seed in range(5)]
    splits = rows(), rows(num=17, seed=1)
    found = together(members, *splits)
    assert [ours.result.epochs for ours in found] == [2, 2, 5, 5, 5]
    assert len(made) == 2
    assert made[0] - made[1] == 2
    assert not far(found, alone(members, *splits))


def test_bits_do_not_depend_on_how_many_steps_a_call_does():
    splits = rows(num=67), rows(num=17, seed=1)
    ways = [{}, {}, {"checkpoint_every": 1}, {"checkpoint_every": 3}]
    runs = [together(specs(**way, model={"dropout": 0.2}, batch_size=5), *splits) for way in ways]
    for other in runs[1:]:
        assert_same_bits(runs[0], other)


def test_stack_goes_on_where_another_process_was(device):
    splits = rows(num=40), rows(num=17, seed=1)
    members = specs(batch_size=7, checkpoint_every=4, model={"dropout": 0.2, "norm": "batch"}, optimizer="NAdam")
    states = []
    whole = together(members, *splits, save=lambda live: states.append({n: found_of(f) for n, f in live.items()}))
    assert [state[0].step for state in states] == [4, 8, 12, 16]
    for found in states:
        assert_same_bits(together(members, *splits, found=found), whole)


def test_divergence_of_one_is_found_where_it_is_alone():
    members = [
        {"seed": seed, "lr": lr, "optimizer": "SGD", "batch_size": 7} for seed, lr in enumerate((0.01, 1e3, 0.02))
    ]
    members = [{**spec, "model": {"activation": "relu"}, "max_epochs": 30} for spec in members]
    splits = rows(num=40), rows(num=17, seed=1)
    found, lone = together(members, *splits), alone(members, *splits)
    assert [ours.ending[0] for ours in found] == ["completed", "diverged", "completed"]
    assert not far(found, lone)


def test_what_cannot_be_recorded_is_computed_by_torchs_own_operations_and_named(made):
    members = [{"seed": seed, "model": {"dropout": 0.1 * (1 + seed)}} for seed in range(3)]
    splits = rows(), rows(num=17, seed=1)
    found, lone = together(members, *splits), alone(members, *splits)
    assert not made
    assert not far(found, lone)
    assert all("the stack's steps are no CUDA graphs" in ours.result.notes[0] for ours in found)
    assert all("lift_fresh" in ours.result.notes[0] for ours in found)
