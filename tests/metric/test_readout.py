"""What outputs mean, for each task and output, against arithmetic done by hand."""

import pytest
import torch
from torch import Tensor

from nnlab.metric import Readout
from nnlab.metric.readout import MOST_COMPARED

MEAN, STD = torch.tensor([10.0, -1.0]), torch.tensor([2.0, 0.5])

BINARY = {
    "logit": Readout("binary", "logit"),
    "probability": Readout("binary", "probability"),
    "score": Readout("binary", "score", negative=-1.0),
    "value of 0 and 1": Readout("binary", "value"),
    "value of -1 and 1": Readout("binary", "value", negative=-1.0),
}


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers).unsqueeze(-1)


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("logit", [0.0, 1.0]),
        ("probability", [0.0, 1.0]),
        ("score", [-1.0, 1.0]),
        ("value of 0 and 1", [0.0, 1.0]),
        ("value of -1 and 1", [-1.0, 1.0]),
    ],
)
def test_binary_target_is_coded_for_the_loss_and_back(name: str, encoded: list[float]) -> None:
    target = column(0.0, 1.0)
    assert BINARY[name].encode(target).flatten().tolist() == encoded
    back = BINARY[name].target(BINARY[name].encode(target))
    assert back.dtype == torch.int64
    assert back.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "outputs", "labels", "probabilities"),
    [
        # 1 / (1 + e^-x) at -ln 3 and ln 3 is 1/4 and 3/4; exactly on the threshold is class 0
        ("logit", [-1.0986123, 0.0, 1.0986123], [0, 0, 1], [0.25, 0.5, 0.75]),
        ("score", [-1.0986123, 0.0, 1.0986123], [0, 0, 1], [0.25, 0.5, 0.75]),
        ("probability", [0.0, 0.5, 0.75], [0, 0, 1], [0.0, 0.5, 0.75]),
        ("value of 0 and 1", [-0.5, 0.5, 0.75, 1.5], [0, 0, 1, 1], [0.0, 0.5, 0.75, 1.0]),
        ("value of -1 and 1", [-2.0, -0.5, 0.0, 0.5, 2.0], [0, 0, 0, 1, 1], [0.0, 0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_binary_output_is_read_as_label_and_probability(
    name: str, outputs: list[float], labels: list[int], probabilities: list[float]
) -> None:
    label = BINARY[name].label(column(*outputs))
    assert label.dtype == torch.int64
    assert label.tolist() == labels
    torch.testing.assert_close(BINARY[name].probability(column(*outputs)), torch.tensor(probabilities))


def test_multiclass_output_is_read_as_label_and_probability() -> None:
    readout = Readout("multiclass", "logit")
    logit = torch.tensor([[0.0, 0.6931472, 0.0], [1.0986123, 0.0, 0.0]])  # ln 2 and ln 3
    assert readout.label(logit).tolist() == [1, 0]
    expected = torch.tensor([[0.25, 0.5, 0.25], [0.6, 0.2, 0.2]])
    torch.testing.assert_close(readout.probability(logit), expected)


def test_multiclass_target_stays_as_it_is() -> None:
    readout, target = Readout("multiclass", "logit"), torch.tensor([2, 0])
    assert readout.encode(target).tolist() == [2, 0]
    assert readout.target(target).tolist() == [2, 0]


def test_standardized_regression_goes_to_the_targets_units_and_back() -> None:
    readout = Readout("regression", "value", mean=MEAN, std=STD)
    target = torch.tensor([[12.0, -1.0], [6.0, 0.0]])
    encoded = torch.tensor([[1.0, 0.0], [-2.0, 2.0]])
    assert torch.equal(readout.encode(target), encoded)
    assert torch.equal(readout.target(encoded), target)
    assert torch.equal(readout.value(encoded), target)


def test_plain_regression_stays_as_it_is() -> None:
    readout, values = Readout("regression", "value"), torch.tensor([[3.0, 4.0]])
    assert torch.equal(readout.encode(values), values)
    assert torch.equal(readout.target(values), values)
    assert torch.equal(readout.value(values), values)


def test_statistics_follow_the_predictions_dtype() -> None:
    readout = Readout("regression", "value", mean=MEAN, std=STD)
    values = torch.ones(1, 2, dtype=torch.float64)
    assert readout.value(values).dtype == torch.float64
    assert readout.encode(values).dtype == torch.float64


@pytest.mark.parametrize("reads", ["label", "probability", "value"])
def test_read_gives_what_the_metric_asks_for(reads: str) -> None:
    readout = Readout("regression" if reads == "value" else "binary", "value", mean=MEAN[:1], std=STD[:1])
    prediction = column(0.2, 0.9)
    expected = {"label": [0, 1], "probability": [0.2, 0.9], "value": [10.4, 11.8]}[reads]
    assert readout.read(reads, prediction).flatten().tolist() == pytest.approx(expected)


def test_leading_run_axes_are_kept() -> None:
    logit = torch.randn(2, 5, 1)
    assert Readout("binary", "logit").label(logit).shape == (2, 5)
    assert Readout("binary", "logit").probability(logit).shape == (2, 5)
    assert Readout("multiclass", "logit").label(torch.randn(2, 5, 3)).shape == (2, 5)
    assert Readout("multiclass", "logit").probability(torch.randn(2, 5, 3)).shape == (2, 5, 3)
    assert Readout("regression", "value", mean=MEAN, std=STD).value(torch.randn(2, 5, 2)).shape == (2, 5, 2)


@pytest.mark.parametrize("num_classes", [1, 2, 3, MOST_COMPARED, MOST_COMPARED + 1, 30])
@pytest.mark.parametrize("by_units", [False, True])
def test_labels_of_many_runs_are_the_first_of_the_largest_outputs(num_classes: int, by_units: bool) -> None:
    outputs = torch.randint(0, 3, (4, 50, num_classes), generator=torch.Generator().manual_seed(0)).float()
    ordered = outputs.mT.contiguous().mT if by_units else outputs
    readout = Readout("multiclass", "logit")
    assert torch.equal(readout.label(ordered), outputs.argmax(dim=-1))
    torch.testing.assert_close(readout.probability(ordered), outputs.softmax(dim=-1))
