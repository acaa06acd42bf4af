"""Random networks without and with activations: what is straight, what is bent, and that nothing else is touched."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from torch import nn

from nnlab import Trainer
from nnlab.callback import ActivationMatters, FitView
from nnlab.callback.activation_matters import departure, random_copy, without_activations
from nnlab.cli import main
from nnlab.logger import Logger, Media, Run
from nnlab.model import MLP
from nnlab.trainer.sinks import Sinks

GRID = torch.linspace(-1, 1, 33, dtype=torch.float64)[:, None]


def mlp(**changes):
    settings = {
        "depth": 2,
        "width": 5,
        "widths": None,
        "activation": "tanh",
        "output_activation": "identity",
        "dropout": 0.0,
        "norm": "none",
        "bias": True,
    }
    return MLP(1, 1, **{**settings, **changes})


def numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_hand(model: nn.Module, bend) -> np.ndarray:
    """The network's formula, from its weights."""
    hidden = GRID.numpy()
    *inner, last = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    for layer in inner:
        hidden = bend(hidden @ layer.weight.detach().numpy().T + layer.bias.detach().numpy())
    return hidden @ last.weight.detach().numpy().T + last.bias.detach().numpy()


@pytest.mark.parametrize(("name", "bend"), [("tanh", np.tanh), ("relu", lambda x: np.maximum(x, 0))])
def test_random_copy_and_its_straight_twin_are_the_formulas_with_and_without_activation(name, bend) -> None:
    made = random_copy(mlp(activation=name), numbers())
    straight = without_activations(made)
    with torch.no_grad():
        np.testing.assert_allclose(made(GRID), by_hand(made, bend), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(straight(GRID), by_hand(made, lambda x: x), rtol=1e-12, atol=1e-12)


def test_random_copy_draws_weights_and_biases_from_minus_one_to_one() -> None:
    made = random_copy(mlp(depth=1, width=4000), numbers())
    for parameter in made.parameters():
        assert parameter.dtype == torch.float64
        assert -1 <= parameter.min() <= parameter.max() < 1
    for parameter in (made.linear1.weight, made.linear1.bias, made.output.weight):
        # of U(-1, 1): mean 0 and variance 1/3, each within six of its standard errors
        assert abs(parameter.mean().item()) < 6 * (1 / 3 / 4000) ** 0.5
        assert parameter.var().item() == pytest.approx(1 / 3, abs=6 * (4 / 45 / 4000) ** 0.5)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_without_activations_whatever_lies_between_the_layers_is_straight(norm: str) -> None:
    made = random_copy(mlp(norm=norm, dropout=0.5, activation="prelu", output_activation="sigmoid"), numbers())
    with torch.no_grad():
        line = without_activations(made)(GRID)[:, 0].numpy()
        curve = made(GRID)[:, 0].numpy()
    assert np.abs(np.diff(line, 2)).max() < 1e-12
    assert np.abs(np.diff(curve, 2)).max() > 1e-6


def test_without_activations_one_activation_in_several_places_is_gone_from_all() -> None:
    bend = nn.Tanh()
    model = nn.Sequential(nn.Linear(1, 5), bend, nn.Sequential(nn.Linear(5, 5), bend), bend, nn.Linear(5, 1))
    made = random_copy(model, numbers())
    with torch.no_grad():
        np.testing.assert_allclose(without_activations(made)(GRID), by_hand(made, lambda x: x), rtol=0, atol=1e-12)
        assert np.abs(np.diff(made(GRID)[:, 0].numpy(), 2)).max() > 1e-6


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (lambda x: 3 * x - 2, 0.0),
        # Over [-1, 1] the line nearest to x^2 is its mean, 1/3, and 2/3 are missing at the ends.
        (lambda x: x**2, 2 / 3),
    ],
)
def test_departure_is_the_largest_distance_from_the_line_of_least_squares(curve, expected) -> None:
    x = np.linspace(-1, 1, 4001)
    assert departure(x, curve(x)) == pytest.approx(expected, abs=1e-3)


def fitted(model: nn.Module, callbacks: list[ActivationMatters], num_inputs: int = 1):
    torch.manual_seed(0)
    inputs, target = torch.randn(8, num_inputs), torch.randn(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.MSELoss(), optimizer, callbacks=callbacks, max_epochs=2, device="cpu")
    return trainer.fit((inputs, target))


def test_activation_matters_changes_no_bit_of_the_training() -> None:
    models = []
    for callbacks in ([], [ActivationMatters(2, 0)]):
        torch.manual_seed(3)
        # torch's own dropout draws from the global stream
        models.append(nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 1)))
        fitted(models[-1], callbacks)
        assert models[-1].training
    assert all(torch.equal(a, b) for a, b in zip(*(model.parameters() for model in models), strict=True))


def said(result) -> tuple[float, float]:
    (note,) = [note for note in result.notes if "straight line" in note]
    left, right = re.search(r"straight line is ([\d.e-]+) without activations, ([\d.e-]+) with them", note).groups()
    return float(left), float(right)


def test_activation_matters_says_both_distances_by_seed() -> None:
    left, right = said(fitted(mlp(), [ActivationMatters(3, 0)]))
    assert left < 1e-12
    assert right > 0.01
    assert said(fitted(mlp(), [ActivationMatters(3, 0)])) == (left, right)
    assert said(fitted(mlp(), [ActivationMatters(3, 1)])) != (left, right)
    assert max(said(fitted(mlp(activation="identity"), [ActivationMatters(3, 0)]))) < 1e-12


def test_activation_matters_with_two_inputs_is_refused_with_the_number_and_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"callback.activation_matters: expected a model with 1 input.*found 2 inputs"):
        fitted(nn.Linear(2, 1), [ActivationMatters(1, 0)], num_inputs=2)


def test_activation_matters_without_networks_is_refused_by_its_key() -> None:
    with pytest.raises(ValueError, match=r"callback.activation_matters.num_networks: expected at least 1, found 0"):
        ActivationMatters(0, 0)


class Kept(Logger):
    """Keeps the step and tag of each picture."""

    def __init__(self) -> None:
        self.pictures: list[tuple[int, str]] = []

    def start(self, run: Run) -> None: ...

    def scalars(self, step: int, values: Mapping[str, float], time_s: float) -> None: ...

    def media(self, step: int, tag: str, item: Media) -> None:
        self.pictures.append((step, tag))

    def close(self) -> None: ...


@pytest.mark.parametrize("resumed_at", [None, 40])
def test_activation_matters_resumed_logs_no_step_that_lies_behind(resumed_at: int | None) -> None:
    # TensorBoard withdraws everything from the first step on that a resumed run logs.
    kept = Kept()
    sinks = Sinks(None, [kept], [], "")
    view = FitView(nn.Linear(1, 1), sinks, "train/loss", 9, 90, ("train/loss",), frozenset(), resumed_at)
    ActivationMatters(2, 0).on_fit_start(view)
    assert kept.pictures == [(resumed_at or 0, "figures/activation_matters")]


def test_activation_matters_experiment_draws_lines_and_curves(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "experiment=activation_matters", "logger=[]", "trainer.threads=1"]) == 0
    (folder,) = Path("outputs", "activation_matters").iterdir()
    result = json.loads((folder / "result.json").read_text())
    (note,) = result["notes"]
    assert note.startswith("6 random networks on [-1, 1]: ")
    left, right = re.search(r"is ([\d.e-]+) without activations, ([\d.e-]+) with them", note).groups()
    assert float(left) < 1e-12
    assert 0.5 < float(right) < 2
    picture = matplotlib.image.imread(folder / "figures" / "activation_matters.png")
    assert picture[..., :3].std() > 0.05
