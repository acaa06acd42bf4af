"""The rows of a data set dealt onto folds, beside scikit-learn's."""

import math

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold, StratifiedKFold

from nnlab.data import celsius, digits, inline, iris, wine
from nnlab.data.dataset import Dataset, Split
from nnlab.data.folds import fold_words, num_held_out, with_fold
from nnlab.rows import build_data

FRACTIONS = {"valid_fraction": 0.2, "test_fraction": 0.2, "seed": 0}
SETS = {
    "celsius": celsius,
    "digits": lambda: digits(**FRACTIONS),
    "iris": lambda: iris(**FRACTIONS),
    "wine": lambda: wine(**FRACTIONS),
}


def numbered(codes: list[int]) -> Dataset:
    """Row n has the input n."""
    return inline(inputs=list(range(len(codes))), targets=codes, task="multiclass")


def ids(split: Split) -> list[int]:
    return split.inputs[:, 0].long().tolist()


def rows_of(*splits: Split | None) -> torch.Tensor:
    return torch.cat([torch.cat([one.inputs, one.target.view(len(one), -1)], dim=1) for one in splits if one])


def in_order(rows: torch.Tensor) -> list[tuple[float, ...]]:
    return sorted(map(tuple, rows.tolist()))


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("name", SETS)
def test_each_row_is_held_out_once_and_otherwise_trained_on(name, folds):
    own = SETS[name]()
    cut = [with_fold(own, folds, fold, seed=0) for fold in range(folds)]
    dealt = in_order(rows_of(own.train, own.valid))
    assert in_order(rows_of(*(one.valid for one in cut))) == dealt
    for one in cut:
        assert in_order(rows_of(one.train, one.valid)) == dealt
        assert one.test is own.test


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("name", SETS)
def test_sizes_of_folds_and_of_classes_in_them_are_those_of_scikit_learn(name, folds):
    own = SETS[name]()
    target = rows_of(own.train, own.valid)[:, -1].numpy()
    reference = (StratifiedKFold if own.class_names else KFold)(folds).split(np.zeros(len(target)), target)
    cut = [with_fold(own, folds, fold, seed=0).valid for fold in range(folds)]
    assert [len(one) for one in cut] == [len(held_out) for _, held_out in reference]
    assert [len(one) for one in cut] == [num_held_out(len(target), folds, fold) for fold in range(folds)]
    for code in range(len(own.class_names)):
        counts = [int((one.target == code).sum()) for one in cut]
        assert sum(counts) == (target == code).sum()
        assert max(counts) - min(counts) <= 1


def test_cut_depends_on_seed_alone_and_rows_keep_their_order():
    data = numbered([0, 1, 2] * 20)
    held_out = [ids(with_fold(data, 4, 1, seed).valid) for seed in (0, 0, 1)]
    assert held_out[0] == held_out[1] != held_out[2]
    for one in (with_fold(data, 4, 1, 0).train, with_fold(data, 4, 1, 0).valid):
        assert ids(one) == sorted(ids(one))


def test_rows_are_shuffled_before_they_are_dealt():
    held_out = ids(with_fold(inline(list(range(100)), [float(n) for n in range(100)]), 5, 0, 0).valid)
    steps = np.diff(held_out)
    assert len(set(steps)) > 3  # every fifth row would have one


def test_binary_classes_are_dealt_evenly_too():
    data = inline(inputs=list(range(30)), targets=[1] * 10 + [0] * 20)
    assert [int(with_fold(data, 5, fold, 0).valid.target.sum()) for fold in range(5)] == [2] * 5


def test_without_folds_the_data_set_is_its_own():
    data = numbered([0, 0, 1, 1])
    assert with_fold(data, None, 0, 0) is data


def test_preprocessing_is_of_the_folds_training_rows_alone():
    inputs = [float(n) ** 2 for n in range(10)]
    node = {
        "_target_": "nnlab.data.inline", "inputs": inputs, "targets": [2 * x + 0.5 for x in inputs], "task": None,
        "batch_size": 4, "shuffle": True, "standardize": True, "standardize_target": True, "folds": 5, "fold": 3,
    }  # fmt: skip
    dataset, preprocessing = build_data({"data": node, "plugins": []})
    own = [x for x in inputs if x not in dataset.valid.inputs.flatten().tolist()]
    assert len(own) == 8
    assert preprocessing.input_moments.mean[0] == pytest.approx(np.mean(own), rel=1e-12)
    assert preprocessing.input_moments.std[0] == pytest.approx(np.std(own), rel=1e-12)
    assert preprocessing.target_moments.mean[0] == pytest.approx(2 * np.mean(own) + 0.5, rel=1e-6)


def test_a_class_rarer_than_folds_is_missing_from_some_and_that_is_said():
    data = numbered([0] * 8 + [1] * 2)
    words = [fold_words(with_fold(data, 5, fold, 0), 5, fold) for fold in range(5)]
    assert sum("which has no row of 1" in text for text in words) == 3
    assert all(text.startswith(f"valid is fold {fold} of 5") for fold, text in enumerate(words))
    for fold in range(5):
        assert set(with_fold(data, 5, fold, 0).train.target.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("folds", "fold", "said"),
    [
        (7, 0, "data.folds: expected at most 6, .*, found 7"),
        (1, 0, "data.folds: expected an integer >= 2, found 1"),
        (2.5, 0, "data.folds: expected an integer >= 2, found 2.5"),
        (3, 3, "data.fold: expected an integer from 0 to 2 for data.folds=3, found 3"),
        (3, -1, "data.fold: expected an integer from 0 to 2 for data.folds=3, found -1"),
        (3, True, "data.fold: expected an integer from 0 to 2"),
        (None, 1, "data.fold: found 1, but data.folds is null"),
    ],
)
def test_folds_that_cannot_be_are_refused(folds, fold, said):
    with pytest.raises(ValueError, match=said):
        with_fold(numbered([0, 0, 0, 1, 1, 1]), folds, fold, 0)


def test_a_class_of_a_single_row_is_refused_by_name():
    with pytest.raises(ValueError, match=r"class 2 has a single row .* data.folds null"):
        with_fold(numbered([0, 0, 1, 1, 2]), 2, 0, 0)


def test_no_two_folds_share_a_row_of_all_in_leaving_one_out():
    data = celsius()
    found = {with_fold(data, 11, fold, 0).valid.inputs.item() for fold in range(11)}
    assert len(found) == 11
    assert not math.isnan(sum(found))
