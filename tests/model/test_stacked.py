"""Layers of several runs in one, against the layers that they stand for."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nnlab.model import MLP
from nnlab.model.activation import ACTIVATIONS
from nnlab.model.dropout import Dropout
from nnlab.model.stacked import StackedDropout, same_layers, settings_of, stacked_layers
from nnlab.seeding import generator

K, B, C = 3, 7, 5


def perturbed(layer: nn.Module, seed: int) -> nn.Module:
    """With parameters and buffers unlike those of any other run."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*layer.parameters(), *(b for b in layer.buffers() if b.is_floating_point())]:
            tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.2)
    return layer.double()


def stacked(models):
    weights, buffers = (
        {name: torch.stack([dict(getattr(model, kind)())[name].detach() for model in models])
         for name in dict(getattr(models[0], kind)())}
        for kind in ("named_parameters", "named_buffers")
    )  # fmt: skip
    return stacked_layers(models, weights, buffers)


LAYERS = {
    "linear": lambda: nn.Linear(C, 4),
    "linear without bias": lambda: nn.Linear(C, 4, bias=False),
    "batch norm": lambda: nn.BatchNorm1d(C, eps=1e-2),
    "batch norm without weights": lambda: nn.BatchNorm1d(C, affine=False),
    "layer norm": lambda: nn.LayerNorm(C, eps=1e-2),
    "layer norm without bias": lambda: nn.LayerNorm(C, bias=False),
    "layer norm without weights": lambda: nn.LayerNorm(C, elementwise_affine=False),
    "prelu": nn.PReLU,
    "prelu for each unit": lambda: nn.PReLU(C),
    "sequences in a sequence": lambda: nn.Sequential(nn.Linear(C, 4), nn.Sequential(nn.Tanh(), nn.LayerNorm(4))),
    "one activation in two places": lambda: nn.Sequential(nn.Linear(C, C), *[nn.Sigmoid()] * 2, nn.Linear(C, 2)),
    **ACTIVATIONS,
}


@pytest.mark.parametrize("name", LAYERS)
def test_stacked_layer_in_evaluation_mode_equals_each_runs_own(name):
    models = [perturbed(LAYERS[name](), seed).eval() for seed in range(K)]
    x = torch.randn(K, B, C, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    module, parameters = stacked(models)
    assert list(parameters) == [name for name, _ in models[0].named_parameters()]
    expected = torch.stack([model(rows) for model, rows in zip(models, x, strict=True)])
    torch.testing.assert_close(module.eval()(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        nn.LayerNorm((B, C)), nn.BatchNorm1d(C, momentum=None), nn.BatchNorm1d(C, track_running_stats=False),
        nn.Bilinear(C, C, 2), nn.RReLU(), nn.Dropout(0.5), type("Own", (nn.Linear,), {})(C, 2),
        type("Own", (nn.Sequential,), {"forward": lambda self, x: x})(nn.Linear(C, 2)),
        nn.Sequential(nn.Linear(C, C), nn.Softmax(dim=-1)),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_layer_that_may_compute_something_else_has_no_stacked_form(layer):
    assert stacked([layer, layer]) is None


def test_dropout_draws_for_each_run_what_the_run_draws_alone():
    layers, alone = ([Dropout(p) for p in (0.2, 0.5, 0.7)] for _ in range(2))
    for number, pair in enumerate(zip(layers, alone, strict=True)):
        for layer in pair:
            layer.generator = generator(number, "dropout")
    both = StackedDropout(layers)
    x = torch.ones(K + 2, B, C)
    for _ in range(2):
        mask = both.mask(x)
        for row, layer in enumerate(alone):
            assert torch.equal(mask[row], layer.mask(x[row]))
        assert torch.equal(mask[K:], torch.ones(2, B, C)), "rows that are nobody's draw nothing"
    assert set(mask[1].unique().tolist()) == {0.0, 2.0}
    assert both.eval()(x) is x


def mlp(**settings):
    defaults = {
        "depth": 1, "width": 4, "widths": None, "activation": "tanh", "output_activation": "identity", "dropout": 0.1,
        "norm": "none", "bias": True,
    }  # fmt: skip
    return MLP(2, 1, **(defaults | settings))


def test_models_are_the_same_whatever_their_numbers_and_probabilities():
    assert same_layers(mlp()) == same_layers(mlp(dropout=0.5))
    others = [
        mlp(dropout=0.0), mlp(width=5), mlp(activation="relu"), mlp(norm="layer"), mlp(bias=False),
        mlp(activation=lambda: nn.Softplus(beta=2.0)), mlp(activation=nn.Softplus), mlp(activation="celu"),
    ]  # fmt: skip
    assert len({same_layers(model) for model in [mlp(), *others]}) == 1 + len(others)


def test_model_of_which_a_parameter_is_not_trained_is_not_the_same():
    frozen = mlp()
    frozen.output.bias.requires_grad_(False)
    assert same_layers(frozen) != same_layers(mlp())


@pytest.mark.parametrize(
    "pair",
    [
        (1.0, 1.0 + 1e-15), (torch.tensor(1.0), torch.tensor(1.00001)), (np.arange(2000), np.arange(2000)[::-1]),
        ([torch.tensor(1.0)], [torch.tensor(1.00001)]), ({"a": torch.tensor(1.0)}, {"a": torch.tensor(1.00001)}),
        (torch.tensor(1.0), torch.tensor(1.0, dtype=torch.float64)),
    ],
    ids=lambda pair: type(pair[0]).__name__,
)  # fmt: skip
def test_settings_tell_apart_what_prints_alike(pair):
    first, second = (settings_of(SimpleNamespace(_value=value)) for value in pair)
    assert first.keys() == second.keys() == {"_value"}
    assert first != second
