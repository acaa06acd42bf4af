"""A row of a stacked optimizer has the same bits whatever its neighbours are and do."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnlab.optim.stacked import stacked_update
from stacked_runs import CASES, SIZE, Case, Runs, grads_of, make_runs, padded, rates_of

STEPS = 4
ROWS = 9


def chosen(runs: Runs, rows: Sequence[int]) -> Runs:
    """Some of the runs, with weights of their own."""
    weights = runs.weights[list(rows)]
    parameters = [runs.parameters[row] for row in rows]
    optimizers = [runs.optimizers[row] for row in rows]
    return Runs(parameters, optimizers, weights)


def trained(
    case: Case, rows: Sequence[int], dtype: torch.dtype, poisoned: Sequence[int] = (), padded_to: int = SIZE
) -> list[Tensor]:
    """Weights and state after some steps, each with the given rows of nine as its first axis."""
    runs = chosen(make_runs(case, ROWS, dtype=dtype, decay="groups", padded_to=padded_to), rows)
    rates, grads = rates_of(STEPS, ROWS)[:, list(rows)], grads_of(STEPS, ROWS, dtype)[:, list(rows)]
    for number, row in enumerate(rows):
        if row in poisoned:
            runs.weights[number] = torch.tensor([np.nan, np.inf])[row % 2]
            grads[:, number] = torch.tensor([np.inf, np.nan])[row % 2]
            rates[:, number] = np.inf
    update = runs.stacked()
    update.plan_rates(rates)
    for grad in grads:
        update.step(runs.weights, padded(grad, runs.weights))
    return [runs.weights[:, :SIZE], *update.tensors()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_bits_of_a_row_depend_on_nothing_else(case: Case, dtype: torch.dtype) -> None:
    everyone = trained(case, range(ROWS), dtype)
    selections: list[tuple[list[int], int]] = [
        *(([(row + 3) % ROWS for row in range(num_rows)], SIZE) for num_rows in range(1, ROWS)),
        ([8, 7, 6, 5, 4, 3, 2, 1, 0], SIZE),
        ([2, 5], 32),
        ([4], 32),
    ]
    for rows, padded_to in selections:
        for found, expected in zip(trained(case, rows, dtype, padded_to=padded_to), everyone, strict=True):
            assert torch.equal(found, expected[rows]), (rows, padded_to)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_full_of_nan_and_infinity_change_no_other_bit(case: Case) -> None:
    everyone = trained(case, range(ROWS), torch.float32)
    beside = trained(case, range(ROWS), torch.float32, poisoned=(2, 6, 7))
    sound = [0, 1, 3, 4, 5, 8]
    for found, expected in zip(beside, everyone, strict=True):
        assert torch.equal(found[sound], expected[sound])


@pytest.mark.parametrize("size", [1, 31, 40_001])  # the last is cut in pieces for several threads, and has a tail
@pytest.mark.parametrize("case", [case for case in CASES if not case.flags.get("maximize")], ids=str)
def test_bits_of_long_rows_do_not_depend_on_their_number(case: Case, size: int) -> None:
    def run(rows: Sequence[int]) -> list[Tensor]:
        whole = torch.from_numpy(np.random.default_rng(5).normal(size=(3, 3, size)).astype(np.float32))
        weights, *grads = whole[:, list(rows)]
        parameters = [[nn.Parameter(row)] for row in weights]
        optimizers = [
            getattr(torch.optim, case.kind)(own, **case.settings(np.random.default_rng([row, 1])))
            for row, own in zip(rows, parameters, strict=True)
        ]
        update = stacked_update(optimizers, parameters, weights)
        update.plan_rates(rates_of(2, 3)[:, list(rows)])
        for grad in grads:
            update.step(weights, grad.clone())
        return [weights, *update.tensors()]

    everyone = run([0, 1, 2])
    for rows in ([0], [2, 1], [1]):
        for found, expected in zip(run(rows), everyone, strict=True):
            assert torch.equal(found, expected[rows])
