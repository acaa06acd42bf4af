"""The trace: each step's loss, gradient and parameters, against arithmetic written out here in float64."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnlab import Trainer
from nnlab.callback import FitView, Trace
from nnlab.cli import main
from nnlab.logger import Logger, Media, Run
from nnlab.trainer.sinks import Sinks

X = np.array([[0.5, -1.0], [2.0, 0.25], [-1.5, 1.0], [0.75, 3.0], [1.0, 1.0]])
Y = np.array([[1.0], [-2.0], [0.5], [3.0], [0.0]])
START = np.array([0.3, -0.2, 0.1])
LR = 0.05
COLUMNS = ["weight[0,0]", "weight[0,1]", "bias[0]"]


class Kept(Logger):
    """Keeps the numbers that it gets."""

    def __init__(self) -> None:
        self.numbers: list[tuple[int, dict[str, float]]] = []

    def start(self, run: Run) -> None: ...

    def scalars(self, step: int, values: Mapping[str, float], time_s: float) -> None:
        self.numbers.append((step, dict(values)))

    def media(self, step: int, tag: str, item: Media) -> None: ...

    def close(self) -> None: ...


def by_hand(batches, most_norm=math.inf):
    """Loss, gradient and parameters of each step: y = w x + b by least squares and plain gradient descent."""
    parameters, found = START.copy(), []
    for rows in batches:
        inputs = np.column_stack([X[rows], np.ones(len(rows))])
        error = inputs @ parameters - Y[rows, 0]
        gradient = 2 * inputs.T @ error / len(rows)
        gradient *= min(1.0, most_norm / (np.linalg.norm(gradient) + 1e-6))  # as torch's clip_grad_norm_ says it does
        parameters = parameters - LR * gradient
        found.append((np.mean(error**2), gradient, parameters))
    return found


def line():
    model = nn.Linear(2, 1).double()
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(START[None, :2]))
        model.bias.copy_(torch.from_numpy(START[2:]))
    return model


def traced(folder, model, *, lr=LR, batch_size=2, loggers=(), x=X, y=Y, **others):
    """Train in the order of the rows, and give the trace and how it went."""
    trainer = Trainer(
        model,
        nn.MSELoss(),
        torch.optim.SGD(model.parameters(), lr=lr),
        callbacks=[Trace(100)],
        loggers=loggers,
        batch_size=batch_size,
        shuffle=False,
        precision="fp64",
        device="cpu",
        monitor="train/loss",
        folder=folder,
        **{"max_epochs": 3, **others},
    )
    result = trainer.fit((torch.from_numpy(x), torch.from_numpy(y)))
    return table(folder), result


def table(folder):
    with open(folder / "trace.csv", newline="") as file:
        return list(csv.DictReader(file))


def numbers(row, names):
    return [float(row[name]) for name in names]


def check(rows, expected):
    assert [row["step"] for row in rows] == [str(step) for step in range(len(expected) + 1)]
    assert [rows[0][name] for name in ["loss", *(f"gradient/{name}" for name in COLUMNS)]] == [""] * 4
    assert numbers(rows[0], COLUMNS) == START.tolist()
    for row, (loss, gradient, parameters) in zip(rows[1:], expected, strict=True):
        assert float(row["loss"]) == pytest.approx(loss, rel=1e-12)
        assert numbers(row, [f"gradient/{name}" for name in COLUMNS]) == pytest.approx(gradient, rel=1e-12)
        assert numbers(row, COLUMNS) == pytest.approx(parameters, rel=1e-12)


def test_trace_plain_descent_has_each_steps_loss_gradient_and_parameters(tmp_path: Path) -> None:
    rows, _ = traced(tmp_path, line())
    check(rows, by_hand([[0, 1], [2, 3], [4]] * 3))


def test_trace_columns_are_step_loss_gradients_parameters(tmp_path: Path) -> None:
    rows, _ = traced(tmp_path, line(), max_epochs=0)
    assert list(rows[0]) == ["step", "loss", *(f"gradient/{name}" for name in COLUMNS), *COLUMNS]
    assert len(rows) == 1


def test_trace_accumulated_gradients_are_those_of_all_rows_of_the_update(tmp_path: Path) -> None:
    rows, _ = traced(tmp_path, line(), accumulate_steps=3)
    check(rows, by_hand([[0, 1, 2, 3, 4]] * 3))


def test_trace_clipped_gradients_are_the_clipped_ones(tmp_path: Path) -> None:
    rows, _ = traced(tmp_path, line(), grad_clip_norm=0.5)
    check(rows, by_hand([[0, 1], [2, 3], [4]] * 3, most_norm=0.5))
    norms = [np.linalg.norm(numbers(row, [f"gradient/{name}" for name in COLUMNS])) for row in rows[1:]]
    assert max(norms) == pytest.approx(0.5, rel=1e-4)


def test_trace_loggers_get_the_same_numbers_as_the_table(tmp_path: Path) -> None:
    kept = Kept()
    rows, _ = traced(tmp_path, line(), loggers=[kept])
    logged = [(step, values) for step, values in kept.numbers if "trace/bias[0]" in values]
    expected = [
        (int(row["step"]), {f"trace/{name}": float(cell) for name, cell in row.items() if name != "step" and cell})
        for row in rows
    ]
    assert logged == expected
    assert "trace/gradient/weight[0,1]" in logged[1][1]
    assert "trace/loss" not in logged[0][1]


class Scaled(nn.Module):
    """A single number without axes, and one that the loss does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.idle = nn.Parameter(torch.zeros(1, 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x[:, :1]


def test_trace_number_without_axes_has_no_index_and_an_unreached_one_no_gradient(tmp_path: Path) -> None:
    rows, _ = traced(tmp_path, Scaled(), max_epochs=1)
    names = ["scale", "idle[0,0,0]", "idle[0,0,1]"]
    assert list(rows[0]) == ["step", "loss", *(f"gradient/{name}" for name in names), *names]
    assert [(row["gradient/idle[0,0,1]"], row["idle[0,0,1]"]) for row in rows] == [("", "0.0")] * 4
    assert all(row["gradient/scale"] for row in rows[1:])


@pytest.mark.parametrize("batch_size", [1, 2])
def test_trace_divergence_ends_with_the_first_loss_that_is_no_number(tmp_path: Path, batch_size: int) -> None:
    # Each step multiplies w by about -2e4; losses overflow in the middle of an epoch, which is gone through to its end.
    x, y = np.full((40, 1), 10.0), np.ones((40, 1))
    rows, result = traced(tmp_path, nn.Linear(1, 1), lr=100.0, batch_size=batch_size, x=x, y=y, max_epochs=9)
    assert result.status == "diverged"
    assert [int(row["step"]) for row in rows] == list(range(result.diverged_at + 1))
    assert result.diverged_at % (40 // batch_size) != 0  # else the epoch's end came at once, and nothing was left out
    assert rows[-1]["loss"] in ("inf", "nan")
    assert all(math.isfinite(float(row["loss"])) for row in rows[1:-1])


def test_trace_steps_that_a_scaler_leaves_out_are_kept_when_training_goes_on(tmp_path: Path) -> None:
    """The fp16 scaler needs CUDA: the callback is told here what it is told there."""
    trace, sinks = Trace(100), Sinks(tmp_path, [], [], "")
    view = FitView(line(), sinks, "train/loss", 9, 90, metrics=("train/loss",), growing=frozenset())
    trace.on_fit_start(view)
    for step, loss in enumerate([1.0, math.inf, 0.5], 1):
        trace.on_step_end(view, step, torch.tensor(loss))
    trace.on_evaluation(view, 1, 3, {})
    trace.on_step_end(view, 4, torch.tensor(0.25))
    sinks.close()
    assert [row["loss"] for row in table(tmp_path)] == ["", "1.0", "inf", "0.5", "0.25"]


def test_trace_model_too_large_is_refused_with_both_numbers_and_what_to_do(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "data=x_squared", "model.widths=[50]", "callback=[trace]", "logger=[]"]
    assert main(words) == 2
    said = capsys.readouterr().err
    for part in ("callback.trace", "151 parameters", "304 columns", "callback=[histograms]"):
        assert part in said
    assert "callback.trace.most_parameters=151" in said
    assert main([*words, "callback.trace.most_parameters=151", "trainer.dry_run=true"]) == 0


def test_trace_limit_below_one_is_refused_by_its_key() -> None:
    with pytest.raises(ValueError, match=r"callback.trace.most_parameters: expected at least 1, found 0"):
        Trace(0)


def test_trace_of_a_run_is_in_its_folder_and_named_at_the_end(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=celsius", "model.widths=[]", "optim=sgd", "trainer.max_epochs=2", "logger=[]"]
    assert main(["train", *words, "callback=[trace]"]) == 0
    (folder,) = Path("outputs", "celsius").iterdir()
    assert f"trace      {folder}/trace.csv" in capsys.readouterr().out
    assert len(table(folder)) == 1 + json.loads((folder / "result.json").read_text())["steps"]
    assert main(["train", *words]) == 0
    assert "trace.csv" not in capsys.readouterr().out
