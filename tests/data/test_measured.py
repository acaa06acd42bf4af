import pytest

from nnlab.data import celsius, height_weight

WEIGHT_LB = [115.0, 117.0, 120.0, 123.0, 126.0, 129.0, 132.0, 135.0, 139.0, 142.0, 146.0, 150.0, 154.0, 159.0, 164.0]
HEIGHT_IN = [58.0, 59.0, 60.0, 61.0, 62.0, 63.0, 64.0, 65.0, 66.0, 67.0, 68.0, 69.0, 70.0, 71.0, 72.0]
UNKNOWN = [35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4]
CELSIUS = [0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0]


@pytest.mark.parametrize(
    ("make", "inputs", "target"), [(height_weight, WEIGHT_LB, HEIGHT_IN), (celsius, UNKNOWN, CELSIUS)]
)
def test_measured_pairs_are_the_notebooks_lists(make, inputs, target):
    data = make()
    assert data.train.inputs[:, 0].tolist() == pytest.approx(inputs, rel=1e-7)
    assert data.train.target[:, 0].tolist() == target
    assert data.splits.keys() == {"train"}
