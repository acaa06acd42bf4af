"""Every filling against torch.nn.init under the same seed, its moments, biases, and what is refused.

What draws from a few numbers, bernoulli and multinomial, is in test_discrete.py.
"""

import inspect
import itertools
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from nnlab import init
from nnlab.init.layers import apply

CONFIGS = Path(__file__).parents[2] / "configs" / "init"
SIZES = (30, 200, 400, 5)


def layers(sizes: tuple[int, ...] = SIZES, bias: bool = True, seed: int = 3) -> list[nn.Linear]:
    torch.manual_seed(seed)
    return [nn.Linear(inputs, outputs, bias=bias) for inputs, outputs in itertools.pairwise(sizes)]


Fill = Callable[..., object]
#: ours, torch's, and the expected bound (uniform) or standard deviation (normal) for 200 inputs and 400 outputs
ROWS: dict[str, tuple[Fill, Callable[[Tensor], object], float | None, float | None]] = {
    "uniform": (
        partial(init.uniform, a=-0.5, b=0.5),
        lambda w: nn.init.uniform_(w, -0.5, 0.5),
        0.5,
        1 / math.sqrt(12),
    ),
    "normal": (partial(init.normal, mean=0.0, std=0.2), lambda w: nn.init.normal_(w, 0.0, 0.2), None, 0.2),
    "xavier_uniform": (
        partial(init.xavier_uniform, gain=2.0),
        lambda w: nn.init.xavier_uniform_(w, 2.0),
        2 * math.sqrt(6 / 600),
        2 * math.sqrt(2 / 600),
    ),
    "xavier_normal": (
        partial(init.xavier_normal, gain=2.0),
        lambda w: nn.init.xavier_normal_(w, 2.0),
        None,
        2 * math.sqrt(2 / 600),
    ),
    "kaiming_uniform": (
        partial(init.kaiming_uniform, a=0.0, mode="fan_in", nonlinearity="relu"),
        lambda w: nn.init.kaiming_uniform_(w, 0.0, "fan_in", "relu"),
        math.sqrt(6 / 200),
        math.sqrt(2 / 200),
    ),
    "kaiming_normal": (
        partial(init.kaiming_normal, a=0.2, mode="fan_out", nonlinearity="leaky_relu"),
        lambda w: nn.init.kaiming_normal_(w, 0.2, "fan_out", "leaky_relu"),
        None,
        math.sqrt(2 / 1.04 / 400),
    ),
    "orthogonal": (
        partial(init.orthogonal, gain=1.5),
        lambda w: nn.init.orthogonal_(w, 1.5),
        None,
        1.5 / math.sqrt(400),
    ),
    "zeros": (init.zeros, nn.init.zeros_, 0.0, 0.0),
}
ALL = pytest.mark.parametrize("name", ROWS)


@ALL
def test_weights_under_the_same_seed_equal_torchs(name: str) -> None:
    fill, torch_fill, _, _ = ROWS[name]
    ours, theirs = layers(), layers()
    torch.manual_seed(11)
    apply(ours, fill, "default")
    torch.manual_seed(11)
    for layer in theirs:
        torch_fill(layer.weight)
    for layer, expected, fresh in zip(ours, theirs, layers(), strict=True):
        assert torch.equal(layer.weight, expected.weight)
        assert torch.equal(layer.bias, fresh.bias)
        assert layer.weight.requires_grad
        assert layer.weight.grad_fn is None


@ALL
def test_weights_have_the_moments_of_their_formula(name: str) -> None:
    fill, _, bound, std = ROWS[name]
    model = layers()
    apply(model, fill, "default")
    weight = model[1].weight  # 400 x 200: the sample's deviation is within 1 % of the distribution's
    assert weight.mean().item() == pytest.approx(0, abs=0.01 * (std or 0) + 1e-12)
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    if bound:
        assert 0.999 * bound < weight.abs().max().item() <= bound * (1 + 1e-6)


def test_normal_takes_a_mean_and_a_deviation_for_each_layer() -> None:
    model, expected = layers(), layers()
    torch.manual_seed(11)
    apply(model, partial(init.normal, mean=[0, 0.5, -1], std=[0.1, 0.0, 2]), "same")
    torch.manual_seed(11)
    for layer, mean, std in zip(expected, [0, 0.5, -1], [0.1, 0.0, 2], strict=True):
        nn.init.normal_(layer.weight, mean, std)
        nn.init.normal_(layer.bias, mean, std)
    for layer, reference in zip(model, expected, strict=True):
        assert torch.equal(layer.weight, reference.weight)
        assert torch.equal(layer.bias, reference.bias)


@pytest.mark.parametrize("key", ["mean", "std"])
@pytest.mark.parametrize("numbers", [[], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
def test_normal_with_a_list_of_another_length_is_refused_with_both_numbers(key: str, numbers: list[float]) -> None:
    keys: dict[str, Any] = {"mean": 0.0, "std": 1.0, key: numbers}
    message = rf"^init\.{key}: expected 3 numbers, one for each linear layer, found {len(numbers)}$"
    with pytest.raises(ValueError, match=message):
        apply(layers(), partial(init.normal, **keys), "zeros")


def test_orthogonal_columns_are_orthonormal_times_the_gain() -> None:
    model = layers()
    apply(model, partial(init.orthogonal, gain=1.5), "default")
    weight = model[1].weight.double()
    torch.testing.assert_close(weight.T @ weight, 2.25 * torch.eye(200, dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize("fill", [None, init.default])
@pytest.mark.parametrize("bias", ["default", "same"])
def test_default_leaves_torchs_start_and_draws_nothing(fill: Fill | None, bias: str) -> None:
    model, fresh = layers(), layers()
    state = torch.get_rng_state()
    apply(model, fill, bias)
    assert torch.equal(torch.get_rng_state(), state)
    for layer, expected in zip(model, fresh, strict=True):
        assert torch.equal(layer.weight, expected.weight)
        assert torch.equal(layer.bias, expected.bias)


@pytest.mark.parametrize(("bias", "value"), [("zeros", 0.0), (0.1, 0.1), (2, 2.0)])
def test_bias_of_one_number_is_set_everywhere(bias: str | float, value: float) -> None:
    model = layers()
    apply(model, init.default, bias)
    for layer in model:
        assert torch.equal(layer.bias, torch.full_like(layer.bias, value))


def test_bias_drawn_like_the_weights_comes_after_its_weight() -> None:
    model, expected = layers(), layers()
    torch.manual_seed(5)
    apply(model, partial(init.uniform, a=-1.0, b=1.0), "same")
    torch.manual_seed(5)
    for layer in expected:
        nn.init.uniform_(layer.weight, -1, 1)
        nn.init.uniform_(layer.bias, -1, 1)
    for layer, reference in zip(model, expected, strict=True):
        assert torch.equal(layer.weight, reference.weight)
        assert torch.equal(layer.bias, reference.bias)


def test_bias_drawn_like_fan_weights_is_a_weight_of_one_input() -> None:
    model = layers((1, 5000))
    apply(model, partial(init.xavier_normal, gain=1.0), "same")
    assert model[0].bias.std().item() == pytest.approx(math.sqrt(2 / 5001), rel=0.05)
    apply(model, partial(init.kaiming_normal, a=0.0, mode="fan_in", nonlinearity="relu"), "same")
    assert model[0].bias.std().item() == pytest.approx(math.sqrt(2), rel=0.05)


def test_layers_without_a_bias_draw_none() -> None:
    model, expected = layers(bias=False), layers(bias=False)
    torch.manual_seed(5)
    apply(model, partial(init.normal, mean=0.0, std=1.0), "same")
    torch.manual_seed(5)
    for layer, reference in zip(model, expected, strict=True):
        nn.init.normal_(reference.weight)
        assert torch.equal(layer.weight, reference.weight)
        assert layer.bias is None


def test_constant_fills_with_its_number() -> None:
    model = layers()
    apply(model, partial(init.constant, val=-0.25), "same")
    assert all((layer.weight == -0.25).all() and (layer.bias == -0.25).all() for layer in model)


def test_torchs_own_function_fits_as_a_filling() -> None:
    model = layers()
    apply(model, partial(nn.init.trunc_normal_, std=0.5, a=-0.1, b=0.1), "zeros")
    assert all(0.09 < layer.weight.abs().max() <= 0.1 for layer in model[:2])


WEIGHTS = [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[7, 8, 9]]]
BIASES = [[0.1, 0.2, 0.3], [0.4]]


def test_values_are_copied_layer_by_layer() -> None:
    model = layers((2, 3, 1))
    apply(model, partial(init.values, weights=WEIGHTS), BIASES)
    assert [layer.weight.tolist() for layer in model] == WEIGHTS
    assert [layer.bias.tolist() for layer in model] == [pytest.approx(bias) for bias in BIASES]
    assert all(layer.weight.requires_grad and layer.bias.requires_grad for layer in model)


@pytest.mark.parametrize(
    ("weights", "bias", "message"),
    [
        (None, "zeros", r"init\.weights: expected 2 matrices.* found null"),
        (WEIGHTS[:1], "zeros", r"init\.weights: expected 2 matrices.* found 1$"),
        ([*WEIGHTS, [[1.0]]], "zeros", r"init\.weights: expected 2 matrices.* found 3$"),
        ([[[1, 3, 5], [2, 4, 6]], WEIGHTS[1]], "zeros", r"init\.weights\[0\]: expected 3 x 2 .*, found 2 x 3"),
        ([WEIGHTS[0], [7, 8, 9]], "zeros", r"init\.weights\[1\]: expected 1 x 3 .*, found 3"),
        ([WEIGHTS[0], [[7], [8], [9]]], "zeros", r"init\.weights\[1\]: expected 1 x 3 .*, found 3 x 1"),
        ([[[1, 2], [3], [5, 6]], WEIGHTS[1]], "zeros", r"init\.weights\[0\]: expected 3 x 2 .*, found \[\["),
        ([WEIGHTS[0], [["a", 8, 9]]], "zeros", r"init\.weights\[1\]: expected .* numbers .*, found \[\["),
        ([WEIGHTS[0], 3.0], "zeros", r"init\.weights\[1\]: expected 1 x 3 .*, found one number"),
        ([[[1, 3, 5], [2, 4, 6]], WEIGHTS[1]], "zeros", r"found 2 x 3; transpose it: give 3 rows of 2 numbers$"),
        (
            [WEIGHTS[0], [[7], [8], [9]]],
            "zeros",
            r"^init\.weights\[1\]: expected 1 x 3 numbers \(out x in: inputs \[B, 3\] are multiplied by its transpose "
            r"\[3, 1\]\), found 3 x 1; transpose it: give 1 row of 3 numbers$",
        ),
        ([WEIGHTS[0], [7, 8, 9]], "zeros", r"found 3 numbers; give 1 row of 3 numbers, a list of lists$"),
        ([[[1, 2], [3, 4]], WEIGHTS[1]], "zeros", r"init\.weights\[0\]: expected 3 x 2 .*, found 2 x 2$"),
        (WEIGHTS, [[0.1, 0.2], [0.4]], r"init\.bias\[0\]: expected .* 3 numbers \(out\), found 2"),
        (WEIGHTS, [[0.1, 0.2, 0.3]], r"init\.bias: expected 2 lists.* found 1"),
        (WEIGHTS, "same", r"init\.bias: expected .*init=values, found 'same'"),
    ],
)
def test_values_of_another_shape_are_refused_naming_the_layer(weights: Any, bias: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply(layers((2, 3, 1)), partial(init.values, weights=weights), bias)


@pytest.mark.parametrize(
    ("fill", "bias", "key"),
    [
        (init.default, "zero", "init.bias"),
        (partial(init.orthogonal, gain=1.0), "same", "init.bias"),
        (partial(init.uniform, a=1.0, b=0.0), "zeros", "init.b"),
        (partial(init.normal, mean=0.0, std=-1.0), "zeros", "init.std"),
        (partial(init.normal, mean=0.0, std=[1.0, 0.0, -1.0]), "zeros", r"init\.std\[2\]"),
        (partial(init.normal, mean=[0.0, 1.0], std=1.0), "zeros", "init.mean"),
        (partial(init.xavier_normal, gain=-1.0), "zeros", "init.gain"),
        (partial(init.kaiming_uniform, a=0.0, mode="fan", nonlinearity="relu"), "zeros", "init.mode"),
        (partial(init.kaiming_normal, a=0.0, mode="fan_in", nonlinearity="gelu"), "zeros", "init.nonlinearity"),
    ],
)
def test_argument_out_of_range_names_its_key(fill: Fill, bias: str, key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}: expected .*found "):
        apply(layers(), fill, bias)


#: torch's function with the same meaning, and where our default is another or torch has none
TORCH: dict[str, tuple[Callable[..., object], dict[str, Any]]] = {
    "uniform": (nn.init.uniform_, {}),
    "normal": (nn.init.normal_, {}),
    "xavier_uniform": (nn.init.xavier_uniform_, {}),
    "xavier_normal": (nn.init.xavier_normal_, {}),
    "kaiming_uniform": (nn.init.kaiming_uniform_, {"nonlinearity": "relu"}),
    "kaiming_normal": (nn.init.kaiming_normal_, {"nonlinearity": "relu"}),
    "orthogonal": (nn.init.orthogonal_, {}),
    "constant": (nn.init.constant_, {"val": 0.1}),
}
FILES = sorted(CONFIGS.glob("*.yaml"))


def test_option_files_are_all_found() -> None:
    assert len(FILES) == 13


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_option_file_binds_to_its_function_with_torchs_defaults(path: Path) -> None:
    keys = yaml.safe_load(path.read_text())
    assert keys.pop("_target_") == f"nnlab.init.{path.stem}"
    fill = getattr(init, path.stem)
    bias = keys.pop("bias")
    assert bias == ("zeros" if path.stem in ("zeros", "constant") else "default")
    assert list(keys) == [
        key for key in inspect.signature(fill).parameters if key not in ("weight", "layer", "num_layers")
    ]
    if path.stem in TORCH:
        function, ours = TORCH[path.stem]
        assert keys == {key: ours.get(key, inspect.signature(function).parameters[key].default) for key in keys}
    if path.stem == "values":
        assert keys == {"weights": None}
    elif path.stem == "multinomial":
        assert keys == {"values": None, "weights": None, "replacement": True}
    else:
        apply(layers(), partial(fill, **keys), bias)
