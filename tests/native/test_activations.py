"""Activations in C against torch's own, which autograd differentiates."""

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from native_c import NUMPYS, build, function, needs_compiler, pointers_to
from nnlab.model import ACTIVATIONS, slope_of
from nnlab.native.activations import Activation, code_of

VARIANTS: dict[str, Callable[[], nn.Module]] = {
    "relu_inplace": lambda: nn.ReLU(inplace=True),
    "leaky_relu_0.3": lambda: nn.LeakyReLU(0.3),
    "leaky_relu_above_1": lambda: nn.LeakyReLU(1.5),
    "leaky_relu_negative": lambda: nn.LeakyReLU(-2.5),
    "elu_2.5": lambda: nn.ELU(2.5),
    "elu_negative": lambda: nn.ELU(-0.5),
    "elu_0": lambda: nn.ELU(0.0),
    "celu_2": lambda: nn.CELU(2.0),
    "celu_0.25": lambda: nn.CELU(0.25),
    "softplus_early": lambda: nn.Softplus(beta=1, threshold=5),
    "softplus_steep": lambda: nn.Softplus(beta=2, threshold=5),
    "hardtanh_uneven": lambda: nn.Hardtanh(-0.5, 2.0),
    "hardtanh_open": lambda: nn.Hardtanh(0.25, np.inf),
    "softshrink_2": lambda: nn.Softshrink(2.0),
    "softshrink_0": lambda: nn.Softshrink(0.0),
    "hardshrink_2": lambda: nn.Hardshrink(2.0),
    "hardshrink_0": lambda: nn.Hardshrink(0.0),
    "hardshrink_negative": lambda: nn.Hardshrink(-1.0),
    "threshold": lambda: nn.Threshold(0.25, 7.0),
}
#: PReLU's function is another, as it has a weight
CURVED = {name: make for name, make in {**ACTIVATIONS, **VARIANTS}.items() if name not in ("identity", "prelu")}
ALL = pytest.mark.parametrize("name", CURVED)
TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-12}

#: every 64th from -10 to 30: all kinks of the cases lie on it
GRID = np.arange(-640, 1921) / 64
FAR = [-1e8, -1e4, -100, -40, -20, -1e-30, -0.0, 0.0, 1e-30, 20, 40, 100, 1e4, 1e8]

SOURCE = """
#include "numbers.h"
#include "activation.h"
void run(const Activation *f, real *a, real *slope, int64_t n) { activate(f, a, slope, n); }
void run_prelu(const real *w, real *a, real *slope, real *below, int64_t n) { prelu(*w, a, slope, below, n); }
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[torch.dtype, ctypes.CDLL]:
    return build(tmp_path_factory.mktemp("activations"), SOURCE)


@pytest.fixture(params=NUMPYS, ids=str)
def compute(request: pytest.FixtureRequest, parts: dict[torch.dtype, ctypes.CDLL]) -> Callable[..., tuple]:
    def of(layer: nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
        a, slope = z.numpy().copy(), np.full_like(z.numpy(), 99)
        code = code_of(layer)
        assert code is not None
        function(parts[z.dtype], "run")(ctypes.byref(code), *pointers_to(a, slope), ctypes.c_int64(len(a)))
        return torch.from_numpy(a), torch.from_numpy(slope)

    of.dtype = request.param
    return of


def by_torch(layer: nn.Module, z: Tensor) -> tuple[Tensor, Tensor]:
    z = z.detach().clone().requires_grad_()
    a = layer(z.clone())  # some work in place
    (slope,) = torch.autograd.grad(a.sum(), z)
    return a.detach(), slope


def assert_near(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    most = TOLERANCES[found[0].dtype]
    for ours, theirs in zip(found, expected, strict=True):
        # Of numbers in single precision, torch computes in double.
        torch.testing.assert_close(ours.double(), theirs, rtol=most, atol=most)


@needs_compiler
@ALL
def test_values_and_slopes_on_a_fine_grid_and_far_out_equal_torchs(compute: Callable[..., tuple], name: str) -> None:
    torch.manual_seed(3)
    layer = CURVED[name]()
    z = torch.cat([torch.tensor(GRID), torch.tensor(FAR, dtype=torch.float64), torch.randn(3000, dtype=torch.float64)])
    z = z.to(compute.dtype)
    assert_near(compute(layer, z), by_torch(layer, z.double()))


@needs_compiler
@ALL
def test_slope_on_and_beside_each_kink_is_torchs(compute: Callable[..., tuple], name: str) -> None:
    layer = CURVED[name]()
    slope = slope_of(layer)
    assert slope is not None
    for kink in slope.kinks(layer):
        at = torch.tensor(kink, dtype=compute.dtype)
        ends = [torch.nextafter(at, torch.tensor(side, dtype=at.dtype)) for side in (-np.inf, np.inf)]
        z = torch.stack([ends[0], at, ends[1]])
        # In the numbers' own precision: 0.01 may be rounded to the other side of a kink.
        own = by_torch(layer, z)
        assert_near(compute(layer, z), (own[0].double(), own[1].double()))


@needs_compiler
@ALL
def test_nan_and_infinity_give_what_they_give_in_torch(compute: Callable[..., tuple], name: str) -> None:
    layer = CURVED[name]()
    z = torch.tensor([np.nan, -np.inf, np.inf] * 15, dtype=compute.dtype)
    found = [ours.double() for ours in compute(layer, z)]
    expected = by_torch(layer, z.double())  # in single precision torch's gelu makes NaN of infinity
    assert found[0][0].isnan()
    torch.testing.assert_close(found[0], expected[0], equal_nan=True, rtol=1e-6, atol=1e-6)
    known = expected[1].isfinite() & ~z.isnan()
    torch.testing.assert_close(found[1][known], expected[1][known], rtol=1e-6, atol=1e-6)


@needs_compiler
@ALL
def test_bits_do_not_depend_on_the_neighbours(compute: Callable[..., tuple], name: str) -> None:
    layer = CURVED[name]()
    z = torch.linspace(-5, 7, 131, dtype=compute.dtype)
    a, slope = compute(layer, z)
    for part in (slice(0, 1), slice(1, 38), slice(38, 131)):
        found = compute(layer, z[part])
        assert torch.equal(found[0], a[part])
        assert torch.equal(found[1], slope[part])


@needs_compiler
def test_identity_leaves_values_and_slopes_alone(compute: Callable[..., tuple]) -> None:
    z = torch.tensor([-2.0, 0.5], dtype=compute.dtype)
    a, slope = compute(nn.Identity(), z)
    assert torch.equal(a, z)
    assert slope.tolist() == [99, 99]
    assert code_of(nn.Identity()).kind == Activation().kind == 0


@needs_compiler
@pytest.mark.parametrize("w", [0.25, -0.5, 0.0, 1.5])
@pytest.mark.parametrize("dtype", NUMPYS, ids=str)
def test_prelu_and_both_its_derivatives_are_torchs(
    parts: dict[torch.dtype, ctypes.CDLL], w: float, dtype: torch.dtype
) -> None:
    ends = [np.nan, -np.inf, np.inf]
    z = torch.cat([torch.tensor(GRID), torch.tensor([*FAR, *ends], dtype=torch.float64)]).to(dtype)
    a, slope, below = z.numpy().copy(), np.full_like(z.numpy(), 99), np.full_like(z.numpy(), 99)
    number = np.array([w], dtype=NUMPYS[dtype])
    function(parts[dtype], "run_prelu")(*pointers_to(number, a, slope, below), ctypes.c_int64(len(a)))
    weight = torch.full((len(z),), w, dtype=dtype, requires_grad=True)
    own = z.clone().requires_grad_()
    theirs = torch.nn.functional.prelu(own[None], weight)[0]  # a weight for each column
    theirs.sum().backward()
    for found, expected in ((a, theirs.detach()), (slope, own.grad), (below, weight.grad)):
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=0, equal_nan=True)


def test_every_activation_has_a_c_form() -> None:
    kinds = [code_of(make()) for make in ACTIVATIONS.values()]
    assert None not in kinds
    assert len(ACTIVATIONS) == 23


class OwnReLU(nn.ReLU):
    pass


@pytest.mark.parametrize(
    "layer", [OwnReLU(), nn.CELU(-1.0), nn.Softshrink(-1.0), nn.Softplus(beta=-1), nn.Linear(1, 1), nn.Softmax(-1)]
)
def test_other_layers_have_no_c_form(layer: nn.Module) -> None:
    assert code_of(layer) is None
