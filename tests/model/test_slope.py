"""The derivative of every activation against autograd, formulas in NumPy, and its own one-sided limits."""

from collections.abc import Callable
from math import erf, inf, pi, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnlab.model import ACTIVATIONS, Slope, activation, slope_of

VARIANTS: dict[str, Callable[[], nn.Module]] = {
    "leaky_relu_0.3": lambda: nn.LeakyReLU(0.3),
    "leaky_relu_above_1": lambda: nn.LeakyReLU(1.5),
    "leaky_relu_negative": lambda: nn.LeakyReLU(-2.5),
    "leaky_relu_straight": lambda: nn.LeakyReLU(1.0),
    "relu_inplace": lambda: nn.ReLU(inplace=True),
    "elu_2.5": lambda: nn.ELU(2.5),
    "elu_negative": lambda: nn.ELU(-0.5),
    "elu_0": lambda: nn.ELU(0.0),
    "celu_2": lambda: nn.CELU(2.0),
    "celu_0.25": lambda: nn.CELU(0.25),
    "softplus_early": lambda: nn.Softplus(beta=1, threshold=5),
    "softplus_steep": lambda: nn.Softplus(beta=2, threshold=5),
    "hardtanh_uneven": lambda: nn.Hardtanh(-0.5, 2.0),
    "hardtanh_open": lambda: nn.Hardtanh(0.25, inf),
    "softshrink_2": lambda: nn.Softshrink(2.0),
    "hardshrink_2": lambda: nn.Hardshrink(2.0),
    "hardshrink_negative": lambda: nn.Hardshrink(-1.0),
    "threshold": lambda: nn.Threshold(0.25, 7.0),
}
CASES = {**ACTIVATIONS, **VARIANTS}
ALL = pytest.mark.parametrize("name", CASES)

#: every 64th from -10 to 30: all kinks of the cases lie on it
GRID = torch.arange(-640, 1921, dtype=torch.float64) / 64


def forward(layer: nn.Module, z: Tensor) -> Tensor:
    return layer(z.clone())  # some work in place


def by_autograd(layer: nn.Module, z: Tensor) -> Tensor:
    z = z.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(forward(layer, z).sum(), z)
    return slope


@torch.no_grad()
def by_hand(layer: nn.Module, z: Tensor) -> Tensor:
    slope = slope_of(layer)
    assert slope is not None
    return slope.of(layer, z, forward(layer, z))


@ALL
def test_slope_on_a_fine_grid_with_its_kinks_equals_autograd(name: str) -> None:
    layer = CASES[name]().double()
    torch.testing.assert_close(by_hand(layer, GRID), by_autograd(layer, GRID), rtol=0, atol=1e-12)


@ALL
def test_slope_beside_each_kink_equals_autograd(name: str) -> None:
    layer = CASES[name]().double()
    slope = slope_of(layer)
    assert slope is not None
    for kink in slope.kinks(layer):
        z = torch.tensor([np.nextafter(kink, -inf), kink, np.nextafter(kink, inf)], dtype=torch.float64)
        torch.testing.assert_close(by_hand(layer, z), by_autograd(layer, z), rtol=0, atol=1e-12)


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slope_far_out_equals_autograd_and_is_finite(name: str, dtype: torch.dtype) -> None:
    layer = CASES[name]().to(dtype)
    z = torch.tensor([-1e8, -1e4, -100, -40, -20, -1e-30, -0.0, 0.0, 1e-30, 20, 40, 100, 1e4, 1e8], dtype=dtype)
    reference = by_autograd(layer, z)
    assert reference.isfinite().all()
    torch.testing.assert_close(by_hand(layer, z), reference, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-12)


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slope_has_the_shape_and_dtype_of_z_whatever_axes_lead(name: str, dtype: torch.dtype) -> None:
    layer = CASES[name]().to(dtype)
    z = torch.linspace(-4, 4, 2 * 3 * 5 * 4, dtype=dtype).view(2, 3, 5, 4)
    stacked = by_hand(layer, z)
    assert (stacked.shape, stacked.dtype) == (z.shape, dtype)
    alone = torch.stack([by_hand(layer, one) for one in z.view(6, 5, 4)]).view(z.shape)
    torch.testing.assert_close(stacked, alone, rtol=1e-6, atol=1e-7)


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def normal(x: np.ndarray) -> np.ndarray:
    return (1 + np.vectorize(erf)(x / sqrt(2))) / 2


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
#: the activation, away from kinks; what autograd knows of torch's functions does not enter
FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "relu_inplace": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "leaky_relu_0.3": lambda z: np.where(z > 0, z, 0.3 * z),
    "leaky_relu_above_1": lambda z: np.where(z > 0, z, 1.5 * z),
    "leaky_relu_negative": lambda z: np.where(z > 0, z, -2.5 * z),
    "leaky_relu_straight": lambda z: z,
    "prelu": lambda z: np.where(z > 0, z, 0.25 * z),
    "relu6": lambda z: np.clip(z, 0, 6),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
    "elu_2.5": lambda z: np.where(z > 0, z, 2.5 * np.expm1(z)),
    "elu_negative": lambda z: np.where(z > 0, z, -0.5 * np.expm1(z)),
    "elu_0": lambda z: np.maximum(z, 0),
    "selu": lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(z)),
    "celu": lambda z: np.where(z > 0, z, np.expm1(z)),
    "celu_2": lambda z: np.where(z > 0, z, 2 * np.expm1(z / 2)),
    "celu_0.25": lambda z: np.where(z > 0, z, np.expm1(4 * np.minimum(z, 0)) / 4),
    "gelu": lambda z: z * normal(z),
    "gelu_tanh": lambda z: z / 2 * (1 + np.tanh(sqrt(2 / pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z * logistic(z),
    "mish": lambda z: z * np.tanh(np.log1p(np.exp(z))),
    "softplus": lambda z: np.log1p(np.exp(z)),
    "softplus_early": lambda z: np.where(z > 5, z, np.log1p(np.exp(z))),
    "softplus_steep": lambda z: np.where(2 * z > 5, z, np.log1p(np.exp(2 * z)) / 2),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "sigmoid": logistic,
    "logsigmoid": lambda z: -np.log1p(np.exp(-z)),
    "tanh": np.tanh,
    "tanhshrink": lambda z: z - np.tanh(z),
    "hardtanh": lambda z: np.clip(z, -1, 1),
    "hardtanh_uneven": lambda z: np.clip(z, -0.5, 2),
    "hardtanh_open": lambda z: np.maximum(z, 0.25),
    "hardsigmoid": lambda z: np.clip(z + 3, 0, 6) / 6,
    "hardswish": lambda z: z * np.clip(z + 3, 0, 6) / 6,
    "softshrink": lambda z: np.sign(z) * np.maximum(np.abs(z) - 0.5, 0),
    "softshrink_2": lambda z: np.sign(z) * np.maximum(np.abs(z) - 2, 0),
    "hardshrink": lambda z: np.where(np.abs(z) > 0.5, z, 0),
    "hardshrink_2": lambda z: np.where(np.abs(z) > 2, z, 0),
    "hardshrink_negative": lambda z: z,
    "threshold": lambda z: np.where(z > 0.25, z, 7),
}


@ALL
def test_slope_away_from_kinks_equals_central_differences_of_the_formula(name: str) -> None:
    f, layer = FORMULAS[name], CASES[name]().double()
    z, h = np.arange(-8, 8, 1 / 16) + 0.01, 1e-3
    # Of fourth order (Abramowitz and Stegun, table 25.2): its error is h^4 / 30 times the fifth derivative.
    expected = (8 * (f(z + h) - f(z - h)) - (f(z + 2 * h) - f(z - 2 * h))) / (12 * h)
    found = by_hand(layer, torch.from_numpy(z)).numpy()
    # The 1/6 of torch's hardsigmoid is a float32, 5e-9 above; autograd has it too.
    np.testing.assert_allclose(found, expected, rtol=0, atol=6e-9 if name == "hardsigmoid" else 3e-10)


def test_every_case_has_its_formula() -> None:
    assert set(FORMULAS) == set(CASES)
    assert len(CASES) == 41


def derivatives(layer: nn.Module, z: Tensor) -> list[Tensor]:
    """The activation with its first and second derivative, by autograd."""
    z = z.clone().requires_grad_()
    # torch has no second derivative of its hardsigmoid
    found = [nn.functional.relu6(z + 3) / 6 if isinstance(layer, nn.Hardsigmoid) else forward(layer, z)]
    for _ in range(2):
        below = found[-1]
        (above,) = torch.autograd.grad(below.sum(), z, create_graph=True) if below.requires_grad else (z * 0,)
        found.append(above)
    return [one.detach() for one in found]


@ALL
def test_kinks_are_listed_exactly_where_one_sided_derivatives_differ(name: str) -> None:
    layer, h = CASES[name]().double(), 1e-12
    below, above = derivatives(layer, GRID - h), derivatives(layer, GRID + h)
    # softplus jumps by 2e-9 where torch cuts it; a smooth function moves by 2 h times its slope
    jumps = torch.stack([(a - b).abs() > 1e-10 for a, b in zip(below, above, strict=True)]).any(dim=0)
    slope = slope_of(layer)
    assert slope is not None
    assert GRID[jumps].tolist() == [kink for kink in slope.kinks(layer) if kink < inf]


@pytest.mark.parametrize("layer", [nn.Softshrink(0.0), nn.Hardshrink(0.0)], ids=repr)
def test_shrinking_by_nothing_has_a_kink_where_torchs_slope_is_0(layer: nn.Module) -> None:
    slope = slope_of(layer)
    assert slope is not None
    assert slope.kinks(layer) == (0.0,)
    z = torch.tensor([-1.0, 0.0, 1.0])
    assert by_hand(layer, z).tolist() == by_autograd(layer, z).tolist() == [1.0, 0.0, 1.0]


PRELUS = {"one_weight": [0.25], "a_weight_for_each_unit": [0.25, -0.5, 0.0, 1.5]}


@pytest.mark.parametrize("weight", PRELUS.values(), ids=PRELUS)
def test_prelu_slope_and_weight_gradient_equal_autograd(weight: list[float]) -> None:
    layer = nn.PReLU(len(weight)).double()
    layer.weight.data = torch.tensor(weight, dtype=torch.float64)
    torch.manual_seed(3)
    z, grad = torch.randn(2, 6, 4, dtype=torch.float64)
    z[0] = 0.0
    leaf = z.clone().requires_grad_()
    by_z, by_weight = torch.autograd.grad((layer(leaf) * grad).sum(), [leaf, layer.weight])
    slope = slope_of(layer)
    assert slope is not None
    assert slope.weight is not None
    with torch.no_grad():
        torch.testing.assert_close(slope.of(layer, z, layer(z)) * grad, by_z, rtol=0, atol=1e-12)
        torch.testing.assert_close(slope.weight(layer, z, grad), by_weight, rtol=0, atol=1e-12)
        expected = np.minimum(z.numpy(), 0) * grad.numpy()
        found = slope.weight(layer, z.view(2, 3, 4), grad.view(2, 3, 4))
        np.testing.assert_allclose(found, expected.sum(0) if len(weight) > 1 else [expected.sum()], atol=1e-12)


def test_only_prelu_has_a_weight() -> None:
    slopes = {name: slope_of(activation(name)) for name in ACTIVATIONS}
    assert [name for name, slope in slopes.items() if slope is None or slope.weight] == ["prelu"]


class Cube(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z**3

    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return 3 * z * z


class Distance(nn.Module):
    """From a point that is set when it is made."""

    def __init__(self, point: float) -> None:
        super().__init__()
        self.kinks = [point]

    def forward(self, z: Tensor) -> Tensor:
        return (z - self.kinks[0]).abs()

    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return (z - self.kinks[0]).sign()


class Staircase(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z.floor()

    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return torch.zeros_like(z)

    def kinks(self) -> tuple[float, ...]:
        return (-1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("layer", "kinks"),
    [(Cube(), ()), (Distance(0.5), (0.5,)), (Staircase(), (-1.0, 0.0, 1.0))],
    ids=["smooth", "attribute", "method"],
)
def test_class_of_ones_own_tells_its_slope_and_kinks(layer: nn.Module, kinks: tuple[float, ...]) -> None:
    slope = slope_of(layer)
    assert isinstance(slope, Slope)
    assert slope.kinks(layer) == kinks
    assert slope.weight is None
    z = torch.tensor([[-0.3, 0.2], [0.7, 2.4]], dtype=torch.float64)
    torch.testing.assert_close(by_hand(layer, z), by_autograd(layer, z), rtol=0, atol=1e-12)


class Derived(nn.ReLU):
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z) ** 2


class Numbered(nn.Module):
    """Its slope is a number, not a derivative."""

    slope: Any = 0.1


class Learned(nn.Module):
    """Nothing tells the derivative with respect to its parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return torch.ones_like(z) * self.scale


@pytest.mark.parametrize("make", [Derived, Numbered, Learned, nn.RReLU, nn.Softmax, nn.GLU, lambda: nn.Linear(2, 2)])
def test_layer_whose_derivative_is_not_known_has_none(make: Callable[[], nn.Module]) -> None:
    assert slope_of(make()) is None


def test_no_autograd_is_recorded_and_arguments_are_left_alone() -> None:
    for make in CASES.values():
        layer = make()
        z = torch.linspace(-3, 3, 12).view(3, 4)
        with torch.no_grad():
            a = forward(layer, z)
            before = z.clone(), a.clone()
            slope = slope_of(layer)
            assert slope is not None
            assert not slope.of(layer, z, a).requires_grad
        assert torch.equal(z, before[0])
        assert torch.equal(a, before[1])
