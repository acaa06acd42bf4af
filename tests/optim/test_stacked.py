"""Stacked optimizers against torch.optim, run by run."""

import numpy as np
import pytest
import torch

from nnlab.optim.stacked import FORMS
from stacked_runs import CASES, FUSED, SIZE, Case, grads_of, make_runs, padded, rates_of

STEPS = 50


def assert_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * scale)


def assert_same_runs(found, expected, tolerance: float) -> None:
    assert_close(found.weights, expected.weights, tolerance)
    for ours, theirs in zip(found.optimizers, expected.optimizers, strict=True):
        ours, theirs = ours.state_dict()["state"], theirs.state_dict()["state"]
        assert list(ours) == list(theirs)
        for number, state in theirs.items():
            assert list(ours[number]) == list(state)
            for name, value in state.items():
                assert_close(ours[number][name], value, tolerance)


def test_cases_cover_every_stacked_class() -> None:
    assert {case.kind for case in CASES} == {kind.__name__ for kind in FORMS}
    assert len(CASES) == 42


@pytest.mark.parametrize(("num_rows", "decay"), [(1, "none"), (2, "some"), (7, "groups")])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fifty_steps_in_double_precision_equal_torch(case: Case, num_rows: int, decay: str) -> None:
    alone, together = (make_runs(case, num_rows, dtype=torch.float64, decay=decay) for _ in range(2))
    rates, grads = rates_of(STEPS, num_rows), grads_of(STEPS, num_rows, torch.float64)
    update = together.stacked()
    for first in range(0, STEPS, 20):
        update.plan_rates(rates[first : first + 20])
        for step in range(first, min(first + 20, STEPS)):
            update.step(together.weights, grads[step].clone())
    update.mirror()
    for step in range(STEPS):
        alone.step_alone(rates[step], grads[step])
    assert_same_runs(together, alone, 1e-12)
    assert update.num_steps.tolist() == [STEPS] * num_rows


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_that_begin_at_different_steps_equal_torch(case: Case) -> None:
    """Rows 1 and 2 come in mid-course; RAdam rectifies some rows and others not yet."""
    alone, together = (make_runs(case, 4, dtype=torch.float64, decay="groups") for _ in range(2))
    rates, grads = rates_of(STEPS, 4), grads_of(STEPS, 4, torch.float64)
    for runs in (alone, together):
        for row, ahead in ((1, 3), (2, 12)):
            for step in range(ahead):
                runs.step_one(row, rates[step, row], -grads[step])
    update = together.stacked()
    update.plan_rates(rates)
    for step in range(STEPS):
        update.step(together.weights, grads[step].clone())
        alone.step_alone(rates[step], grads[step])
    update.mirror()
    assert_same_runs(together, alone, 1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_step_in_single_precision_equals_torch_from_states_along_a_run(case: Case) -> None:
    """Torch's fused form where there is one, along thirty steps of its own."""
    alone = make_runs(case, 3, dtype=torch.float32, decay="groups", fused=case.kind in FUSED)
    rates, grads = rates_of(30, 3), grads_of(30, 3, torch.float32)
    for step in range(30):
        if step > 3 and step % 5:
            alone.step_alone(rates[step], grads[step])
            continue
        together = make_runs(case, 3, dtype=torch.float32, decay="groups", fused=case.kind in FUSED)
        together.weights.copy_(alone.weights)
        for ours, theirs in zip(together.optimizers, alone.optimizers, strict=True):
            ours.load_state_dict(theirs.state_dict())
        update = together.stacked()
        update.plan_rates(rates[step : step + 1])
        update.step(together.weights, grads[step].clone())
        update.mirror()
        alone.step_alone(rates[step], grads[step])
        assert_same_runs(together, alone, 1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_padding_is_never_touched(case: Case) -> None:
    """Even with eps = 0, where a gradient of 0 would divide 0 by 0."""
    runs = make_runs(case, 3, dtype=torch.float32, decay="groups", padded_to=32)
    for optimizer in runs.optimizers:
        for group in optimizer.param_groups:
            group.update({"eps": 0.0} if "eps" in group else {})
    update = runs.stacked()
    update.plan_rates(rates_of(3, 3))
    for grad in grads_of(3, 3, torch.float32):
        update.step(runs.weights, padded(grad, runs.weights))
    assert torch.equal(runs.weights[:, SIZE:], torch.zeros(3, 32 - SIZE))
    assert runs.weights.isfinite().all()


def test_rate_of_zero_changes_no_weight() -> None:
    for case in CASES:
        if case.kind == "Rprop":  # its rate is the first step's size, kept within its limits
            continue
        runs = make_runs(case, 2, dtype=torch.float64, decay="some")
        before = runs.weights.clone()
        update = runs.stacked()
        update.plan_rates(np.zeros((2, 2)))
        update.step(runs.weights, torch.zeros(2, SIZE, dtype=torch.float64))
        update.step(runs.weights, torch.ones(2, SIZE, dtype=torch.float64))
        assert torch.equal(runs.weights, before), case
