"""A forward pass as a loop and as one product: the same numbers, both times said and drawn."""

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
from nnlab.callback import FitView, Matmul
from nnlab.callback.matmul import at_once, compare, row_by_row
from nnlab.cli import main
from nnlab.logger import Logger, Media, Run
from nnlab.trainer.sinks import Sinks

ROWS = np.random.default_rng(0).uniform(0, 1, (7, 3))
WEIGHT = np.random.default_rng(1).normal(size=(2, 3))
BIAS = np.array([0.5, -2.0])


@pytest.mark.parametrize("bias", [BIAS, None])
@pytest.mark.parametrize("forward", [row_by_row, at_once])
def test_forward_both_ways_are_the_linear_layer(forward, bias) -> None:
    given = [torch.from_numpy(part) for part in (ROWS, WEIGHT)]
    found = forward(*given, None if bias is None else torch.from_numpy(bias))
    expected = np.array([[row @ unit for unit in WEIGHT] for row in ROWS]) + (0 if bias is None else bias)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (0.0, "both give the same numbers (largest difference 0)"),
        (1e-6, "both give the same numbers (largest difference 1e-06)"),
        (1e-3, "their numbers differ by up to 0.001"),
        (float("nan"), "their numbers differ by up to nan"),
    ],
)
def test_compare_says_whether_the_numbers_are_the_same_but_for_rounding(difference: float, said: str) -> None:
    numbers = torch.tensor([1.0, -2.0, 0.0])
    assert compare(numbers + torch.tensor([0, 0, difference]), numbers) == said


def fitted(model: nn.Module, num_inputs: int, callbacks: list[Matmul], **others: int | str):
    torch.manual_seed(0)
    inputs, target = torch.randn(8, num_inputs), torch.randn(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.MSELoss(), optimizer, callbacks=callbacks, max_epochs=2, device="cpu", **others)
    return trainer.fit((inputs, target))


def test_matmul_says_layer_times_and_ratio_and_changes_no_bit_of_the_training() -> None:
    models = []
    for callbacks in ([], [Matmul(300, 0)]):
        torch.manual_seed(3)
        models.append(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)))
        result = fitted(models[-1], 3, callbacks)
    (said,) = [note for note in result.notes if "matrix product" in note]
    found = re.fullmatch(
        r"300 rows through layer 0 \(3 to 4\): ([\d.e+-]+) ms in a Python loop, ([\d.e+-]+) ms as one matrix product, "
        r"([\d,.]+) times as fast; both give the same numbers \(largest difference [\d.e-]+\)",
        said,
    )
    assert found is not None, said
    loop_ms, product_ms, ratio = (float(number.replace(",", "")) for number in found.groups())
    assert ratio == pytest.approx(loop_ms / product_ms, rel=0.06)  # all three are rounded
    assert ratio > 2
    assert all(torch.equal(a, b) for a, b in zip(*(model.parameters() for model in models), strict=True))


def test_matmul_in_float64_and_without_bias_is_right_too() -> None:
    result = fitted(nn.Linear(2, 1, bias=False), 2, [Matmul(20, 1)], precision="fp64")
    assert any("20 rows through layer Linear (2 to 1)" in note and "same numbers" in note for note in result.notes)


class Bend(nn.Module):
    """A model without any linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x


def test_matmul_model_without_a_linear_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"callback.matmul: expected a model with a linear layer, found Bend"):
        fitted(Bend(), 1, [Matmul(10, 0)])


def test_matmul_without_rows_is_refused_by_its_key() -> None:
    with pytest.raises(ValueError, match=r"callback.matmul.num_rows: expected at least 1, found 0"):
        Matmul(0, 0)


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
def test_matmul_resumed_logs_no_step_that_lies_behind(resumed_at: int | None) -> None:
    # TensorBoard withdraws everything from the first step on that a resumed run logs.
    kept = Kept()
    sinks = Sinks(None, [kept], [], "")
    view = FitView(nn.Linear(1, 1), sinks, "train/loss", 9, 90, ("train/loss",), frozenset(), resumed_at)
    Matmul(10, 0).on_fit_start(view)
    assert kept.pictures == [(resumed_at or 0, "figures/matmul")]


def test_matmul_experiment_times_10000_rows_and_draws_them(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "experiment=matmul", "logger=[]", "trainer.threads=1"]) == 0
    (folder,) = Path("outputs", "matmul").iterdir()
    result = json.loads((folder / "result.json").read_text())
    (said,) = result["notes"]
    assert said.startswith("10,000 rows through layer output (1 to 1): ")
    assert "both give the same numbers" in said
    # The notebook's ratio is 293; a busy machine slows both.
    assert float(re.search(r"([\d,.]+) times as fast", said)[1].replace(",", "")) > 50
    assert (result["status"], result["steps"]) == ("completed", 0)
    picture = matplotlib.image.imread(folder / "figures" / "matmul.png")
    assert picture[..., :3].std() > 0.1
    assert f"note: {said}" in capsys.readouterr().out
