import json

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from nnlab.data import Dataset, Preprocessing, Split, celsius, diabetes, iris, rings

FEATURES = {
    "x2": ("x^2", lambda x, y: x**2),
    "y2": ("y^2", lambda x, y: y**2),
    "xy": ("x*y", lambda x, y: x * y),
    "sin_x": ("sin(x)", lambda x, y: np.sin(x)),
    "sin_y": ("sin(y)", lambda x, y: np.sin(y)),
}
PLAIN = {"expand": [], "input_scale": 1.0, "standardize": False, "standardize_target": False}


def fit(dataset, **changes):
    return Preprocessing.fit(dataset, **(PLAIN | changes))


def points():
    return rings(num_train=200, num_valid=100, num_test=0, noise=0.0, seed=0)


def flowers():
    return iris(valid_fraction=0.2, test_fraction=0.2, seed=0)


def progression():
    return diabetes(valid_fraction=0.2, test_fraction=0.2, seed=0)


def table(inputs, target):
    train = Split(torch.tensor(inputs), torch.tensor(target))
    names = tuple("abcdefgh"[: train.inputs.shape[1]])
    return Dataset("regression", train, None, None, names, tuple("yz"[: train.target.shape[1]]))


def test_nothing_asked_leaves_the_inputs_as_they_are():
    data = flowers()
    fitted = fit(data)
    assert torch.equal(fitted.inputs(data.train.inputs), data.train.inputs)
    assert fitted.input_names == data.input_names
    assert fitted.target_mean is None
    assert fitted.target_std is None


@pytest.mark.parametrize("make", [flowers, progression])
def test_standardize_equals_standard_scaler_fitted_on_train_only(make):
    data = make()
    fitted = fit(data, standardize=True)
    reference = StandardScaler().fit(data.train.inputs.double().numpy())
    for split in data.splits.values():
        expected = reference.transform(split.inputs.double().numpy())
        found = fitted.inputs(split.inputs)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)
    train = fitted.inputs(data.train.inputs).double()
    np.testing.assert_allclose(train.mean(dim=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(dim=0, correction=0), 1, atol=1e-6)
    assert fitted.inputs(data.valid.inputs).double().mean(dim=0).abs().max() > 1e-3


def test_many_rows_are_standardized_as_few_are():
    """More rows than moments are taken of at once; far from zero, so that sums of squares would lose their digits."""
    values = 1e5 + np.random.default_rng(0).normal(size=(150_000, 2)).astype(np.float32)
    data = table(values.astype(np.float32), np.zeros((150_000, 1), np.float32))
    fitted = fit(data, standardize=True)
    reference = StandardScaler().fit(values.astype(np.float64))
    np.testing.assert_allclose(fitted.input_moments.mean, reference.mean_, rtol=1e-12)
    np.testing.assert_allclose(fitted.input_moments.std, reference.scale_, rtol=1e-9)
    assert torch.equal(fitted.all_inputs(data.train.inputs), fitted.inputs(data.train.inputs))


def test_standardize_target_has_the_training_targets_moments():
    data = progression()
    fitted = fit(data, standardize_target=True)
    target = data.train.target.double().numpy()
    assert fitted.target_mean.shape == fitted.target_std.shape == (1,)
    assert fitted.target_mean.dtype == fitted.target_std.dtype == torch.float32
    np.testing.assert_allclose(fitted.target_mean, target.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(fitted.target_std, target.std(axis=0), rtol=1e-7)
    assert torch.equal(fitted.inputs(data.train.inputs), data.train.inputs)


def test_constant_columns_get_std_one():
    data = table([[0.1, 1.0]] * 2 + [[0.1, 4.0]], [[7.3, 1.0], [7.3, 2.0], [7.3, 3.0]])
    fitted = fit(data, standardize=True, standardize_target=True)
    assert fitted.inputs(data.train.inputs)[:, 0].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert fitted.inputs(torch.tensor([[1.1, 2.0]])).tolist() == [pytest.approx([1.0, 0.0], abs=1e-6)]
    assert fitted.target_std.tolist() == pytest.approx([1.0, np.sqrt(2 / 3)])


def test_standardize_far_from_zero_keeps_its_digits():
    data = table([[1e7 + step] for step in range(10)], [[0.0]] * 10)  # the mean is no float32
    found = fit(data, standardize=True).inputs(data.train.inputs)[:, 0].numpy()
    np.testing.assert_allclose(found, (np.arange(10) - 4.5) / np.sqrt(8.25), rtol=1e-6)


@pytest.mark.parametrize("expand", [["x2"], ["sin_y", "xy"], list(FEATURES)])
def test_expand_adds_features_in_the_order_given(expand):
    data = points()
    fitted = fit(data, expand=expand)
    x, y = data.train.inputs.double().numpy().T
    expected = np.stack([x, y, *(FEATURES[name][1](x, y) for name in expand)], axis=1)
    np.testing.assert_allclose(fitted.inputs(data.train.inputs), expected, atol=1e-6)
    assert fitted.input_names == ("x", "y", *(FEATURES[name][0] for name in expand))


def test_steps_in_order_are_expand_scale_standardize():
    data = points()
    scaled = fit(data, expand=["x2"], input_scale=3.0).inputs(data.train.inputs)
    x = data.train.inputs.double().numpy()
    raw = 3 * np.c_[x, x[:, 0] ** 2]
    np.testing.assert_allclose(scaled, raw, rtol=1e-6)
    fitted = fit(data, expand=["x2"], input_scale=3.0, standardize=True)
    np.testing.assert_allclose(fitted.input_moments.mean, raw.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(fitted.input_moments.std, raw.std(axis=0), rtol=1e-6)
    valid = data.valid.inputs.double().numpy()
    expected = (3 * np.c_[valid, valid[:, 0] ** 2] - raw.mean(axis=0)) / raw.std(axis=0)
    np.testing.assert_allclose(fitted.inputs(data.valid.inputs), expected, atol=1e-5)


def test_input_scale_equals_the_notebooks_product():
    data = celsius()
    assert torch.equal(fit(data, input_scale=0.1).inputs(data.train.inputs), 0.1 * data.train.inputs)


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (flowers, {}),
        (flowers, {"standardize": True}),
        (progression, {"standardize": True, "standardize_target": True, "input_scale": 0.1}),
        (points, {"expand": list(FEATURES), "standardize": True, "input_scale": 1 / 3}),
    ],
)
def test_json_round_trip_is_bit_equal(make, changes):
    data = make()
    fitted = fit(data, **changes)
    text = json.dumps(fitted.to_json(), allow_nan=False)
    again = Preprocessing.from_json(json.loads(text))
    assert again == fitted
    assert json.dumps(again.to_json()) == text
    assert torch.equal(again.inputs(data.valid.inputs), fitted.inputs(data.valid.inputs))
    assert again.input_names == fitted.input_names
    if fitted.target_mean is not None:
        assert torch.equal(again.target_mean, fitted.target_mean)
        assert torch.equal(again.target_std, fitted.target_std)


BAD_FITS = [
    (flowers, {"expand": ["x2"]}, r"data\.expand: expected a data set of two input columns, found 4"),
    (points, {"expand": ["x3"]}, r"data\.expand: expected a list of some of x2, y2, xy, sin_x, sin_y.*found \['x3'\]"),
    (points, {"expand": ["x2", "x2"]}, r"data\.expand: .*each once"),
    (points, {"expand": "xy"}, r"data\.expand: expected a list .*found 'xy'"),
    (points, {"expand": [["xy"]]}, r"data\.expand: expected a list"),
    (points, {"input_scale": 0.0}, r"data\.input_scale: expected a number > 0, found 0\.0"),
    (points, {"input_scale": float("nan")}, r"data\.input_scale: .*found nan"),
    (points, {"standardize_target": True}, r"data\.standardize_target: expected false for a multiclass data set"),
]


@pytest.mark.parametrize(("make", "changes", "message"), BAD_FITS)
def test_unfit_preprocessing_is_refused_with_its_key(make, changes, message):
    with pytest.raises(ValueError, match=message):
        fit(make(), **changes)


@pytest.mark.parametrize("shape", [(5, 3), (5,), (5, 2, 1)])
def test_inputs_of_another_width_are_refused(shape):
    with pytest.raises(ValueError, match=r"inputs: expected rows of 2 columns \(x, y\), found shape"):
        fit(points()).inputs(torch.zeros(shape))


GOOD = {"columns": ["x"], "expand": [], "input_scale": 1.0, "input": {"mean": [0.0], "std": [1.0]}, "target": None}
BAD_JSON = [
    ([], r"expected the keys .* found list"),
    ({"columns": ["x"]}, r"expected the keys .* found \['columns'\]"),
    (GOOD | {"columns": "x"}, r"columns: expected a list of names"),
    (GOOD | {"expand": ["x2"]}, r"data\.expand"),
    (GOOD | {"input_scale": "1"}, r"input_scale: expected a finite number, found '1'"),
    (GOOD | {"input": {"mean": [0.0]}}, r"input: expected null or a mean and a std"),
    (GOOD | {"input": {"mean": [0.0, 1.0], "std": [1.0, 1.0]}}, r"input\.mean: expected a list of 1 numbers"),
    (GOOD | {"input": {"mean": [0.0], "std": [0.0]}}, r"input\.std: expected numbers > 0, found 0\.0"),
    (GOOD | {"target": {"mean": [], "std": []}}, r"target\.mean: expected a list of at least one number"),
    (GOOD | {"target": {"mean": [float("nan")], "std": [1.0]}}, r"target\.mean: expected a finite number, found nan"),
]


@pytest.mark.parametrize(("values", "message"), BAD_JSON)
def test_json_of_something_else_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_json(values)


def test_json_that_is_whole_is_accepted():
    assert Preprocessing.from_json(GOOD).inputs(torch.tensor([[2.0]])).tolist() == [[2.0]]
