"""Losses in C against torch's, which autograd differentiates, in the layout of a tile."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nnlab.loss
from native_c import LANES, NUMPYS, build, function, needs_compiler, pointers_to
from nnlab.loss import (
    BCE,
    L1,
    MSE,
    BCEProbability,
    CrossEntropy,
    HalfMSE,
    Hinge,
    Huber,
    Loss,
    Polynomial,
    SmoothL1,
)
from nnlab.native.losses import LossCode, code_of, row_weights

CONFIGS = Path(__file__).parents[2] / "configs" / "loss"
TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-12}
WEIGHTS = [0.1, 2.0, 0.7]


class Case(NamedTuple):
    """A loss, the same by torch from prediction and target in double precision, and what it is asked about."""

    loss: Any
    by_torch: Callable[[Tensor, Tensor], Tensor]
    kind: str = "value"
    outputs: tuple[int, ...] = (1, 3)


def weighted_bce(p: Tensor, t: Tensor) -> Tensor:
    weight = 0.3 + t * (2.0 - 0.3)
    return (F.binary_cross_entropy_with_logits(p, t, reduction="none") * weight).sum() / weight.sum()


def cross_entropy(smoothing: float = 0.0, weight: list[float] | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    weights = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    return lambda p, t: F.cross_entropy(p, t, weight=weights, label_smoothing=smoothing)


CASES = {
    "mse": Case(MSE(), F.mse_loss),
    "half_mse": Case(HalfMSE(), lambda p, t: 0.5 * F.mse_loss(p, t)),
    "l1": Case(L1(), F.l1_loss),
    "huber": Case(Huber(1.0), F.huber_loss),
    "huber_0.3": Case(Huber(0.3), lambda p, t: F.huber_loss(p, t, delta=0.3)),
    "smooth_l1": Case(SmoothL1(2.0), lambda p, t: F.smooth_l1_loss(p, t, beta=2.0)),
    "smooth_l1_0": Case(SmoothL1(0.0), F.l1_loss),
    "bce": Case(BCE(), F.binary_cross_entropy_with_logits, "class"),
    "bce_soft": Case(BCE(), F.binary_cross_entropy_with_logits, "share"),
    "bce_weighted": Case(BCE([0.3, 2.0]), weighted_bce, "class", (1,)),
    "bce_probability": Case(BCEProbability(), F.binary_cross_entropy, "probability"),
    "hinge": Case(Hinge(), lambda p, t: F.relu(1 - t * p).mean(), "sign"),
    "polynomial": Case(Polynomial([6, 5, 2]), lambda p, t: (6 + 5 * p + 2 * p**2).mean()),
    "polynomial_constant": Case(Polynomial([3]), lambda p, t: (3 + 0 * p).mean()),
    "polynomial_long": Case(Polynomial([0.5] * 12), lambda p, t: sum(0.5 * p**k for k in range(12)).mean()),
    "cross_entropy": Case(CrossEntropy(0.0), cross_entropy(), "code", (1, 2, 3, 11)),
    "cross_entropy_smooth": Case(CrossEntropy(0.1), cross_entropy(0.1), "code", (2, 3, 11)),
    "cross_entropy_all_smooth": Case(CrossEntropy(1.0), cross_entropy(1.0), "code", (3,)),
    "cross_entropy_weighted": Case(CrossEntropy(0.0, WEIGHTS), cross_entropy(0.0, WEIGHTS), "code", (3,)),
    "cross_entropy_both": Case(CrossEntropy(0.1, WEIGHTS), cross_entropy(0.1, WEIGHTS), "code", (3,)),
    "torch_mse": Case(nn.MSELoss(), nn.MSELoss()),
    "torch_l1": Case(nn.L1Loss(), nn.L1Loss()),
    "torch_huber": Case(nn.HuberLoss(delta=0.7), nn.HuberLoss(delta=0.7)),
    "torch_smooth_l1": Case(nn.SmoothL1Loss(beta=0.7), nn.SmoothL1Loss(beta=0.7)),
    "torch_smooth_l1_0": Case(nn.SmoothL1Loss(beta=0.0), nn.SmoothL1Loss(beta=0.0)),
    "torch_bce": Case(nn.BCEWithLogitsLoss(), nn.BCEWithLogitsLoss(), "share"),
    "torch_bce_probability": Case(nn.BCELoss(), nn.BCELoss(), "probability"),
    "torch_cross_entropy": Case(nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), "code", (3,)),
    "torch_cross_entropy_smooth": Case(
        nn.CrossEntropyLoss(label_smoothing=0.2), nn.CrossEntropyLoss(label_smoothing=0.2), "code", (3,)
    ),
}
ALL = pytest.mark.parametrize("name", CASES)

SOURCE = """
#include "numbers.h"
#include "loss.h"
double run(const Loss *f, int64_t outputs, int64_t n, int64_t width, const real *p, const real *target,
           const int64_t *codes, const real *weight, double scale, real *g) {
    return add_loss(f, outputs, n, width, p, target, codes, weight, scale, g);
}
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[torch.dtype, ctypes.CDLL]:
    return build(tmp_path_factory.mktemp("losses"), SOURCE)


@pytest.fixture(params=NUMPYS, ids=str)
def compute(request: pytest.FixtureRequest, parts: dict[torch.dtype, ctypes.CDLL]) -> Callable[..., tuple]:
    def of(loss: Any, p: Tensor, target: Tensor, fill: float = 1e30) -> tuple[float, Tensor]:
        """The loss, and the derivative [N, O]; numbers beyond the rows and beyond the tile are looked after."""
        n, outputs = p.shape
        width = -(-n // LANES) * LANES
        has_codes = target.dtype == torch.int64
        code, weights = code_of(loss), row_weights(loss, target)
        assert code is not None
        g = np.full(outputs * width + LANES, 77, dtype=NUMPYS[p.dtype])
        value = function(parts[p.dtype], "run", ctypes.c_double)(
            ctypes.byref(code), *map(ctypes.c_int64, (outputs, n, width)),
            *pointers_to(
                tile(p, width, fill), None if has_codes else tile(target, width, fill),
                target.numpy() if has_codes else None,
                None if weights is None else tile(weights.to(p.dtype)[:, None], width, fill)[0],
            ),
            ctypes.c_double(1 / (n if has_codes else n * outputs) if weights is None else 1 / float(weights.sum())),
            *pointers_to(g),
        )  # fmt: skip
        assert np.all(g[outputs * width :] == 77)
        rows = g[: outputs * width].reshape(outputs, width)
        assert np.all(rows[:, n:] == 0)
        return value, torch.from_numpy(rows[:, :n].T.copy())

    of.dtype = request.param
    return of


def tile(rows: Tensor, width: int, fill: float) -> np.ndarray:
    units = np.full((rows.shape[1], width), fill, dtype=rows.numpy().dtype)
    units[:, : len(rows)] = rows.numpy().T
    return units


def by_torch(case: Case, p: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    p = p.detach().double().requires_grad_()
    value = case.by_torch(p, target if target.dtype == torch.int64 else target.double())
    (slope,) = torch.autograd.grad(value, p)
    return value.detach(), slope


def data(kind: str, n: int, outputs: int, dtype: torch.dtype, size: float = 2.0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(n * 31 + outputs)
    p = size * torch.randn(n, outputs, dtype=dtype)
    targets = {
        "value": torch.randn(n, outputs, dtype=dtype),
        "class": torch.randint(0, 2, (n, outputs)).to(dtype),
        "share": torch.rand(n, outputs, dtype=dtype),
        "probability": torch.randint(0, 2, (n, outputs)).to(dtype),
        "sign": torch.randint(0, 2, (n, outputs)).to(dtype) * 2 - 1,
        "code": torch.randint(0, outputs, (n,)),
    }
    return p.sigmoid() if kind == "probability" else p, targets[kind]


def assert_near(found: tuple[float, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    most = TOLERANCES[found[1].dtype]
    assert found[0] == pytest.approx(float(expected[0]), rel=most, abs=most)
    torch.testing.assert_close(found[1].double(), expected[1], rtol=4 * most, atol=most / len(found[1]))


@needs_compiler
@ALL
@pytest.mark.parametrize("n", [1, 5, 16, 32, 64, 70, 200])
def test_loss_and_derivative_are_torchs(compute: Callable[..., tuple], name: str, n: int) -> None:
    for outputs in CASES[name].outputs:
        p, target = data(CASES[name].kind, n, outputs, compute.dtype)
        assert_near(compute(CASES[name].loss, p, target), by_torch(CASES[name], p, target))


@needs_compiler
@pytest.mark.parametrize(
    ("name", "p", "target"),
    [
        ("l1", [1.0, 2.0, 0.0], [1.0, 1.0, 1.0]),
        ("huber", [2.0, 0.0, 1.0, 4.0], [1.0, 1.0, 1.0, -4.0]),
        ("smooth_l1", [2.0, -2.0, 0.0, 4.0], [0.0, 0.0, 0.0, -4.0]),
        ("smooth_l1_0", [1.0, 2.0, 0.0], [1.0, 1.0, 1.0]),
        ("bce", [0.0, 200.0, -200.0, 200.0, -200.0, 1e30], [1.0, 1.0, 1.0, 0.0, 0.0, 1.0]),
        ("hinge", [1.0, -1.0, 2.0, 0.5], [1.0, -1.0, 1.0, -1.0]),
    ],
)
def test_loss_at_corners_and_far_out_is_torchs(
    compute: Callable[..., tuple], name: str, p: list[float], target: list[float]
) -> None:
    rows = torch.tensor([p, target], dtype=compute.dtype)
    assert_near(compute(CASES[name].loss, rows[0, :, None], rows[1, :, None]), by_torch(CASES[name], *rows[..., None]))


@needs_compiler
@pytest.mark.parametrize("probability", [0.0, 1.0, 1e-30, 1e-10, 0.5])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_probability_at_the_ends_has_torchs_loss_and_slope(
    compute: Callable[..., tuple], probability: float, target: float
) -> None:
    p, t = torch.tensor([[probability]], dtype=compute.dtype), torch.tensor([[target]], dtype=compute.dtype)
    value, slope = compute(BCEProbability(), p, t)
    own = p.clone().requires_grad_()  # in its own precision: in double, 1 - 1e-30 and 1e-12 would be others
    expected = F.binary_cross_entropy(own, t)
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-6, abs=1e-12)
    assert slope.item() == pytest.approx(own.grad.item(), rel=1e-6)


@needs_compiler
@pytest.mark.parametrize("name", ["cross_entropy", "cross_entropy_all_smooth", "cross_entropy_both"])
@pytest.mark.parametrize("shift", [-3e4, 3e4])
def test_large_logits_lose_nothing(compute: Callable[..., tuple], name: str, shift: float) -> None:
    p, target = data("code", 40, 3, compute.dtype)
    p = (p * 8).round() / 8 + shift
    assert_near(compute(CASES[name].loss, p, target), by_torch(CASES[name], p, target))


@needs_compiler
@ALL
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_prediction_that_is_no_number_ends_in_none(compute: Callable[..., tuple], name: str, bad: float) -> None:
    case = CASES[name]
    p, target = data(case.kind, 40, case.outputs[-1], compute.dtype)
    p[17, 0] = bad
    value, slope = compute(case.loss, p, target)
    if case.kind == "probability":  # where torch stops with an error
        assert np.isnan(value)
        return
    expected, slopes = by_torch(case, p, target)
    if expected.isfinite():
        assert value == pytest.approx(float(expected), rel=1e-6)
    else:  # infinite by one order of operations, none by another: both end a run
        assert not np.isfinite(value)
    assert np.isnan(value) or np.isinf(bad)
    rest = torch.arange(len(p)) != 17
    torch.testing.assert_close(slope[rest].double(), slopes[rest], rtol=1e-5, atol=1e-7)


@needs_compiler
@ALL
def test_rows_of_padding_change_nothing(compute: Callable[..., tuple], name: str) -> None:
    case = CASES[name]
    p, target = data(case.kind, 21, case.outputs[-1], compute.dtype)
    ends = [compute(case.loss, p, target, fill) for fill in (0.0, 1e30, np.inf, np.nan)]
    for value, slope in ends[1:]:
        assert value == ends[0][0]
        assert torch.equal(slope, ends[0][1])


@needs_compiler
@ALL
def test_loss_of_many_rows_is_exact_to_seven_digits(compute: Callable[..., tuple], name: str) -> None:
    case = CASES[name]
    p, target = data(case.kind, 20_000, case.outputs[-1], compute.dtype, size=0.5)
    value, _ = compute(case.loss, p, target)
    assert value == pytest.approx(float(by_torch(case, p, target)[0]), rel=1e-7)


@needs_compiler
@pytest.mark.parametrize("wrong", [-1, -100, 3])
def test_code_that_is_no_class_gives_nan_and_touches_nothing(compute: Callable[..., tuple], wrong: int) -> None:
    p, target = data("code", 20, 3, compute.dtype)
    target[4] = wrong
    assert np.isnan(compute(CrossEntropy(0.0), p, target)[0])


@needs_compiler
def test_class_weights_that_are_too_few_give_nan(compute: Callable[..., tuple]) -> None:
    p, target = data("code", 20, 3, compute.dtype)
    assert np.isnan(compute(CrossEntropy(0.1, [1.0, 2.0]), p, target % 2)[0])


def test_every_loss_has_a_c_form_and_every_option_a_case() -> None:
    classes = {one for one in vars(nnlab.loss).values() if isinstance(one, type) and issubclass(one, Loss)} - {Loss}
    assert {type(case.loss) for case in CASES.values() if isinstance(case.loss, Loss)} == classes
    assert {path.stem for path in CONFIGS.glob("*.yaml")} - {"auto"} <= set(CASES)
    assert all(code_of(case.loss) is not None for case in CASES.values())


class OwnMSE(nn.MSELoss):
    pass


@pytest.mark.parametrize(
    "loss",
    [
        OwnMSE(), nn.MSELoss(reduction="sum"), nn.HuberLoss(reduction="none"), nn.BCELoss(torch.ones(1)),
        nn.BCEWithLogitsLoss(pos_weight=torch.ones(1)), nn.CrossEntropyLoss(weight=torch.ones(2)),
        nn.CrossEntropyLoss(ignore_index=0), nn.NLLLoss(), F.mse_loss, None,
    ],
)  # fmt: skip
def test_other_losses_have_no_c_form(loss: object) -> None:
    assert code_of(loss) is None


def test_numbers_live_as_long_as_what_points_at_them() -> None:
    class Holder(ctypes.Structure):
        _fields_ = [("first", ctypes.c_int64), ("loss", LossCode)]

    holders = [Holder(1, code_of(Polynomial([one, 2.0, 3.0]))) for one in range(200)]
    assigned = Holder()
    assigned.loss = code_of(Polynomial([9.0, 8.0]))
    gc.collect()
    [np.full(3, 99.0) for _ in range(1000)]
    assert [holder.loss.numbers[0] for holder in holders] == list(range(200))
    assert assigned.loss.numbers[:2] == [9.0, 8.0]


def test_row_weights_are_the_classes_in_double_precision() -> None:
    codes, binary = torch.tensor([2, 0, 1]), torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    assert row_weights(CrossEntropy(0.0, WEIGHTS), codes).tolist() == [0.7, 0.1, 2.0]
    single = CrossEntropy(0.0, WEIGHTS)
    single(torch.zeros(3, 3), codes)  # which makes it keep them in single precision
    assert row_weights(single, codes).tolist() == [0.7, 0.1, 2.0]
    assert row_weights(BCE([0.3, 2.0]), binary).tolist() == [2.0, 0.3]
    for loss in (CrossEntropy(0.0), BCE(), MSE(), nn.MSELoss()):
        assert row_weights(loss, codes) is None
