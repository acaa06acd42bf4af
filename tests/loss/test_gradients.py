"""The derivative of every loss against its closed form in NumPy float64 and against autograd; where losses kink."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
import pytest
import torch
from torch import Tensor

from nnlab import loss as nnloss
from nnlab.loss import Loss

CLASS_WEIGHT = [0.2, 3.0, 1.7]


def sigmoid(p: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-p))


def cross_entropy(p: np.ndarray, t: np.ndarray, smoothing: float, weight: Sequence[float]) -> np.ndarray:
    """Row by row: w_c (s - 1_c) for the class with 1 - smoothing, and for every class with smoothing / C."""
    w, total = np.array(weight), 0.0
    gradient = np.zeros_like(p)
    for row, code in enumerate(t):
        softmax = np.exp(p[row]) / np.exp(p[row]).sum()
        for label in range(p.shape[-1]):
            share = smoothing / p.shape[-1] + (1 - smoothing) * (label == code)
            gradient[row] += share * w[label] * (softmax - np.eye(p.shape[-1])[label])
        total += w[code]
    return gradient / total


def weighted_bce(p: np.ndarray, t: np.ndarray, weight: Sequence[float]) -> np.ndarray:
    w = np.where(t == 1, weight[1], weight[0])
    return w * (sigmoid(p) - t) / w.sum()


@dataclass(frozen=True)
class Case:
    loss: Loss
    formula: Callable[[np.ndarray, np.ndarray], np.ndarray]
    data: str


CASES = {
    "mse": Case(nnloss.MSE(), lambda p, t: 2 * (p - t) / p.size, "values"),
    "half_mse": Case(nnloss.HalfMSE(), lambda p, t: (p - t) / p.size, "values"),
    "l1": Case(nnloss.L1(), lambda p, t: np.where(p > t, 1.0, -1.0) / p.size, "values"),
    "huber": Case(
        nnloss.Huber(0.7), lambda p, t: np.where(abs(p - t) < 0.7, p - t, 0.7 * np.sign(p - t)) / p.size, "values"
    ),
    "smooth_l1": Case(
        nnloss.SmoothL1(0.7), lambda p, t: np.where(abs(p - t) < 0.7, (p - t) / 0.7, np.sign(p - t)) / p.size, "values"
    ),
    "smooth_l1_at_0": Case(nnloss.SmoothL1(0), lambda p, t: np.sign(p - t) / p.size, "values"),
    "polynomial": Case(nnloss.Polynomial([6, 5, 2]), lambda p, t: (4 * p + 5) / p.size, "values"),
    "polynomial_cubic": Case(nnloss.Polynomial([0, -1, 0, 0.5]), lambda p, t: (1.5 * p**2 - 1) / p.size, "values"),
    "polynomial_constant": Case(nnloss.Polynomial([6.0]), lambda p, t: 0 * p, "values"),
    "bce": Case(nnloss.BCE(), lambda p, t: (sigmoid(p) - t) / len(p), "codes"),
    "bce_weighted": Case(nnloss.BCE([0.3, 2.0]), lambda p, t: weighted_bce(p, t, [0.3, 2.0]), "codes"),
    "bce_one_class": Case(nnloss.BCE([0, 2.0]), lambda p, t: weighted_bce(p, t, [0, 2.0]), "codes"),
    "bce_probability": Case(nnloss.BCEProbability(), lambda p, t: (-t / p + (1 - t) / (1 - p)) / len(p), "probability"),
    "hinge": Case(nnloss.Hinge(), lambda p, t: np.where(t * p < 1, -t, 0) / len(p), "score"),
    "cross_entropy": Case(nnloss.CrossEntropy(0.0), lambda p, t: cross_entropy(p, t, 0.0, [1, 1, 1]), "classes"),
    "cross_entropy_smoothed": Case(
        nnloss.CrossEntropy(0.1), lambda p, t: cross_entropy(p, t, 0.1, [1, 1, 1]), "classes"
    ),
    "cross_entropy_flat": Case(nnloss.CrossEntropy(1.0), lambda p, t: cross_entropy(p, t, 1.0, [1, 1, 1]), "classes"),
    "cross_entropy_weighted": Case(
        nnloss.CrossEntropy(0.0, CLASS_WEIGHT), lambda p, t: cross_entropy(p, t, 0.0, CLASS_WEIGHT), "classes"
    ),
    "cross_entropy_smoothed_weighted": Case(
        nnloss.CrossEntropy(0.1, CLASS_WEIGHT), lambda p, t: cross_entropy(p, t, 0.1, CLASS_WEIGHT), "classes"
    ),
    "auto_regression": Case(nnloss.auto("regression"), lambda p, t: 2 * (p - t) / p.size, "values"),
    "auto_binary": Case(nnloss.auto("binary", [0.3, 2]), lambda p, t: weighted_bce(p, t, [0.3, 2]), "codes"),
    "auto_multiclass": Case(nnloss.auto("multiclass"), lambda p, t: cross_entropy(p, t, 0.0, [1, 1, 1]), "classes"),
}
ALL = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def batch(data: str, *runs: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A prediction and its target, for ``runs`` runs of 16 rows."""
    torch.manual_seed(11)
    outputs = {"values": 2, "classes": 3}.get(data, 1)
    prediction = 2 * torch.randn(*runs, 16, outputs, dtype=dtype)
    if data == "classes":
        return prediction, torch.randint(3, (*runs, 16))
    if data == "values":
        return prediction, torch.randn(*runs, 16, outputs, dtype=dtype)
    codes = torch.randint(2, (*runs, 16, 1)).to(dtype)
    if data == "probability":
        return prediction.sigmoid(), codes
    return prediction, 2 * codes - 1 if data == "score" else codes


def by_autograd(loss: Loss, p: Tensor, t: Tensor) -> Tensor:
    p = p.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(p, t).sum(), p)
    return gradient


def test_every_loss_has_a_case() -> None:
    losses = {one for one in vars(nnloss).values() if isinstance(one, type) and issubclass(one, Loss)} - {Loss}
    assert {type(case.loss) for case in CASES.values()} == losses
    assert len(losses) == 10


@ALL
def test_gradient_of_a_batch_equals_closed_form_and_autograd(case: Case) -> None:
    p, t = batch(case.data)
    gradient = case.loss.gradient(p, t)
    np.testing.assert_allclose(gradient.numpy(), case.formula(p.numpy(), t.numpy()), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(gradient, by_autograd(case.loss, p, t), rtol=1e-12, atol=1e-15)


@ALL
@pytest.mark.parametrize("runs", [(1,), (3,), (2, 3)])
@pytest.mark.parametrize("is_shared", [False, True], ids=["own_target", "shared_target"])
def test_each_run_has_the_gradient_of_its_own_mean(case: Case, runs: tuple[int, ...], is_shared: bool) -> None:
    p, t = batch(case.data, *runs)
    if is_shared:
        t = t[(0,) * len(runs)]
    gradient = case.loss.gradient(p, t)
    assert gradient.shape == p.shape
    for run in np.ndindex(*runs):
        own = t if is_shared else t[run]
        expected = case.formula(p[run].numpy(), own.numpy())
        np.testing.assert_allclose(gradient[run].numpy(), expected, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(gradient, by_autograd(case.loss, p, t), rtol=1e-12, atol=1e-15)


@ALL
def test_gradient_in_float32_equals_autograd_and_records_nothing(case: Case) -> None:
    p, t = batch(case.data, dtype=torch.float32)
    before = p.clone(), t.clone()
    gradient = case.loss.gradient(p, t)
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, by_autograd(case.loss, p, t), rtol=1e-5, atol=1e-8)
    assert torch.equal(p, before[0])
    assert torch.equal(t, before[1])


@ALL
def test_gradient_far_out_equals_autograd(case: Case) -> None:
    p, t = batch(case.data)
    if case.data == "probability":
        p = torch.tensor([0, 1, 1e-30, 1e-13, 1 - 1e-13, 0.5, 1e-7, 1e-12] * 2, dtype=torch.float64).view(-1, 1)
    else:
        p = 1e4 * p.sign()
    reference = by_autograd(case.loss, p, t)
    assert reference.isfinite().all()
    torch.testing.assert_close(case.loss.gradient(p, t), reference, rtol=1e-12, atol=1e-15)


def test_weights_of_a_batch_without_a_weighted_class_give_nan_as_autograd_does() -> None:
    for loss, shape in ((nnloss.BCE([0, 1]), (4, 1)), (nnloss.CrossEntropy(0.0, [0, 1]), (4,))):
        p = torch.randn(4, 1 if len(shape) == 2 else 2)
        t = torch.zeros(shape, dtype=torch.float32 if len(shape) == 2 else torch.int64)
        assert by_autograd(loss, p, t).isnan().all()
        assert loss.gradient(p, t).isnan().all()


def test_half_precision_probability_has_a_gradient_of_its_own_dtype() -> None:
    p, t = torch.tensor([[0.25], [0.5]], dtype=torch.float16), torch.tensor([[1.0], [0.0]])
    gradient = nnloss.BCEProbability().gradient(p, t)
    assert (gradient.dtype, gradient.tolist()) == (torch.float16, [[-2.0], [1.0]])


def test_polynomial_of_the_notebook_has_the_derivative_55() -> None:
    p, t = torch.tensor([[12.5]]), torch.zeros(1, 1)
    loss = nnloss.Polynomial([6, 5, 2])
    assert loss(p, t).item() == 381.0
    assert loss.gradient(p, t).item() == 55.0
    h = 0.5  # of a parabola, central differences are exact
    assert ((loss(p + h, t) - loss(p - h, t)) / (2 * h)).item() == 55.0


def test_polynomial_does_not_look_at_the_target() -> None:
    p = torch.tensor([[[1.0], [2.0]], [[0.0], [-1.0]]])
    loss = nnloss.Polynomial([1, 0, 3])
    assert loss(p, torch.full((2, 1), torch.nan)).tolist() == [(4 + 13) / 2, (1 + 4) / 2]
    assert loss.gradient(p, torch.full((2, 1), torch.nan)).flatten().tolist() == [3.0, 6.0, 0.0, -3.0]


#: the loss, a target, and where its value, slope or curvature jumps
KINKS = {
    "l1": (nnloss.L1(), 0.5, [0.5]),
    "huber": (nnloss.Huber(0.75), 0.5, [-0.25, 1.25]),
    "smooth_l1": (nnloss.SmoothL1(0.75), 0.5, [-0.25, 1.25]),
    "smooth_l1_at_0": (nnloss.SmoothL1(0), 0.5, [0.5]),
    "hinge_of_class_1": (nnloss.Hinge(), 1.0, [1.0]),
    "hinge_of_class_0": (nnloss.Hinge(), -1.0, [-1.0]),
}
#: every 64th from -4 to 4, each as a run of one sample
GRID = torch.arange(-256, 257, dtype=torch.float64).view(-1, 1, 1) / 64


def derivatives(loss: Loss, p: Tensor, t: Tensor) -> list[Tensor]:
    """The loss of each run with its first and second derivative, by autograd."""
    p = p.clone().requires_grad_()
    found = [loss(p, t)]
    for _ in range(2):
        (above,) = torch.autograd.grad(found[-1].sum(), p, create_graph=True) if found[-1].requires_grad else (p * 0,)
        found.append(above.flatten())
    return [one.detach() for one in found]


@pytest.mark.parametrize(("loss", "code", "kinks"), KINKS.values(), ids=KINKS)
def test_corners_change_sign_exactly_where_the_loss_kinks(loss: Loss, code: float, kinks: list[float]) -> None:
    h, t = 1e-9, torch.full((1, 1), code, dtype=torch.float64)
    below, above = derivatives(loss, GRID - h, t), derivatives(loss, GRID + h, t)
    jumps = torch.stack([(a - b).abs() > 1e-6 for a, b in zip(below, above, strict=True)]).any(dim=0)
    assert GRID.flatten()[jumps].tolist() == kinks
    corners = [loss.corners(p, t) for p in (GRID - h, GRID, GRID + h)]
    assert all(one is not None and one.shape == GRID.shape for one in corners)
    left, at, right = (one.flatten() for one in corners if one is not None)
    assert GRID.flatten()[left * right < 0].tolist() == kinks
    assert GRID.flatten()[at == 0].tolist() == kinks


@pytest.mark.parametrize(("loss", "code", "kinks"), KINKS.values(), ids=KINKS)
def test_gradient_at_a_kink_is_autograds(loss: Loss, code: float, kinks: list[float]) -> None:
    p, t = torch.tensor(kinks, dtype=torch.float64).view(-1, 1), torch.full((1, 1), code, dtype=torch.float64)
    t = t.expand_as(p)
    torch.testing.assert_close(loss.gradient(p, t), by_autograd(loss, p, t), rtol=0, atol=0)


def test_gradient_at_the_kinks_of_l1_and_hinge_is_0() -> None:
    ones = torch.ones(1, 1)
    for loss in (nnloss.L1(), nnloss.SmoothL1(0), nnloss.Hinge()):
        assert loss.gradient(ones, ones).item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("code", "expected"),
    [(1.0, [[-1, 1], [-1, 1], [1, 1], [1, 1], [1, 1]]), (0.0, [[1, 1], [1, 1], [1, 1], [1, 1], [1, -1]])],
)
def test_corners_on_probabilities_change_sign_where_the_logarithm_that_counts_is_cut(
    dtype: torch.dtype, code: float, expected: list[list[int]]
) -> None:
    p = torch.tensor([0.0, exp(-100) / 2, exp(-100) * 2, 0.5, 1.0], dtype=dtype).view(5, 1, 1)
    t = torch.full((1, 1), code, dtype=dtype)
    corners = nnloss.BCEProbability().corners(p, t)
    assert corners is not None
    assert corners.view(5, 2).sign().tolist() == expected
    value = nnloss.BCEProbability()(p, t)
    is_cut = [min(signs) < 0 for signs in expected]
    assert (value == 100).tolist() == is_cut


def test_corners_on_a_soft_target_are_those_of_both_logarithms() -> None:
    p, t = torch.tensor([[0.0], [0.5], [1.0]]), torch.full((3, 1), 0.25)
    corners = nnloss.BCEProbability().corners(p, t)
    assert corners is not None
    assert corners.sign().tolist() == [[-1, 1], [1, 1], [1, -1]]


SMOOTH = [name for name, case in CASES.items() if name not in KINKS and case.data not in ("score", "probability")]


@pytest.mark.parametrize("name", SMOOTH)
def test_loss_that_is_smooth_has_no_corners(name: str) -> None:
    case = CASES[name]
    assert case.loss.corners(*batch(case.data)) is None


WEIGHTS = [torch.tensor([[1.0, -2.0], [0.0, 0.5]], dtype=torch.float64), torch.tensor([[-3.0]], dtype=torch.float64)]


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.5), (0.1, 0.5)])
def test_gradient_of_a_penalty_equals_closed_form_and_autograd(l1: float, l2: float) -> None:
    penalty = nnloss.Penalty(l1, l2)
    gradients = penalty.gradient(WEIGHTS)
    for gradient, weight in zip(gradients, WEIGHTS, strict=True):
        np.testing.assert_allclose(gradient, l1 * np.sign(weight.numpy()) + l2 * weight.numpy(), rtol=1e-15)
    if penalty:
        leaves = [weight.clone().requires_grad_() for weight in WEIGHTS]
        expected = torch.autograd.grad(penalty(leaves), leaves)
        torch.testing.assert_close(tuple(gradients), expected, rtol=1e-15, atol=0)


def test_corners_of_a_penalty_are_the_weights_where_there_is_an_l1() -> None:
    corners = nnloss.Penalty(l1=0.1, l2=0.5).corners(WEIGHTS)
    assert corners is not None
    assert corners.tolist() == [1.0, -2.0, 0.0, 0.5, -3.0]
    assert nnloss.Penalty(l2=0.5).corners(WEIGHTS) is None
