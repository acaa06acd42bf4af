"""Elementary functions in C against NumPy in extended precision and SciPy, over all kinds of numbers."""

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import special

from native_c import NUMPYS, build, function, needs_compiler, pointers_to

pytestmark = needs_compiler
INF, NAN = np.inf, np.nan
Numbers = np.ndarray

NAMES = ["exp_of", "expm1_of", "log_of", "log1p_of", "log1p_of_unit", "tanh_of", "logistic", "probability", "density"]
SOURCE = """
#include "numbers.h"
INLINE real probability(real x) { return normal_at(x).probability; }
INLINE real density(real x) { return normal_at(x).density; }
""" + "".join(
    f"void all_{name}(const real *x, real *y, int64_t n) {{ for (int64_t i = 0; i < n; i++) y[i] = {name}(x[i]); }}\n"
    for name in NAMES
)

#: name -> the reference, the lowest and the highest x, and the largest error in units in the last place
CASES: dict[str, tuple[Callable[[Numbers], Numbers], float, float, float]] = {
    "exp_of": (np.exp, -INF, INF, 2),
    "expm1_of": (np.expm1, -INF, 0, 2),
    "log_of": (np.log, 0, INF, 2),
    "log1p_of": (np.log1p, -1, INF, 2),
    "log1p_of_unit": (np.log1p, 0, 1, 3),
    "tanh_of": (np.tanh, -INF, INF, 3),
    "logistic": (lambda x: 1 / (1 + np.exp(-x)), -INF, INF, 3),
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[torch.dtype, ctypes.CDLL]:
    return build(tmp_path_factory.mktemp("numbers"), SOURCE)


@pytest.fixture(params=NUMPYS, ids=str)
def compute(request: pytest.FixtureRequest, parts: dict[torch.dtype, ctypes.CDLL]) -> Callable[..., Numbers]:
    torch.set_flush_denormal(False)

    def of(name: str, x: Numbers | list[float]) -> Numbers:
        x = np.ascontiguousarray(x, dtype=NUMPYS[request.param])
        y = np.empty_like(x)
        function(parts[request.param], f"all_{name}")(*pointers_to(x, y), ctypes.c_int64(len(x)))
        return y

    of.dtype = NUMPYS[request.param]
    return of


def numbers(dtype: type, low: float, high: float) -> Numbers:
    """Random bits, which are numbers of all sizes, and numbers of usual sizes; both within limits."""
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 256, 400_000 * np.dtype(dtype).itemsize, dtype=np.uint8).view(dtype)
    usual = np.concatenate([rng.uniform(-110, 110, 200_000), rng.normal(size=200_000), np.arange(-64, 65) / 32])
    special = [0.0, -0.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).tiny, np.finfo(dtype).max, 1.0, -1.0]
    x = np.concatenate([bits, usual.astype(dtype), np.array(special, dtype=dtype)])
    return x[(x >= low) & (x <= high)]


def units_off(y: Numbers, expected: Numbers) -> Numbers:
    """Errors in units in the last place of the expected number."""
    rounded = expected.astype(y.dtype)
    same = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
    off = np.abs(y.astype(expected.dtype) - expected) / np.spacing(np.abs(rounded))
    return np.where(same, 0, off).astype(float)


@pytest.mark.parametrize("name", CASES)
@np.errstate(all="ignore")
def test_function_of_numbers_of_all_sizes_is_within_a_few_units(compute: Callable[..., Numbers], name: str) -> None:
    reference, low, high, most = CASES[name]
    x = numbers(compute.dtype, low, high)
    assert len(x) > 1000
    found, expected = compute(name, x), reference(x.astype(np.longdouble))
    if name == "logistic":  # 0 where exp(-x) is too large a number
        lost = np.abs(expected) < 4 * np.finfo(compute.dtype).tiny
        assert np.all(found[lost] <= 4 * np.finfo(compute.dtype).tiny)
        x, found, expected = x[~lost], found[~lost], expected[~lost]
    off = units_off(found, expected)
    worst = int(np.argmax(off))
    assert off[worst] <= most, f"{name}({x[worst]!r}) = {found[worst]!r}, expected {expected[worst]!r}"


@np.errstate(all="ignore")
def test_normal_distribution_is_within_a_few_roundings(compute: Callable[..., Numbers]) -> None:
    z = numbers(compute.dtype, -INF, INF)
    eps, exact = np.finfo(compute.dtype).eps, z.astype(np.float64)
    size = np.maximum(1, np.abs(exact))
    expected = special.ndtr(exact)
    assert np.all(np.abs(compute("probability", z) - expected) * size <= 2 * eps)
    expected = np.exp(-exact * exact / 2) / np.sqrt(2 * np.pi)
    assert np.all(np.abs(compute("density", z) - expected) * size <= 2 * eps)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("exp_of", [-INF, -1e30, 0, INF, 1e30, NAN], [0, 0, 1, INF, INF, NAN]),
        ("expm1_of", [-INF, -1e30, 0, NAN], [-1, -1, 0, NAN]),
        ("log_of", [-INF, -1, 0, -0.0, 1, INF, NAN], [NAN, NAN, -INF, -INF, 0, INF, NAN]),
        ("log1p_of", [-INF, -2, -1, 0, INF, NAN], [NAN, NAN, -INF, 0, INF, NAN]),
        ("log1p_of_unit", [0, NAN], [0, NAN]),
        ("tanh_of", [-INF, -1e30, 0, -0.0, 1e30, INF, NAN], [-1, -1, 0, -0.0, 1, 1, NAN]),
        ("logistic", [-INF, -1e30, 0, 1e30, INF, NAN], [0, 0, 0.5, 1, 1, NAN]),
        ("probability", [-INF, -1e30, 0, 1e30, INF, NAN], [0, 0, 0.5, 1, 1, NAN]),
        ("density", [-INF, -1e30, 1e30, INF, NAN], [0, 0, 0, 0, NAN]),
    ],
)  # fmt: skip
def test_function_of_an_extreme_number_is_its_limit(
    compute: Callable[..., Numbers], name: str, x: list[float], expected: list[float]
) -> None:
    found = compute(name, x * 20)  # vectors of them, and what is left over
    wanted = np.array(expected * 20, dtype=compute.dtype)
    np.testing.assert_allclose(found, wanted, rtol=np.finfo(compute.dtype).eps, atol=0)
    assert np.array_equal(np.signbit(found), np.signbit(wanted)) or name != "tanh_of"
