"""The batches of several runs at once are those of each run."""

import pytest
import torch

from nnlab.trainer.batches import TensorBatches
from nnlab.trainer.stacked_batches import StackedBatches, by_run, shared_rows


def data(seed: int, num: int = 11, num_classes: int = 0):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(num, 2, generator=random)
    return x, torch.randint(num_classes, (num,), generator=random) if num_classes else x.sum(1, keepdim=True)


def source(pair, seed=0, size=4, shuffle=True):
    return TensorBatches(*pair, size, shuffle, seed)


first, second = data(0), data(1)
CASES = {
    "one": [source(first)],
    "other orders": [source(first, seed) for seed in (3, 1, 2)],
    "some unshuffled": [source(first), source(first, shuffle=False)],
    "all unshuffled": [source(first, shuffle=False)] * 3,
    "other rows": [source(first), source(second), source(first, 5)],
    "other rows in one order": [source(first, 1), source(second, 1)],
    "of one row at the end": [source(first, seed, 5) for seed in range(2)],
    "whole batches": [source(first, seed, 11) for seed in range(2)],
    "larger than the rows": [source(first, seed, 100) for seed in range(2)],
    "classes": [source(data(seed, num_classes=3), seed) for seed in range(3)],
}


@pytest.mark.parametrize("epochs", [(0, 0, 0), (2, 0, 7)])
@pytest.mark.parametrize("name", CASES)
def test_batches_are_those_of_each_run(name, epochs):
    sources = CASES[name]
    batches = StackedBatches(sources).epoch(epochs[: len(sources)])
    for run, (own, epoch) in enumerate(zip(sources, epochs, strict=False)):
        expected = own.epoch(epoch)
        assert len(batches) == len(expected)
        for batch, alone in zip(batches, expected, strict=True):
            assert torch.equal(batch.inputs[run], alone.inputs)
            assert torch.equal(batch.target[run], alone.target)


def test_runs_in_one_order_read_one_batch():
    batches = StackedBatches([source(first, 1)] * 5).epoch([0] * 5)
    assert [batch.inputs.shape for batch in batches] == [(5, 4, 2), (5, 4, 2), (5, 3, 2)]
    assert all(tensor.stride(0) == 0 for batch in batches for tensor in batch[:2])


def test_rows_of_several_runs_are_kept_once():
    inputs, target, first_rows = shared_rows([first, second, first])
    assert (inputs.shape, target.shape, first_rows) == ((22, 2), (22, 1), [0, 11, 0])
    inputs, target, first_rows = shared_rows([first, first])
    assert inputs is first[0]
    assert target is first[1]
    assert first_rows == [0, 0]


def test_rows_that_share_inputs_but_not_targets_are_two():
    other = first[0], first[1] + 1
    assert shared_rows([first, other])[2] == [0, 11]
    _, target = by_run([first, other])
    assert torch.equal(target[1], target[0] + 1)


def test_split_has_a_run_axis_and_is_copied_only_where_runs_differ():
    inputs, target = by_run([first, first, first])
    assert (inputs.shape, target.shape) == ((3, 11, 2), (3, 11, 1))
    assert (inputs.data_ptr(), inputs.stride(0)) == (first[0].data_ptr(), 0)
    inputs, target = by_run([second, first, second])
    for run, pair in enumerate((second, first, second)):
        assert torch.equal(inputs[run], pair[0])
        assert torch.equal(target[run], pair[1])
