"""Every member of a stack has the metrics that it has alone, whatever it is made of."""

from collections import Counter

import pytest
import torch

from nnlab.loss import CrossEntropy
from nnlab.model.activation import ACTIVATIONS
from pairwise import all_pairs, covering, pairs_of
from together_runs import alone, far, found_of, rows, together
from varied_runs import EPOCHS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, is_chaotic, specs_of

FACTORS = {
    "optimizer": list(OPTIMIZERS), "schedule": list(SCHEDULES), "loss": list(LOSSES), "activation": list(ACTIVATIONS),
    "layers": list(LAYERS), "K": [2, 1, 7],
}  # fmt: skip
COVERING = covering(FACTORS, costly=["K"], refused=is_chaotic)


def test_rows_cover_every_pair_of_values():
    pairs = all_pairs(FACTORS)
    sizes = [len(values) for values in FACTORS.values()]
    assert sizes == [14, 12, 13, 23, 4, 3]
    assert len(pairs) == (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2 == 1849
    covered = Counter(pair for row in COVERING for pair in pairs_of(row))
    assert set(covered) == pairs
    assert len(COVERING) >= 300


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_metrics_of_every_epoch_equal_those_alone_to_a_billionth(optimizer):
    problems = []
    for row in COVERING:
        if row["optimizer"] != optimizer:
            continue
        specs, task = specs_of(row)
        train, valid = rows(task), rows(task, 30, seed=1)
        lone, found = alone(specs, train, valid), together(specs, train, valid)
        assert all(outcome.result.status == "completed" and len(outcome.rows) == EPOCHS for outcome in lone), row
        assert all(not outcome.result.notes for outcome in found), (row, found[0].result.notes)
        problems += [f"{row}: {problem}" for problem in far(found, lone)[:1]]
    assert not problems, "\n".join(problems)


SMALL = {"depth": 2, "width": 16, "activation": "relu", "num_outputs": 3}
SINGLE = {"precision": "fp32", "make_loss": lambda: CrossEntropy(0.0), "metrics": "multiclass", "model": SMALL}


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_one_step_in_single_precision_from_states_along_a_run_agrees(optimizer):
    """A network of size 2-16-16-3; each state is gone on with alone and together."""
    train, valid = rows("multiclass", 104, dtype=torch.float32), rows("multiclass", 30, seed=1, dtype=torch.float32)
    specs = [{**SINGLE, "seed": seed, "lr": 0.01 * (1 + seed), "optimizer": optimizer} for seed in range(3)]
    states = []

    def save(live):
        states.append({number: found_of(fitting) for number, fitting in live.items()})

    together([{**spec, "max_epochs": 7, "checkpoint_every": 1} for spec in specs], train, valid, save=save)
    assert [state[0].step for state in states] == list(range(1, 56))
    for found in states[:50]:
        longer = [{**spec, "max_epochs": 7, "max_steps": found[0].step + 1} for spec in specs]
        lone, ours = (together(longer, train, valid, found=found, stacked=stacked) for stacked in (False, True))
        for a, b, before in zip(lone, ours, found.values(), strict=True):
            assert a.result.steps == b.result.steps == before.step + 1
            for name, weight in a.weights.items():
                torch.testing.assert_close(b.weights[name], weight, rtol=1e-5, atol=1e-5 * float(weight.abs().max()))
                assert not torch.equal(weight, before.state["model"][name])
        assert not far(ours, lone, 1e-5)


def test_final_validation_metrics_of_the_small_workload_agree_to_a_thousandth():
    """2-16-16-2 on 500 points, 350 of them trained on in batches of 32 by Adam."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(500, 2, generator=generator)
    data = x, (x.square().sum(1) > 1.4).long()
    train, valid = tuple(t[:350] for t in data), tuple(t[350:] for t in data)
    model = {**SMALL, "num_outputs": 2}
    specs = [
        {**SINGLE, "model": model, "seed": seed, "lr": lr, "batch_size": 32, "max_epochs": 200, "eval_every": 200}
        for seed, lr in enumerate((0.003, 0.01))
    ]
    lone, ours = alone(specs, train, valid), together(specs, train, valid)
    assert all(outcome.rows[-1]["valid/accuracy"] > 0.9 for outcome in lone)
    assert not far(ours, lone, 1e-3)
