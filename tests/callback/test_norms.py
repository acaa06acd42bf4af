"""Norms of weights and gradients, against arithmetic written out here in float64, and after a resume."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnlab import Trainer
from nnlab.callback import FitView, Norms
from nnlab.cli import main
from nnlab.gradient import Autograd, Gradient
from nnlab.loss import MSE
from nnlab.model import MLP
from nnlab.trainer.sinks import Sinks
from together_runs import alone, rows, together

X = np.array([[0.5, -1.0], [2.0, 0.25], [-1.5, 1.0], [0.75, 3.0]])
Y = np.array([[1.0], [-2.0], [0.5], [3.0]])
START = np.array([[0.3, -0.2]])
LR = 0.05


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "norms.csv").open() as file:
        return list(csv.DictReader(file))


def column(folder: Path, name: str) -> list[float]:
    return [float(row[name] or "nan") for row in table(folder)]


def by_hand(num_steps: int) -> tuple[list[float], list[float]]:
    """The norms before every step and after the last, of y = w x by least squares and plain gradient descent."""
    weight, weights, gradients = START.copy(), [np.sqrt((START**2).sum())], [np.nan]
    for _ in range(num_steps):
        gradient = 2 * (X @ weight.T - Y).T @ X / len(X)
        weight = weight - LR * gradient
        weights.append(np.sqrt((weight**2).sum()))
        gradients.append(np.sqrt((gradient**2).sum()))
    return weights, gradients


def line(folder: Path, callback: Norms, **settings: Any) -> Trainer:
    model = nn.Sequential(nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.from_numpy(START))
    trainer = Trainer(
        model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=LR), callbacks=[callback], batch_size=4,
        precision="fp64", folder=folder, device="cpu", threads=1, **({"max_epochs": 7} | settings),
    )  # fmt: skip
    trainer.fit((torch.from_numpy(X), torch.from_numpy(Y)))
    return trainer


@pytest.mark.parametrize(("every", "steps"), [(1, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [0, 3, 6]), (9, [0])])
def test_norms_of_a_linear_layer_are_those_computed_by_hand(tmp_path: Path, every: int, steps: list[int]) -> None:
    line(tmp_path, Norms(every))
    weights, gradients = by_hand(7)
    assert list(table(tmp_path)[0]) == ["step", "weight/0", "gradient/0"]
    assert column(tmp_path, "step") == steps
    np.testing.assert_allclose(column(tmp_path, "weight/0"), np.array(weights)[steps], rtol=1e-12)
    np.testing.assert_allclose(column(tmp_path, "gradient/0"), np.array(gradients)[steps], rtol=1e-12)
    assert table(tmp_path)[0]["gradient/0"] == ""
    assert (tmp_path / "figures" / "norms.png").stat().st_size > 1000
    assert (tmp_path / "figures" / "norms.svg").stat().st_size > 1000


def test_norms_gradient_is_the_clipped_one_that_the_update_used(tmp_path: Path) -> None:
    line(tmp_path, Norms(1), grad_clip_norm=0.25, max_epochs=1)
    assert by_hand(1)[1][1] > 0.25
    assert column(tmp_path, "gradient/0")[1] == pytest.approx(0.25, rel=1e-5)


def test_norms_training_of_no_steps_has_the_row_of_the_start_alone(tmp_path: Path) -> None:
    trainer = line(tmp_path, Norms(1), max_epochs=0)
    assert column(tmp_path, "step") == [0]
    assert not any("failed" in note for note in trainer.notes)
    assert (tmp_path / "figures" / "norms.png").stat().st_size > 1000


def test_norms_of_a_training_that_diverged_are_drawn_up_to_its_last_evaluation(tmp_path: Path) -> None:
    model = nn.Linear(2, 1).double()
    trainer = Trainer(
        model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=1e60), callbacks=[Norms(1)], batch_size=4,
        precision="fp64", folder=tmp_path, device="cpu", threads=1, max_epochs=20,
    )  # fmt: skip
    result = trainer.fit((torch.from_numpy(X), torch.from_numpy(Y)))
    assert result.status == "diverged"
    assert column(tmp_path, "step") == [0, *(row["step"] for row in result.history)]
    assert len(result.history) > 1
    assert (tmp_path / "figures" / "norms.png").stat().st_size > 1000


class Branched(nn.Module):
    """Every kind of layer, and one that the loss does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.scale = nn.LayerNorm(3)
        self.bend = nn.PReLU()
        self.plain = nn.LayerNorm(3, elementwise_affine=False)
        self.unused = nn.Linear(4, 2)
        self.last = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.plain(self.bend(self.scale(self.first(x)))))


def test_norms_layers_are_those_with_a_weight_in_the_models_order(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Branched()
    layers = ["first", "scale", "unused", "last"]
    start = {name: getattr(model, name).weight.detach().double().numpy().copy() for name in layers}
    trainer = Trainer(
        model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1), callbacks=[Norms(1)], folder=tmp_path,
        device="cpu", threads=1, max_epochs=2,
    )  # fmt: skip
    trainer.fit((torch.from_numpy(X).float(), torch.from_numpy(Y).float()))
    assert list(table(tmp_path)[0]) == [
        "step",
        *(f"{kind}/{name}" for kind in ("weight", "gradient") for name in layers),
    ]
    for name in layers:
        assert column(tmp_path, f"weight/{name}")[0] == pytest.approx(np.sqrt((start[name] ** 2).sum()), rel=1e-12)
        assert [bool(row[f"gradient/{name}"]) for row in table(tmp_path)] == [False, *[name != "unused"] * 2]


def test_norms_model_without_a_weight_is_refused() -> None:
    view = FitView(nn.PReLU(), Sinks(None, [], [], ""), "valid/loss", 1, 1, ("train/loss",), frozenset())
    with pytest.raises(
        ValueError, match=r"callback.norms: expected a model with a layer that has a weight, found PReLU"
    ):
        Norms(1).on_fit_start(view)


def test_norms_every_below_one_is_refused_by_its_key() -> None:
    with pytest.raises(ValueError, match=r"callback.norms.every: expected at least 1 evaluation, found 0"):
        Norms(0)


class KilledError(RuntimeError):
    """What ends a training in the middle."""


class Killer(Gradient):
    """Computes by autograd until it is called once too often."""

    def __init__(self, calls: int) -> None:
        self.calls_left = calls

    def __call__(self, *parts: Any) -> Any:
        if self.calls_left == 0:
            raise KilledError
        self.calls_left -= 1
        return Autograd()(*parts)


def network(folder: Path, calls: int = 1000) -> Trainer:
    torch.manual_seed(0)
    model = MLP(
        2, 1, depth=2, width=6, widths=None, activation="tanh", output_activation="identity", dropout=0.3, norm="batch",
        bias=True,
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    return Trainer(
        model, MSE(), torch.optim.Adam(model.parameters(), lr=0.01), gradient=Killer(calls), callbacks=[Norms(2)],
        batch_size=8, max_epochs=6, folder=folder, device="cpu", threads=1, checkpoint_every=2,
    )  # fmt: skip


#: 24 rows are 3 steps an epoch, and every second evaluation comes after 6, 12 and 18
@pytest.mark.parametrize("calls", [1, 5, 7, 11])
def test_norms_resumed_have_the_rows_and_the_figure_of_an_uninterrupted_run(tmp_path: Path, calls: int) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    data = rows(dtype=torch.float32)
    network(whole).fit(data, data)
    with pytest.raises(KilledError):
        network(killed, calls).fit(data, data)
    network(killed).fit(data, data, resume=True)
    assert column(whole, "step") == [0, 6, 12, 18]
    assert (killed / "norms.csv").read_bytes() == (whole / "norms.csv").read_bytes()
    for name in ("norms.png", "norms.svg"):
        assert (killed / "figures" / name).read_bytes() == (whole / "figures" / name).read_bytes()


def test_norms_resumed_between_a_step_and_its_evaluation_know_the_gradient(tmp_path: Path) -> None:
    model = nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    view = FitView(model, Sinks(tmp_path, [], [], ""), "valid/loss", 1, 1, ("train/loss",), frozenset())
    before, after = Norms(1), Norms(1)
    before.on_fit_start(view)
    state = before.state_dict()
    model.weight.grad = None
    after.on_fit_start(view)
    after.load_state_dict(state)
    assert after.state_dict()["gradients"] == [5.0]
    after.on_evaluation(view, 1, 1, {})
    assert after.state_dict()["rows"][-1, 2] == 5.0


def test_norms_of_another_model_are_not_taken_over() -> None:
    view = FitView(nn.Linear(1, 1), Sinks(None, [], [], ""), "valid/loss", 1, 1, ("train/loss",), frozenset())
    callback = Norms(1)
    callback.on_fit_start(view)
    rows_of_two = torch.zeros(1, 5, dtype=torch.float64)
    with pytest.raises(ValueError, match="expected rows of 1 layers, found 2"):
        callback.load_state_dict({"num_evaluations": 1, "rows": rows_of_two, "gradients": [None, None]})


def test_norms_of_members_of_a_stack_are_those_that_each_has_alone() -> None:
    specs = [
        {"seed": seed, "model": {"norm": "batch"}, "make_callbacks": lambda: [Norms(1)], "grad_clip_norm": 0.5}
        for seed in (0, 1)
    ]
    data = rows()
    expected, found = alone(specs, data, data), together(specs, data, data)
    assert not any("alone" in note for outcome in found for note in outcome.result.notes)
    for ours, theirs in zip(found, expected, strict=True):
        own, other = (outcome.trainer.callbacks[0].state_dict()["rows"] for outcome in (ours, theirs))
        np.testing.assert_allclose(own.numpy(), other.numpy(), rtol=1e-9)
        assert own.shape == (4, 1 + 2 * 5)


def test_norms_of_a_run_are_in_its_folder_and_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=moons", "callback=[norms]", "trainer.max_epochs=2", "trainer.threads=1", "logger=[]"]
    assert main(["train", *words, "hydra.run.dir=run"]) == 0
    listed = json.loads(Path("run/manifest.json").read_text())["files"]
    assert {"norms.csv", "figures/norms.png", "figures/norms.svg"} <= set(listed)
    assert main(["train", *words, "figures=[]", "hydra.run.dir=plain"]) == 0
    assert Path("plain/norms.csv").read_bytes() == Path("run/norms.csv").read_bytes()
    assert not Path("plain/figures").exists()
