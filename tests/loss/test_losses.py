"""Every loss against its formula in NumPy float64, against torch.nn, and with leading run axes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nnlab import loss as nnloss
from nnlab.loss import Loss

CLASS_WEIGHT = [0.2, 3.0, 1.7]
WEIGHT_OF = {dtype: torch.tensor(CLASS_WEIGHT, dtype=dtype) for dtype in (torch.float32, torch.float64)}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def huber(d: np.ndarray, delta: float) -> np.ndarray:
    return np.where(np.abs(d) <= delta, d**2 / 2, delta * (np.abs(d) - delta / 2))


def cross_entropy(x: np.ndarray, t: np.ndarray, smoothing: float, weight: list[float] | None) -> float:
    """Smoothed and weighted as torch.nn.CrossEntropyLoss's page says; averaged by the weights of the targets."""
    w = np.ones(x.shape[-1]) if weight is None else np.array(weight)
    terms = -w * np.log(softmax(x))
    rows = np.arange(len(t))
    total = (1 - smoothing) * terms[rows, t].sum() + smoothing / x.shape[-1] * terms.sum()
    return total / w[t].sum()


def bce(p: np.ndarray, t: np.ndarray, weight: list[float]) -> float:
    w = np.where(t == 1, weight[1], weight[0])
    return float((w * -(t * np.log(p) + (1 - t) * np.log(1 - p))).sum() / w.sum())


@dataclass(frozen=True)
class Case:
    loss: Loss
    formula: Callable[[np.ndarray, np.ndarray], float]
    reference: Callable[[Tensor, Tensor], Tensor] | None
    data: str


CASES = {
    "mse": Case(nnloss.MSE(), lambda p, t: np.mean((p - t) ** 2), nn.MSELoss(), "values"),
    "half_mse": Case(nnloss.HalfMSE(), lambda p, t: np.mean((p - t) ** 2) / 2, None, "values"),
    "l1": Case(nnloss.L1(), lambda p, t: np.mean(np.abs(p - t)), nn.L1Loss(), "values"),
    "huber": Case(nnloss.Huber(0.7), lambda p, t: np.mean(huber(p - t, 0.7)), nn.HuberLoss(delta=0.7), "values"),
    "smooth_l1": Case(
        nnloss.SmoothL1(0.7), lambda p, t: np.mean(huber(p - t, 0.7)) / 0.7, nn.SmoothL1Loss(beta=0.7), "values"
    ),
    "smooth_l1_at_0": Case(nnloss.SmoothL1(0), lambda p, t: np.mean(np.abs(p - t)), nn.SmoothL1Loss(beta=0), "values"),
    "polynomial": Case(nnloss.Polynomial([6, 5, 2]), lambda p, t: np.mean(2 * p**2 + 5 * p + 6), None, "values"),
    "polynomial_constant": Case(nnloss.Polynomial([6.0]), lambda p, t: 6.0, None, "values"),
    "bce": Case(nnloss.BCE(), lambda p, t: bce(sigmoid(p), t, [1, 1]), nn.BCEWithLogitsLoss(), "logit"),
    "bce_weighted": Case(nnloss.BCE([0.3, 2.0]), lambda p, t: bce(sigmoid(p), t, [0.3, 2.0]), None, "logit"),
    "bce_probability": Case(nnloss.BCEProbability(), lambda p, t: bce(p, t, [1, 1]), nn.BCELoss(), "probability"),
    "hinge": Case(nnloss.Hinge(), lambda p, t: np.mean(np.maximum(0, 1 - t * p)), None, "score"),
    "cross_entropy": Case(
        nnloss.CrossEntropy(0.0), lambda p, t: cross_entropy(p, t, 0.0, None), nn.CrossEntropyLoss(), "classes"
    ),
    "cross_entropy_smoothed": Case(
        nnloss.CrossEntropy(0.1),
        lambda p, t: cross_entropy(p, t, 0.1, None),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        "classes",
    ),
    "cross_entropy_weighted": Case(
        nnloss.CrossEntropy(0.0, CLASS_WEIGHT),
        lambda p, t: cross_entropy(p, t, 0.0, CLASS_WEIGHT),
        lambda p, t: nn.functional.cross_entropy(p, t, WEIGHT_OF[p.dtype]),
        "classes",
    ),
    "cross_entropy_smoothed_weighted": Case(
        nnloss.CrossEntropy(0.1, CLASS_WEIGHT),
        lambda p, t: cross_entropy(p, t, 0.1, CLASS_WEIGHT),
        lambda p, t: nn.functional.cross_entropy(p, t, WEIGHT_OF[p.dtype], label_smoothing=0.1),
        "classes",
    ),
}
ALL = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
WITH_REFERENCE = {name: case for name, case in CASES.items() if case.reference is not None}


def batch(data: str, *runs: int, rows: int = 16, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A prediction that wants gradients and its target, for ``runs`` runs."""
    torch.manual_seed(7)
    outputs = {"values": 2, "classes": 3}.get(data, 1)
    prediction = torch.randn(*runs, rows, outputs, dtype=dtype)
    if data == "classes":
        return prediction.requires_grad_(), torch.randint(3, (*runs, rows))
    if data == "values":
        return prediction.requires_grad_(), torch.randn(*runs, rows, outputs, dtype=dtype)
    codes = torch.randint(2, (*runs, rows, 1)).to(dtype)
    if data == "probability":
        prediction = prediction.sigmoid()
    return prediction.requires_grad_(), 2 * codes - 1 if data == "score" else codes


def value_and_gradient(function: Callable[[Tensor, Tensor], Tensor], p: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    value = function(p, t)
    (gradient,) = torch.autograd.grad(value.sum(), p)
    return value.detach(), gradient


@ALL
def test_value_on_a_batch_equals_formula(case: Case) -> None:
    p, t = batch(case.data)
    assert case.loss(p, t).item() == pytest.approx(float(case.formula(p.detach().numpy(), t.numpy())), rel=1e-12)


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_value_and_gradient_in_float32_equal_torch(name: str) -> None:
    case = CASES[name]
    assert case.reference is not None
    p, t = batch(case.data, dtype=torch.float32)
    ours, theirs = value_and_gradient(case.loss, p, t), value_and_gradient(case.reference, p, t)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


@ALL
def test_gradient_equals_finite_differences(case: Case) -> None:
    p, t = batch(case.data, rows=4)
    assert torch.autograd.gradcheck(lambda x: case.loss(x, t), p)


@ALL
@pytest.mark.parametrize("runs", [(1,), (3,), (2, 3)])
def test_leading_run_axes_give_each_run_its_own_loss_and_gradient(case: Case, runs: tuple[int, ...]) -> None:
    p, t = batch(case.data, *runs)
    values, gradients = value_and_gradient(case.loss, p, t)
    assert values.shape == runs
    for index in np.ndindex(*runs):
        alone = p.detach()[index].requires_grad_()
        value, gradient = value_and_gradient(case.loss, alone, t[index])
        torch.testing.assert_close(values[index], value, rtol=1e-12, atol=0)
        torch.testing.assert_close(gradients[index], gradient, rtol=1e-12, atol=1e-18)


@ALL
def test_nan_in_one_run_leaves_the_others_bits(case: Case) -> None:
    p, t = batch(case.data, 3)
    clean_values, clean_gradients = value_and_gradient(case.loss, p, t)
    broken = p.detach().clone()
    broken[1, 5] = torch.nan
    values, gradients = value_and_gradient(case.loss, broken.requires_grad_(), t)
    assert values[1].isnan()
    for run in (0, 2):
        assert torch.equal(values[run], clean_values[run])
        assert torch.equal(gradients[run], clean_gradients[run])


@ALL
def test_target_without_run_axes_is_shared(case: Case) -> None:
    p, _ = batch(case.data, 3)
    _, t = batch(case.data)
    repeated = t.expand(3, *t.shape).contiguous()
    torch.testing.assert_close(case.loss(p, t), case.loss(p, repeated), rtol=1e-15, atol=0)


@ALL
def test_terms_of_chunks_give_the_mean_of_the_whole(case: Case) -> None:
    p, t = batch(case.data)
    terms = torch.cat([case.loss.per_sample(*chunk) for chunk in zip(p.split(5), t.split(5), strict=True)])
    weights = [case.loss.sample_weight(chunk) for chunk in t.split(5)]
    total = sum(5.0 if w is None else w.sum() for w in weights) if weights[0] is not None else float(len(t))
    assert terms.shape == (16,)
    torch.testing.assert_close(terms.sum() / total, case.loss(p, t), rtol=1e-12, atol=0)


class CountOps(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_step_costs_the_very_operations_of_torch(name: str) -> None:
    case = CASES[name]
    assert case.reference is not None
    p, t = batch(case.data)
    case.loss(p, t)  # the class weights go to the device once
    recorded = []
    for function in (case.loss, case.reference):
        with CountOps() as ops:
            value_and_gradient(function, p, t)
        recorded.append(ops.names)
    assert recorded[0] == recorded[1]


def test_hinge_equals_sklearn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    p, t = batch("score")
    expected = metrics.hinge_loss(t[:, 0].numpy(), p.detach()[:, 0].numpy())
    assert nnloss.Hinge()(p, t).item() == pytest.approx(expected, rel=1e-12)


def test_hinge_beyond_the_margin_has_no_gradient() -> None:
    p = torch.tensor([[2.0], [1.0], [-3.0]], requires_grad=True)
    _, gradient = value_and_gradient(nnloss.Hinge(), p, torch.tensor([[1.0], [1.0], [-1.0]]))
    assert gradient.tolist() == [[0.0], [0.0], [0.0]]
