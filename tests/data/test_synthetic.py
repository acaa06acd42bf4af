import hashlib

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs, make_moons

from nnlab.data import blobs, moons, rings, x_squared


def all_rows(data):
    splits = data.splits.values()
    return torch.cat([split.inputs for split in splits]), torch.cat([split.target for split in splits])


def blobs_as_configured(**changes):
    plain = {"num_samples": 5000, "num_train": 4000, "num_test": 500, "centers": 2, "num_features": 64}
    return blobs(**(plain | {"cluster_std": 10.0, "noise": 0.0, "seed": 2020} | changes))


@pytest.mark.parametrize("seed", [0, 42])
def test_x_squared_without_noise_equals_a_plain_script(seed):
    data = x_squared(num_train=10_000, num_valid=4_000, num_test=4_000, noise=0.0, seed=seed)
    torch.manual_seed(seed)
    for split, num_rows in zip(data.splits.values(), (10_000, 4_000, 4_000), strict=True):
        points = 2 * torch.rand(num_rows, 1) - 1
        assert torch.equal(split.inputs, points)
        assert torch.equal(split.target, points.pow(2))


@pytest.mark.parametrize("seed", [0, 42])
def test_rings_without_noise_equal_a_plain_script(seed):
    data = rings(num_train=10_000, num_valid=5_000, num_test=5_000, noise=0.0, seed=seed)
    torch.manual_seed(seed)
    points = torch.cat([2 * torch.rand(15_000, 2, dtype=torch.float) - 1, 2 * torch.rand(5_000, 2) - 1])
    target = torch.zeros(20_000, dtype=torch.long)
    target[points[:, 0].pow(2) + points[:, 1].pow(2) >= 1] = 1
    target[points[:, 0].pow(2) + points[:, 1].pow(2) < 0.25] = 2
    inputs, labels = all_rows(data)
    assert torch.equal(inputs, points)
    assert torch.equal(labels, target)
    assert torch.equal(data.valid.inputs, points[10_000:15_000])


def test_x_squared_noise_has_the_given_std_on_the_target_only():
    clean = x_squared(num_train=20_000, num_valid=0, num_test=5_000, noise=0.0, seed=3)
    noisy = x_squared(num_train=20_000, num_valid=0, num_test=5_000, noise=0.2, seed=3)
    assert noisy.valid is None
    assert torch.equal(clean.train.inputs, noisy.train.inputs)
    for name in ("train", "test"):
        residual = (noisy.splits[name].target - clean.splits[name].target).double()
        assert residual.mean().abs() < 0.01
        assert residual.std() == pytest.approx(0.2, rel=0.05)


def test_x_squared_noise_comes_from_the_named_stream():
    sizes = {"num_train": 100, "num_valid": 50, "num_test": 30, "seed": 3}
    (_, clean), (_, noisy) = all_rows(x_squared(**sizes, noise=0.0)), all_rows(x_squared(**sizes, noise=0.2))
    stream = int.from_bytes(hashlib.sha256(b"3/noise").digest()[:8], "big") >> 1
    numbers = torch.Generator().manual_seed(stream)
    expected = torch.cat([torch.randn(150, 1, generator=numbers), torch.randn(30, 1, generator=numbers)])
    torch.testing.assert_close(noisy - clean, 0.2 * expected, atol=1e-6, rtol=0)


def test_rings_noise_has_the_given_std_and_keeps_the_classes():
    clean = rings(num_train=20_000, num_valid=0, num_test=0, noise=0.0, seed=3)
    noisy = rings(num_train=20_000, num_valid=0, num_test=0, noise=0.1, seed=3)
    assert torch.equal(clean.train.target, noisy.train.target)
    residual = (noisy.train.inputs - clean.train.inputs).double()
    assert residual.std(dim=0).tolist() == pytest.approx([0.1, 0.1], rel=0.03)


@pytest.mark.parametrize("num_test", [500, 0])
def test_blobs_equal_make_blobs_in_the_notebooks_order(num_test):
    rows, codes = make_blobs(n_samples=5000, centers=2, n_features=64, cluster_std=10, random_state=2020)
    rows, codes = torch.from_numpy(rows).float(), torch.from_numpy(codes.reshape(-1, 1)).float()
    data = blobs_as_configured(num_test=num_test)
    assert torch.equal(data.train.inputs, rows[:4000])
    assert torch.equal(data.train.target, codes[:4000])
    assert torch.equal(data.valid.inputs, rows[4000 : 5000 - num_test])
    assert torch.equal(data.valid.target, codes[4000 : 5000 - num_test])
    if num_test:
        assert torch.equal(data.test.inputs, rows[4500:])
        assert torch.equal(data.test.target, codes[4500:])
    else:
        assert data.test is None


def test_blobs_with_three_centers_are_multiclass():
    data = blobs_as_configured(centers=3, num_samples=300, num_train=200, num_test=50, num_features=2, seed=1)
    _, codes = make_blobs(n_samples=300, centers=3, n_features=2, cluster_std=10, random_state=1)
    assert data.task == "multiclass"
    assert data.class_names == ("0", "1", "2")
    assert np.array_equal(all_rows(data)[1].numpy(), codes)


def test_blobs_noise_adds_a_gaussian_to_the_same_points():
    residual = blobs_as_configured(noise=3.0).train.inputs.double() - blobs_as_configured().train.inputs.double()
    assert residual.std() == pytest.approx(3.0, rel=0.01)
    assert residual.mean().abs() < 0.03


def test_blobs_all_rows_for_training_has_no_other_split():
    data = blobs_as_configured(num_train=5000, num_test=0)
    assert data.valid is None
    assert data.test is None


def test_blobs_with_more_rows_in_splits_than_drawn_says_so():
    with pytest.raises(
        ValueError, match=r"data\.num_train \+ data\.num_test: .* data\.num_samples = 5000, found 4800 \+"
    ):
        blobs_as_configured(num_train=4800)


def test_moons_without_noise_equal_make_moons():
    data = moons(num_train=100, num_valid=50, num_test=40, noise=0.0, seed=5)
    order = np.random.RandomState(5)
    drawn = [make_moons(num_rows, noise=None, random_state=order) for num_rows in (150, 40)]
    inputs, target = all_rows(data)
    assert torch.equal(inputs, torch.from_numpy(np.concatenate([rows for rows, _ in drawn])).float())
    assert torch.equal(target[:, 0], torch.from_numpy(np.concatenate([codes for _, codes in drawn])).float())
    assert torch.equal(inputs[:150], torch.from_numpy(make_moons(150, noise=None, random_state=5)[0]).float())


def test_moons_test_rows_lie_on_the_same_curves():
    data = moons(num_train=100, num_valid=50, num_test=77, noise=0.0, seed=5)
    x, y = data.test.inputs.double().T
    lower = data.test.target[:, 0] == 1
    radius = torch.where(lower, torch.hypot(x - 1, y - 0.5), torch.hypot(x, y))
    torch.testing.assert_close(radius, torch.ones_like(radius), atol=1e-6, rtol=0)
    assert ((y <= 0.5) == lower).logical_or(y.abs() <= 0.5).all()


def test_moons_noise_adds_a_gaussian_to_the_same_points():
    sizes = {"num_train": 20_000, "num_valid": 0, "num_test": 0, "seed": 5}
    clean, noisy = moons(**sizes, noise=0.0), moons(**sizes, noise=0.2)
    assert torch.equal(clean.train.target, noisy.train.target)
    residual = (noisy.train.inputs - clean.train.inputs).double()
    assert residual.std(dim=0).tolist() == pytest.approx([0.2, 0.2], rel=0.03)
