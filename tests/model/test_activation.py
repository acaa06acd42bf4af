"""Every activation against its formula in NumPy float64."""

from collections.abc import Callable
from math import erf, pi, sqrt

import numpy as np
import pytest
import torch

from nnlab.model.activation import ACTIVATIONS, activation


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.01 * x),
    "prelu": lambda x: np.where(x >= 0, x, 0.25 * x),
    "relu6": lambda x: np.clip(x, 0, 6),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * (np.exp(x) - 1)),
    "celu": lambda x: np.maximum(0, x) + np.minimum(0, np.exp(x) - 1),
    "gelu": lambda x: x / 2 * (1 + np.vectorize(erf)(x / sqrt(2))),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sigmoid": sigmoid,
    "logsigmoid": lambda x: -softplus(-x),
    "tanh": np.tanh,
    "tanhshrink": lambda x: x - np.tanh(x),
    "hardtanh": lambda x: np.clip(x, -1, 1),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "softshrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "hardshrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
}


def test_table_holds_exactly_the_activations_with_a_formula() -> None:
    assert sorted(ACTIVATIONS) == sorted(FORMULAS)
    assert len(ACTIVATIONS) == 23


@pytest.mark.parametrize("name", FORMULAS)
def test_value_equals_formula(name: str) -> None:
    x = np.linspace(-8, 8, 203).reshape(7, 29)  # on both sides of every kink: -3, -1, -0.5, 0, 0.5, 1, 3, 6
    module = activation(name).double()
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), FORMULAS[name](x), rtol=1e-12, atol=1e-15)


def test_each_call_makes_a_module_of_its_own() -> None:
    assert activation("prelu") is not activation("prelu")


@pytest.mark.parametrize(
    ("name", "nearest"), [("rleu", "relu"), ("swish", "hardswish"), ("leakyrelu", "leaky_relu"), ("???", "tanhshrink")]
)
def test_unknown_name_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"expected .*{nearest}"):
        activation(name)
