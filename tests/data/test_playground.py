"""The Playground's sets against a statement of their geometry in NumPy."""

import numpy as np
import pytest
import torch

from nnlab.data import bumps, circle, gauss, plane, spirals, xor

CLASSIFICATION = [gauss, circle, xor, spirals]
BUMPS = [(-4, 2.5, 1), (0, 2.5, -1), (4, 2.5, 1), (-4, -2.5, -1), (0, -2.5, 1), (4, -2.5, -1)]


def rows(make, noise=0.0, num_samples=500, num_test=250, seed=0):
    data = make(num_samples=num_samples, num_test=num_test, noise=noise, seed=seed)
    parts = [(split.inputs.double().numpy(), split.target.double().numpy()[:, 0]) for split in data.splits.values()]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def bump_values(points):
    values = []
    for x, y in points:
        label = 0.0
        for cx, cy, sign in BUMPS:
            candidate = sign * np.clip(1 - np.hypot(x - cx, y - cy) / 2, 0, 1)
            if abs(candidate) > abs(label):
                label = candidate
        values.append(label)
    return np.array(values)


@pytest.mark.parametrize("make", CLASSIFICATION)
def test_classification_rows_by_class_are_half_each(make):
    _, y = rows(make, num_samples=501, num_test=0)
    positive = int(y.sum())
    assert positive == 251 if make is not xor else 200 < positive < 300


@pytest.mark.parametrize("make", [*CLASSIFICATION, plane, bumps])
def test_odd_number_of_rows_gives_valid_the_larger_half(make):
    data = make(num_samples=501, num_test=3, noise=0.0, seed=0)
    assert [len(split) for split in data.splits.values()] == [250, 251, 3]


@pytest.mark.parametrize(("noise", "variance"), [(0.0, 0.5), (0.5, 4.0)])
def test_gauss_clouds_have_the_stated_centres_and_variance(noise, variance):
    x, y = rows(gauss, noise, num_samples=40_000, num_test=0)
    for label, centre in ((1, 2.0), (0, -2.0)):
        assert x[y == label].mean(axis=0) == pytest.approx([centre, centre], abs=0.06)
        assert x[y == label].var(axis=0) == pytest.approx([variance, variance], rel=0.05)
        assert np.corrcoef(x[y == label].T)[0, 1] == pytest.approx(0, abs=0.03)


def test_gauss_noise_only_spreads_the_same_points():
    (clean, y), (noisy, other) = rows(gauss, 0.0), rows(gauss, 0.5)
    assert np.array_equal(y, other)
    centre = (4 * y - 2)[:, None]
    np.testing.assert_allclose((noisy - centre) / 2, (clean - centre) / np.sqrt(0.5), atol=1e-6)


def test_circle_without_noise_is_a_disc_in_a_band():
    x, y = rows(circle, num_samples=20_000)
    radius = np.hypot(*x.T)
    assert np.array_equal(y == 1, radius < 2.5)
    outer = radius[y == 0]
    assert outer.min() >= 3.5 - 1e-6
    assert outer.max() < 5 + 1e-6
    # uniform in radius, not in area
    assert radius[y == 1].mean() == pytest.approx(1.25, abs=0.03)
    assert outer.mean() == pytest.approx(4.25, abs=0.03)
    # every direction is as likely
    assert np.bincount((np.arctan2(*x.T) // (np.pi / 2)).astype(int) + 2, minlength=4)[:4].min() > 4500


def test_xor_without_noise_has_the_sign_of_the_product_and_a_gap():
    x, y = rows(xor, num_samples=20_000)
    assert np.array_equal(y == 1, x.prod(axis=1) > 0)
    assert np.abs(x).min() >= 0.3 - 1e-6
    assert np.abs(x).max() <= 5.3 + 1e-6
    assert np.abs(x).mean(axis=0) == pytest.approx([2.8, 2.8], abs=0.05)


def test_spirals_without_noise_are_two_arms_half_a_turn_apart():
    x, y = rows(spirals, num_samples=500, num_test=0)
    for label, start in ((1, 0.0), (0, np.pi)):
        arm = x[y == label]
        arm = arm[np.argsort(np.hypot(*arm.T))]
        step = np.arange(250)
        t = 1.75 * step / 250 * 2 * np.pi + start
        expected = (step / 250 * 5)[:, None] * np.stack([np.sin(t), np.cos(t)], axis=1)
        np.testing.assert_allclose(arm, expected, atol=2e-6)


def test_spirals_test_rows_lie_on_the_arms_between_the_others():
    data = spirals(num_samples=500, num_test=2000, noise=0.0, seed=0)
    x, y = data.test.inputs.double().numpy(), data.test.target.numpy()[:, 0]
    radius = np.hypot(*x.T)
    t = 1.75 * 2 * np.pi * radius / 5 + np.where(y == 1, 0, np.pi)
    np.testing.assert_allclose(x, radius[:, None] * np.stack([np.sin(t), np.cos(t)], axis=1), atol=2e-5)
    assert radius.max() < 5
    assert radius.mean() == pytest.approx(2.5, abs=0.1)
    off_grid = np.abs(radius * 50 - np.round(radius * 50))
    assert (off_grid > 1e-3).mean() > 0.99


def test_spirals_noise_moves_points_by_up_to_its_size():
    (clean, _), (noisy, _) = rows(spirals, 0.0), rows(spirals, 0.4)
    moved = noisy - clean
    assert np.abs(moved).max() <= 0.4 + 1e-5
    assert moved.std(axis=0) == pytest.approx([0.4 / np.sqrt(3)] * 2, rel=0.1)


def test_plane_without_noise_is_a_tenth_of_the_sum():
    x, y = rows(plane, num_samples=5000)
    np.testing.assert_allclose(y, x.sum(axis=1) / 10, atol=1e-6)
    assert np.abs(x).max() < 6
    assert x.var(axis=0) == pytest.approx([12, 12], rel=0.06)


def test_bumps_without_noise_are_the_largest_of_six_cones():
    x, y = rows(bumps, num_samples=5000)
    np.testing.assert_allclose(y, bump_values(x), atol=1e-6)
    assert np.abs(x).max() < 6
    assert y.max() > 0.9
    assert y.min() < -0.9


@pytest.mark.parametrize("make", [circle, xor, plane, bumps])
def test_noise_changes_targets_and_no_points(make):
    (clean, y), (noisy, other) = rows(make, 0.0), rows(make, 0.3)
    assert np.array_equal(clean, noisy)
    assert (y != other).mean() > 0.05


def test_plane_noise_moves_the_targets_point_by_up_to_six_times_its_size():
    (_, y), (_, other) = rows(plane, 0.0, num_samples=5000), rows(plane, 0.5, num_samples=5000)
    # (u + v) / 10 with u and v uniform in (-3, 3): variance 2 * 3 / 100
    assert np.abs(y - other).max() <= 0.6
    assert (y - other).var() == pytest.approx(0.06, rel=0.06)


@pytest.mark.parametrize("make", CLASSIFICATION)
def test_rows_are_shuffled_before_the_cut(make):
    data = make(num_samples=500, num_test=0, noise=0.0, seed=0)
    for split in data.splits.values():
        assert 90 < split.target.sum() < 160
        assert 40 < split.target[:125].sum() < 85
    assert not torch.equal(data.train.target.sort(dim=0).values, data.train.target)
