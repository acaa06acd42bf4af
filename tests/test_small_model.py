"""What `nnlab model` and a training show of models small enough to be read."""

import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from nnlab.cli import main
from nnlab.small_model import MOST_PARAMETERS, forward_pass, page_lines


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def printed(capsys, *words):
    assert main(words) == 0
    return capsys.readouterr().out


def trained(capsys, *words):
    return printed(capsys, "train", *words, "logger=[]", "trainer.threads=1")


def block(page, title):
    """The indented lines below a title."""
    return re.search(rf"^{re.escape(title)}.*\n((?:  .*\n?)+)", page, re.MULTILINE).group(1).splitlines()


def numbers(line):
    return [float(word) for word in line.split() if re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", word)]


def small():
    torch.manual_seed(0)
    layers = {"first": nn.Linear(2, 3), "tanh": nn.Tanh(), "dropout": nn.Dropout(0.5), "last": nn.Linear(3, 2)}
    return nn.Sequential(OrderedDict(layers))


def test_forward_pass_has_every_layer_in_order_and_leaves_the_model_as_it_was():
    model, x = small(), torch.tensor([[1.0, -2.0]])
    outputs = forward_pass(model, x)
    hidden = torch.tanh(x @ model.first.weight.T + model.first.bias)
    assert list(outputs) == ["first", "tanh", "dropout", "last"]
    torch.testing.assert_close(outputs["tanh"], hidden)
    torch.testing.assert_close(outputs["dropout"], hidden)  # none in evaluation mode
    torch.testing.assert_close(outputs["last"], hidden @ model.last.weight.T + model.last.bias)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_page_of_a_narrow_model_has_its_numbers_aligned_and_with_four_decimals():
    model, x = small(), torch.tensor([[1.0, -2.0]])
    lines = page_lines(model, x)
    assert lines[1] == "forward pass of the first training row"
    assert lines[2].split() == ["input", "1.0000", "-2.0000"]
    hidden = torch.tanh(x @ model.first.weight.T + model.first.bias)[0].tolist()
    assert lines[4].split() == ["tanh", *(f"{value:.4f}" for value in hidden)]
    start = lines.index("parameters") + 1
    weight = lines[start : start + 3]
    assert [line.removeprefix("  first.weight").split() for line in weight] == [
        [f"{value:.4f}" for value in row] for row in model.first.weight.tolist()
    ]
    assert len({len(line) for line in weight}) == 1
    names = [line.split()[0] for line in lines[start:] if not line.startswith("   ")]
    assert names == ["first.weight", "first.bias", "last.weight", "last.bias"]


@pytest.mark.parametrize(
    ("widths", "has_forward", "has_parameters"),
    [((8, 8, 8), True, True), ((8, 9, 8), False, False), ((9, 2), False, False), ((2, 9), False, False)],
)
def test_page_of_a_model_with_one_wide_layer_shows_no_numbers(widths, has_forward, has_parameters):
    layers = [nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]  # noqa: RUF007
    page = page_lines(nn.Sequential(*layers), torch.zeros(1, widths[0]))
    assert ("forward pass of the first training row" in page, "parameters" in page) == (has_forward, has_parameters)


def test_page_of_a_long_narrow_model_leaves_the_parameters_out():
    layers = [nn.Linear(8, 8) for _ in range(MOST_PARAMETERS // 72 + 1)]
    page = page_lines(nn.Sequential(*layers), torch.zeros(1, 8))
    assert "forward pass of the first training row" in page
    assert "parameters" not in page


def test_page_shows_the_first_row_as_the_model_sees_it(capsys):
    pounds = np.array([115, 117, 120, 123, 126, 129, 132, 135, 139, 142, 146, 150, 154, 159, 164.0])
    page = printed(capsys, "model", "experiment=height_weight")
    (line,) = [line for line in block(page, "forward pass") if "input" in line]
    assert numbers(line) == [pytest.approx((pounds[0] - pounds.mean()) / pounds.std(), abs=5e-5)]


def test_numbers_beyond_four_decimals_are_powers_of_ten():
    model = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 1.5e-7, -2.5e12, 999999.0]]))
    lines = page_lines(model, torch.zeros(1, 4))
    assert lines[-1].split() == ["weight", "0.0000", "1.5e-07", "-2.5e+12", "999999.0000"]


def inline(num_rows, num_targets=1):
    rows = list(range(num_rows))
    targets = [[2.0 * row + shift + 0.5 for shift in range(num_targets)] for row in rows]
    return ["data=inline", f"data.inputs={[float(row) for row in rows]}", f"data.targets={targets}"]


LINE = ["model=linear", "init=constant", "init.val=2.0", "init.bias=0.5", "loss=mse", "trainer.max_epochs=0"]


@pytest.mark.parametrize("num_rows", [1, 12, 13])
def test_training_shows_the_predictions_of_at_most_twelve_rows(num_rows, work, capsys):
    page = trained(capsys, *inline(num_rows), *LINE)
    assert ("training rows, with" in page) == (num_rows <= 12)
    if num_rows <= 12:
        header, *rows = block(page, "training rows, with the best parameters (epoch 0)")
        assert header.split() == ["row", "target", "prediction"]
        value = [2.0 * row + 0.5 for row in range(num_rows)]
        assert [numbers(line) for line in rows] == [[row + 1, value[row], value[row]] for row in range(num_rows)]
        assert all(re.fullmatch(r" +\d+ +\d+\.\d{4} +\d+\.\d{4}", line) for line in rows)


def test_training_shows_several_targets_by_name(work, capsys):
    header, first, *_ = block(trained(capsys, *inline(3, num_targets=2), *LINE), "training rows")
    assert header.split("  ")[1:] == ["row", "target y1", "target y2", "prediction y1", "prediction y2"]
    assert numbers(first) == [1, 0.5, 1.5, 0.5, 0.5]


def test_training_shows_predictions_in_the_targets_own_units(work, capsys):
    words = [*inline(4), *LINE, "init.val=0.0", "init.bias=0.0", "data.standardize_target=true"]
    rows = block(trained(capsys, *words), "training rows")[1:]
    mean = np.mean([2.0 * row + 0.5 for row in range(4)])
    assert [numbers(line)[2] for line in rows] == [mean] * 4


def test_training_shows_classes_by_name(work, capsys):
    words = ["data=inline", "trainer.max_epochs=0", "model=linear", "init=constant", "init.val=1.0", "init.bias=-0.5"]
    _, *rows = block(trained(capsys, *words), "training rows")
    assert [line.split() for line in rows] == [["1", "0", "0"], ["2", "1", "1"], ["3", "1", "1"], ["4", "0", "1"]]


@pytest.mark.parametrize(("width", "count"), [(7, 29), (8, 33)])
def test_training_shows_the_parameters_of_at_most_thirty(width, count, work, capsys):
    page = trained(capsys, "data=inline", "model.depth=1", f"model.width={width}", "trainer.max_epochs=0")
    assert f": {count} parameters" in page
    assert ("final parameters" in page) == (count <= 30)
    if count <= 30:
        lines = block(page, "final parameters")
        assert len(lines) == width + 3  # a row for each unit, then two biases and the output's row
        assert sum(len(numbers(line)) for line in lines) == count


def test_training_shows_the_last_parameters_and_the_best_predictions(work, capsys):
    """The loss of y = x from w = 0 by steps of the wrong size grows: the first epoch is the best."""
    words = ["data=inline", "data.inputs=[1.0]", "data.targets=[1.0]", "model=linear", "model.bias=false", "loss=mse"]
    words += ["init=zeros", "optim=sgd", "optim.lr=1.5", "trainer.max_epochs=3"]
    page = trained(capsys, *words)
    w = [0.0]
    for _ in range(3):
        w.append(w[-1] - 1.5 * 2 * (w[-1] - 1))
    assert numbers(block(page, "training rows, with the best parameters (epoch 1)")[1]) == [1, 1, w[1]]
    assert numbers(block(page, "final parameters")[0]) == [w[3]]


def test_members_of_a_sweep_show_no_numbers(work, capsys):
    page = trained(capsys, "-m", *inline(2), *LINE, "seed=0,1")
    assert "1_seed=1" in page
    assert "training rows, with" not in page
    assert "final parameters" not in page
