"""What stacked optimizers remember: seen through torch's own, taken over from them, left to them."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor

from stacked_runs import CASES, FUSED, Case, Runs, grads_of, make_runs, rates_of

STEPS = 8
RATES, GRADS = rates_of(2 * STEPS, 3), grads_of(2 * STEPS, 3, torch.float64)


def runs_of(case: Case, fused: bool = False) -> Runs:
    return make_runs(case, 3, dtype=torch.float64, decay="groups", fused=fused)


def trained_together(runs: Runs, first: int, last: int):
    update = runs.stacked()
    update.plan_rates(RATES[first:last])
    for grad in GRADS[first:last]:
        update.step(runs.weights, grad.clone())
    return update


def trained_alone(runs: Runs, first: int, last: int) -> None:
    for step in range(first, last):
        runs.step_alone(RATES[step], GRADS[step])


def form(state_dict: dict) -> list:
    """The structure of an optimizer's state: names in their order, types, shapes, devices."""
    return [
        (number, [(name, value.dtype, value.shape, value.device, type(value)) for name, value in state.items()])
        for number, state in state_dict["state"].items()
    ] + [list(group) for group in state_dict["param_groups"]]


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


FORMS = [(case, fused) for case in CASES for fused in (False, True) if case.kind in FUSED or not fused]


@pytest.mark.parametrize(("case", "fused"), FORMS, ids=str)
def test_state_dict_has_torchs_form_and_goes_on_alone(case: Case, fused: bool) -> None:
    together, copied, alone = (runs_of(case, fused) for _ in range(3))
    trained_together(together, 0, STEPS).mirror()
    trained_alone(alone, 0, STEPS)
    for ours, theirs in zip(together.optimizers, alone.optimizers, strict=True):
        assert form(ours.state_dict()) == form(theirs.state_dict())
    copied.weights.copy_(together.weights)
    for own, optimizer in zip(copied.optimizers, together.optimizers, strict=True):
        own.load_state_dict(deepcopy(optimizer.state_dict()))
    # Both the views themselves and a copy of them, such as a checkpoint, go on in plain torch.
    for runs in (together, copied, alone):
        trained_alone(runs, STEPS, 2 * STEPS)
    assert_close(together.weights, alone.weights)
    assert_close(copied.weights, alone.weights)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_runs_in_mid_course_are_taken_over(case: Case) -> None:
    together, alone = runs_of(case), runs_of(case)
    for runs in (together, alone):
        trained_alone(runs, 0, STEPS)
    update = trained_together(together, STEPS, 2 * STEPS)
    trained_alone(alone, STEPS, 2 * STEPS)
    assert_close(together.weights, alone.weights)
    if case.kind != "SGD":
        assert update.num_steps.tolist() == [2 * STEPS] * 3


@pytest.mark.parametrize("case", CASES, ids=str)
def test_later_steps_are_seen_through_the_views(case: Case) -> None:
    runs, other = runs_of(case), runs_of(case)
    update = runs.stacked()
    update.plan_rates(RATES[:STEPS])
    for step in range(STEPS):
        update.step(runs.weights, GRADS[step].clone())
        if step == 2:
            update.mirror()
    trained_together(other, 0, STEPS).mirror()
    for ours, theirs in zip(runs.optimizers, other.optimizers, strict=True):
        for state, expected in zip(ours.state.values(), theirs.state.values(), strict=True):
            assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_that_have_not_begun_look_as_torch_leaves_them(case: Case) -> None:
    runs, fresh = runs_of(case), runs_of(case)
    update = runs.stacked()
    update.plan_rates(RATES[:2])
    update.mirror()
    for ours, theirs in zip(runs.optimizers, fresh.optimizers, strict=True):
        assert form(ours.state_dict()) == form(theirs.state_dict())
        for state, expected in zip(ours.state.values(), theirs.state.values(), strict=True):
            assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_put_back_goes_the_same_way_again(case: Case) -> None:
    runs = runs_of(case)
    update = trained_together(runs, 0, 0)
    kept, num_steps = [tensor.clone() for tensor in [runs.weights, *update.tensors()]], update.num_steps.copy()
    update.plan_rates(RATES[:STEPS])
    for grad in GRADS[:STEPS]:
        update.step(runs.weights, grad.clone())
    update.mirror()
    after = [tensor.clone() for tensor in [runs.weights, *update.tensors()]]
    for tensor, earlier in zip([runs.weights, *update.tensors()], kept, strict=True):
        tensor[1] = earlier[1]
    update.num_steps[1] = num_steps[1]
    update.mirror()
    update.plan_rates(RATES[:STEPS])
    assert len(runs.optimizers[1].state) == (4 if case.kind == "Adagrad" else 0)
    for grad in GRADS[:STEPS]:
        update.step(runs.weights, grad.clone())
    for tensor, expected in zip([runs.weights, *update.tensors()], after, strict=True):
        assert torch.equal(tensor[1], expected[1])


def test_adagrad_whose_state_was_emptied_starts_from_its_initial_value() -> None:
    together, alone = runs_of(Case("Adagrad")), runs_of(Case("Adagrad"))
    for runs in (together, alone):
        for optimizer in runs.optimizers:
            optimizer.state.clear()
            for settings in (optimizer.defaults, *optimizer.param_groups):
                settings["initial_accumulator_value"] = 0.5
    trained_together(together, 0, STEPS)
    trained_alone(alone, 0, STEPS)
    assert_close(together.weights, alone.weights)


def test_counts_follow_torchs_default_data_type() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        for kind in ("Adam", "NAdam"):
            case = Case(kind, {})
            together, alone = runs_of(case), runs_of(case)
            trained_together(together, 0, STEPS).mirror()
            trained_alone(alone, 0, STEPS)
            assert form(together.optimizers[0].state_dict()) == form(alone.optimizers[0].state_dict())
            assert_close(together.weights, alone.weights)
    finally:
        torch.set_default_dtype(torch.float32)


def test_step_that_is_not_planned_is_refused() -> None:
    runs = runs_of(Case("SGD"))
    update = runs.stacked()
    update.plan_rates(np.full((1, 3), 0.1))
    update.step(runs.weights, GRADS[0].clone())
    with pytest.raises(AssertionError, match="not planned"):
        update.step(runs.weights, GRADS[0].clone())
