"""Planning a stack without stepping it, for whoever does the arithmetic elsewhere."""

import numpy as np
import pytest
import torch

from stacked_runs import CASES, Case, grads_of, make_runs, rates_of

STEPS = 12
RATES, GRADS = rates_of(STEPS, 3), grads_of(STEPS, 3, torch.float64)


def stack_of(case: Case):
    runs = make_runs(case, 3, dtype=torch.float64, decay="groups")
    return runs, runs.stacked()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_looking_at_a_plan_changes_no_step(case: Case) -> None:
    (runs, update), (others, undisturbed) = stack_of(case), stack_of(case)
    for each in (update, undisturbed):
        each.plan_rates(RATES)
    for step in range(STEPS):
        if step:
            planned = update.plan(RATES[step : step + 2])
            assert planned.shape[::2] == (min(2, STEPS - step), 3)
        update.step(runs.weights, GRADS[step].clone())
        undisturbed.step(others.weights, GRADS[step].clone())
    assert torch.equal(runs.weights, others.weights)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_counted_at_once_are_counted_as_those_taken(case: Case) -> None:
    (runs, taken), (_, counted) = stack_of(case), stack_of(case)
    taken.plan_rates(RATES)
    for step in range(STEPS):
        taken.step(runs.weights, GRADS[step].clone())
    for num_steps in (0, 5, 7):
        counted.advance(num_steps)
    assert np.array_equal(counted.num_steps, taken.num_steps)
    sizes = len(taken.buffers_of_rows())
    for ours, theirs in zip(counted.tensors()[:-sizes], taken.tensors()[:-sizes], strict=True):
        assert torch.equal(ours, theirs)
    assert np.array_equal(counted.plan(RATES), taken.plan(RATES))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_stack_that_looks_again_sees_what_torch_has_done(case: Case) -> None:
    (runs, update), (others, _) = stack_of(case), stack_of(case)
    update.plan_rates(RATES[:3])
    for step in range(3):
        update.step(runs.weights, GRADS[step].clone())
    update.mirror()
    for step in range(3, 6):
        runs.step_alone(RATES[step], GRADS[step])
    runs.optimizers[1].load_state_dict(runs.optimizers[1].state_dict())
    update.take_over()
    update.plan_rates(RATES[6:])
    for step in range(6, STEPS):
        update.step(runs.weights, GRADS[step].clone())
    for step in range(STEPS):
        others.step_alone(RATES[step], GRADS[step])
    scale = float(others.weights.abs().max())
    torch.testing.assert_close(runs.weights, others.weights, rtol=1e-11, atol=1e-12 * scale)
