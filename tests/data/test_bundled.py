import numpy as np
import pytest
import torch
from sklearn import datasets

from nnlab.data import breast_cancer, diabetes, digits, iris, wine

LOADERS = {
    digits: datasets.load_digits,
    iris: datasets.load_iris,
    wine: datasets.load_wine,
    breast_cancer: datasets.load_breast_cancer,
    diabetes: lambda: datasets.load_diabetes(scaled=False),
}
STRATIFIED = [digits, iris, wine, breast_cancer]
FRACTIONS = [(0.2, 0.2), (0.0, 0.2), (0.2, 0.0), (0.0, 0.0), (0.1, 0.3)]


@pytest.mark.parametrize("make", LOADERS)
@pytest.mark.parametrize(("valid_fraction", "test_fraction"), FRACTIONS)
def test_splits_together_are_every_row_once(make, valid_fraction, test_fraction):
    table = LOADERS[make]()
    data = make(valid_fraction=valid_fraction, test_fraction=test_fraction, seed=3)
    rows = np.concatenate([np.c_[s.inputs.numpy(), s.target.numpy().reshape(len(s))] for s in data.splits.values()])
    expected = np.c_[table.data, table.target].astype(np.float32)
    assert np.array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])
    assert not np.array_equal(rows, expected)
    sizes = {"valid": round(valid_fraction * len(expected)), "test": round(test_fraction * len(expected))}
    assert {name: len(s) for name, s in data.splits.items() if name != "train"} == {n: s for n, s in sizes.items() if s}
    assert list(data.input_names) == list(table.feature_names)


@pytest.mark.parametrize("make", STRATIFIED)
@pytest.mark.parametrize(("valid_fraction", "test_fraction", "seed"), [(0.2, 0.2, 0), (0.1, 0.3, 1), (0.3, 0.1, 2)])
def test_classes_have_their_share_in_every_split(make, valid_fraction, test_fraction, seed):
    table = LOADERS[make]()
    counts = np.bincount(table.target)
    data = make(valid_fraction=valid_fraction, test_fraction=test_fraction, seed=seed)
    assert list(data.class_names) == [str(name) for name in table.target_names]
    for split in data.splits.values():
        found = np.bincount(split.target.numpy().astype(int).reshape(-1), minlength=len(counts))
        assert np.abs(found - counts * len(split) / counts.sum()).max() < 2


@pytest.mark.parametrize("make", LOADERS)
def test_fractions_that_leave_no_training_rows_are_refused(make):
    with pytest.raises(ValueError, match=r"data\.valid_fraction \+ data\.test_fraction: .* found 0\.5 \+ 0\.5"):
        make(valid_fraction=0.5, test_fraction=0.5, seed=0)


def test_diabetes_inputs_are_in_their_own_units():
    data = diabetes(valid_fraction=0.2, test_fraction=0.2, seed=0)
    ages = torch.cat([split.inputs[:, 0] for split in data.splits.values()])
    assert (ages.min(), ages.max()) == (19, 79)
