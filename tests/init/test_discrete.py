"""Fillings that draw from a few numbers: frequencies against the theory, distinct draws, biases, refusals."""

import itertools
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnlab import init
from nnlab.init.layers import apply

SIZES = (30, 200, 400, 5)


def layers(sizes: tuple[int, ...] = SIZES) -> list[nn.Linear]:
    torch.manual_seed(3)
    return [nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(sizes)]


def filled(fill: Callable[..., object], num_out: int, num_in: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    weight = nn.Parameter(torch.full((num_out, num_in), math.nan))
    fill(weight)
    assert weight.requires_grad
    assert weight.grad_fn is None
    return weight.detach()


def within_five_deviations(count: int, probability: float, num_draws: int) -> bool:
    """Whether a count is what independent draws give; false once in two million times."""
    deviation = math.sqrt(num_draws * probability * (1 - probability))
    return abs(count - num_draws * probability) <= 5 * deviation


@pytest.mark.parametrize("scale", [1.0, -0.25])
@pytest.mark.parametrize("p", [0.0, 0.02, 0.5, 0.9, 1.0])
def test_bernoulli_draws_scale_as_often_as_p_says_and_else_zero(p: float, scale: float) -> None:
    weight = filled(partial(init.bernoulli, p=p, scale=scale), 200, 300)
    assert set(weight.unique().tolist()) == ({0.0} if p < 1 else set()) | ({scale} if p > 0 else set())
    assert within_five_deviations(int((weight == scale).sum()), p, 60_000)


def test_bernoulli_under_the_same_seed_equals_torchs_draws_layer_by_layer() -> None:
    model = layers()
    torch.manual_seed(11)
    apply(model, partial(init.bernoulli, p=0.3, scale=2.0), "same")
    torch.manual_seed(11)
    for layer in model:
        assert torch.equal(layer.weight, 2 * torch.bernoulli(torch.full_like(layer.weight, 0.3)))
        assert torch.equal(layer.bias, 2 * torch.bernoulli(torch.full_like(layer.bias, 0.3)))


@pytest.mark.parametrize("p", [-0.1, 1.01, math.nan])
def test_bernoulli_without_a_probability_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=rf"^init\.p: expected a probability in \[0, 1\], found {p}$"):
        filled(partial(init.bernoulli, p=p, scale=1.0), 2, 3)


VALUES, WEIGHTS = [-1.0, 0.0, 0.5, 7.0], [1.0, 2.0, 5.0, 0.0]


def test_multinomial_draws_values_as_often_as_their_weights_say() -> None:
    weight = filled(partial(init.multinomial, values=VALUES, weights=WEIGHTS, replacement=True), 200, 300)
    for value, share in zip(VALUES, WEIGHTS, strict=True):
        assert within_five_deviations(int((weight == value).sum()), share / 8, 60_000)
    assert 7.0 not in weight


def test_multinomial_draws_in_one_row_are_independent_of_one_another() -> None:
    weight = filled(partial(init.multinomial, values=[0, 1], weights=[3, 1], replacement=True), 40_000, 2)
    for pair, probability in [((0, 0), 9 / 16), ((0, 1), 3 / 16), ((1, 0), 3 / 16), ((1, 1), 1 / 16)]:
        count = int((weight == torch.tensor(pair)).all(dim=1).sum())
        assert within_five_deviations(count, probability, 40_000)


def test_multinomial_without_replacement_draws_one_after_another() -> None:
    """P(first, then second) = w1 / sum * w2 / (sum - w1), for each ordered pair."""
    values, weights = [10, 20, 30], [1, 2, 5]
    weight = filled(partial(init.multinomial, values=values, weights=weights, replacement=False), 40_000, 2)
    for first, second in itertools.permutations(range(3), 2):
        probability = weights[first] / 8 * weights[second] / (8 - weights[first])
        count = int((weight == torch.tensor([values[first], values[second]])).all(dim=1).sum())
        assert within_five_deviations(count, probability, 40_000)


@pytest.mark.parametrize("num_in", [1, 20, 30])
def test_multinomial_without_replacement_has_distinct_values_in_each_row(num_in: int) -> None:
    values, weights = list(range(40)), [1] * 30 + [0] * 10
    weight = filled(partial(init.multinomial, values=values, weights=weights, replacement=False), 50, num_in)
    rows = [set(row) for row in weight.tolist()]
    assert all(len(row) == num_in and row <= set(range(30)) for row in rows)
    assert len({tuple(row) for row in weight.tolist()}) > 1  # every row has draws of its own


def test_multinomial_without_replacement_uses_an_entry_once_even_where_entries_are_equal() -> None:
    weight = filled(partial(init.multinomial, values=[2, 2, 5], weights=[1, 1, 1], replacement=False), 20, 3)
    np.testing.assert_array_equal(np.sort(weight.numpy(), axis=1), np.tile([2, 2, 5], (20, 1)))


@pytest.mark.parametrize("factor", [1e-300, 1.0, 1e300])
def test_multinomial_weights_are_relative(factor: float) -> None:
    weights = [share * factor for share in WEIGHTS]
    ours, plain = (
        filled(partial(init.multinomial, values=VALUES, weights=numbers, replacement=True), 40, 50)
        for numbers in (weights, WEIGHTS)
    )
    assert torch.equal(ours, plain)


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial_bias_same_is_drawn_as_a_row_of_one_for_each_unit(replacement: bool) -> None:
    model = layers((3, 2000, 2))
    values = list(range(2000))
    apply(model, partial(init.multinomial, values=values, weights=[1.0] * 2000, replacement=replacement), "same")
    bias = model[0].bias
    assert set(bias.tolist()) <= set(range(2000))
    # Each bias is drawn alone: some numbers come twice, some never. 1264 different ones are expected, deviation 14.
    assert 1170 < len(set(bias.tolist())) < 1360


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"values": None, "weights": None},
        "init.values: expected a list of numbers, such as [-1,0,1], found null\n"
        "init.weights: expected a list of numbers, such as [1,2,1], found null",
    ),
    ({"weights": None}, "init.weights: expected a list of numbers, such as [1,2,1], found null"),
    ({"weights": [1, 2]}, "init.weights: expected 3 numbers, one for each of the 3 init.values, found 2"),
    ({"weights": []}, "init.weights: expected 3 numbers, one for each of the 3 init.values, found 0"),
    ({"values": [], "weights": []}, "init.weights: expected at least one number > 0, found []"),
    ({"weights": [0, 0, 0]}, "init.weights: expected at least one number > 0, found [0, 0, 0]"),
    ({"weights": [1, -1, 1]}, "init.weights[1]: expected a finite number >= 0, found -1"),
    ({"weights": [1, 1, math.inf]}, "init.weights[2]: expected a finite number >= 0, found inf"),
    ({"weights": [math.nan, 1, 1]}, "init.weights[0]: expected a finite number >= 0, found nan"),
    ({"values": [0, math.inf, 1]}, "init.values[1]: expected a finite number, found inf"),
    (
        {"replacement": False},
        "init.values: expected at least 5 of positive weight, since without replacement each row of a layer with "
        "5 inputs draws as many different ones, found 3; give more values, or init.replacement=true",
    ),
    (
        {"values": list(range(6)), "weights": [0, 0, 1, 1, 1, 1], "replacement": False},
        "init.values: expected at least 5 of positive weight, since without replacement each row of a layer with "
        "5 inputs draws as many different ones, found 4; give more values, or init.replacement=true",
    ),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED)
def test_multinomial_that_cannot_be_drawn_is_refused(keys: dict[str, Any], message: str) -> None:
    given = {"values": [-1, 0, 1], "weights": [1, 2, 1], "replacement": True} | keys
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        filled(partial(init.multinomial, **given), 2, 5)


FILLS: dict[str, Callable[..., object]] = {
    "default": init.default,
    "uniform": partial(init.uniform, a=3.0, b=4.0),
    "normal": partial(init.normal, mean=[9.0, 8.0, 7.0], std=0.0),
    "constant": partial(init.constant, val=5.0),
    "zeros": init.zeros,
    "xavier_uniform": partial(init.xavier_uniform, gain=1.0),
    "xavier_normal": partial(init.xavier_normal, gain=1.0),
    "kaiming_uniform": partial(init.kaiming_uniform, a=0.0, mode="fan_in", nonlinearity="relu"),
    "kaiming_normal": partial(init.kaiming_normal, a=0.0, mode="fan_in", nonlinearity="relu"),
    "orthogonal": partial(init.orthogonal, gain=1.0),
    "values": partial(init.values, weights=[torch.ones(b, a).tolist() for a, b in itertools.pairwise(SIZES)]),
    "bernoulli": partial(init.bernoulli, p=0.5, scale=6.0),
    "multinomial": partial(init.multinomial, values=[2, 4], weights=[1, 1], replacement=True),
}
#: fillings whose biases take few or bounded numbers: what "same" must give
SAME: dict[str, Callable[[Tensor], bool]] = {
    "uniform": lambda bias: bool(((bias >= 3) & (bias <= 4)).all()),
    "constant": lambda bias: bool((bias == 5).all()),
    "zeros": lambda bias: bool((bias == 0).all()),
    "bernoulli": lambda bias: set(bias.tolist()) <= {0.0, 6.0},
    "multinomial": lambda bias: set(bias.tolist()) <= {2.0, 4.0},
}


def test_every_filling_is_tried_with_every_bias() -> None:
    assert set(FILLS) == set(init.__all__)


@pytest.mark.parametrize("name", FILLS)
def test_bias_default_zeros_and_a_number_are_the_same_with_every_filling(name: str) -> None:
    biases: list[tuple[Any, list[Tensor]]] = [
        ("default", [layer.bias for layer in layers()]),
        ("zeros", [torch.zeros(size) for size in SIZES[1:]]),
        (0.25, [torch.full((size,), 0.25) for size in SIZES[1:]]),
    ]
    for how, expected in biases:
        model = layers()
        apply(model, FILLS[name], how)
        assert all(torch.equal(layer.bias, bias) for layer, bias in zip(model, expected, strict=True))


@pytest.mark.parametrize("name", SAME)
def test_bias_same_is_drawn_like_the_weights(name: str) -> None:
    model = layers()
    apply(model, FILLS[name], "same")
    assert all(SAME[name](layer.bias) for layer in model)


def test_bias_same_takes_the_layers_own_mean() -> None:
    model = layers()
    apply(model, FILLS["normal"], "same")
    assert [set(layer.bias.tolist()) for layer in model] == [{9.0}, {8.0}, {7.0}]
