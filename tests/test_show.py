"""The pages of `nnlab data` and `nnlab model`."""

import re

import numpy as np
import pytest
import sklearn.datasets
import torch

from nnlab.cli import main


def page_of(capsys, *words):
    assert main(words) == 0
    return capsys.readouterr().out


def row(page, *first):
    """The numbers of the table's row that begins so."""
    line = next(line for line in page.splitlines() if line.startswith(" ".join(first)))
    return [float(text) for text in line.removeprefix(" ".join(first)).replace(",", "").split()]


def test_data_page_tells_task_splits_classes_and_batches(capsys):
    page = page_of(capsys, "data", "data=iris")
    assert page.startswith("iris: multiclass\n")
    for name, count in (("train", 90), ("valid", 30), ("test", 30)):
        counts = re.search(rf"^  {name} +{count} rows: (\d+) setosa, (\d+) versicolor, (\d+) virginica$", page, re.M)
        assert sum(map(int, counts.groups())) == count
    assert "  batches  3 of 32 rows an epoch" in page  # ceil(90 / 32)
    assert "  inputs   4: sepal length (cm), sepal width (cm)," in page


def test_data_page_has_the_columns_moments(capsys):
    inputs = [1.0, 2.0, 6.0]
    words = ["data=inline", f"data.inputs={inputs}", "data.targets=[2.5,4.0,9.5]", "data.standardize=true"]
    page = page_of(capsys, "data", *words)
    column = re.search(r"inputs +1: (.*)", page).group(1)
    expected = [min(inputs), np.mean(inputs), np.std(inputs), max(inputs)]
    assert row(page, column) == pytest.approx(expected, rel=1e-3)
    seen = page.partition("as the model sees them")[2]
    z = (np.array(inputs) - np.mean(inputs)) / np.std(inputs)
    assert row(seen, column) == pytest.approx([z.min(), 0.0, 1.0, z.max()], rel=1e-3, abs=1e-6)
    assert "training targets" in page
    assert "valid    none, so the best epoch is chosen by train/loss" in page


def test_data_page_of_a_wide_set_shows_the_first_columns(capsys):
    page = page_of(capsys, "data", "data=digits")
    assert f"({sklearn.datasets.load_digits().data.shape[1]} in all)" in page
    assert "… and 52 more" in page


def test_data_page_names_expanded_features(capsys):
    page = page_of(capsys, "data", "data=circle", "data.expand=[x2,y2]", "data.standardize=false")
    assert re.search(r"  expanded 4: x, y, x\^2, y\^2", page)
    assert "as the model sees them" in page


def test_model_page_has_layers_shapes_and_parameters(capsys):
    page = page_of(capsys, "model", "data=iris", "model.widths=[5,7]", "model.norm=layer", "model.dropout=0.1")
    reference = torch.nn.Sequential(
        torch.nn.Linear(4, 5, bias=False), torch.nn.LayerNorm(5), torch.nn.Linear(5, 7, bias=False),
        torch.nn.LayerNorm(7), torch.nn.Linear(7, 3),
    )  # fmt: skip
    count = sum(parameter.numel() for parameter in reference.parameters())
    assert f": {count:,} parameters" in page.splitlines()[0]
    rows = re.findall(r"^(\w+) +\w+\(.*\) +B x (\d+)(?: +([\d,]+))?$", page, re.MULTILINE)
    assert [int(width) for name, width, _ in rows if name.startswith("linear") or name == "output"] == [5, 7, 3]
    assert sum(int(number.replace(",", "")) for _, _, number in rows if number) == count


def test_model_page_of_another_target_works(capsys):
    page = page_of(capsys, "model", "model=linear", "data=x_squared")
    assert "2 parameters" in page.splitlines()[0]


@pytest.mark.parametrize("what", ["data", "model"])
def test_pages_leave_nothing_on_disk(what, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page_of(capsys, what)
    assert list(tmp_path.iterdir()) == []
