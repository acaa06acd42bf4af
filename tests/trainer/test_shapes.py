"""Data that do not fit the model are refused in words; what a model can take after all is not."""

import re

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nnlab import Trainer
from nnlab.model import MLP


def trainer(model, **settings):
    return Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.1), max_epochs=1, **settings)


def five_three_one():
    return nn.Sequential(nn.Linear(5, 3), nn.Sigmoid(), nn.Linear(3, 1))


def mlp():
    return MLP(
        *(5, 1), depth=1, width=3, widths=None, activation="tanh", output_activation="identity", dropout=0.0,
        norm="none", bias=True,
    )  # fmt: skip


X = torch.zeros(7, 5)
#: a model, inputs that do not fit it, and the message
REFUSED = [
    (
        mlp,
        (5, 1),
        "inputs: shape [5, 1] cannot be multiplied by linear1.weight.T, shape [5, 3] (expected [N, 5], N rows of 5); "
        "inputs.T has the shape [1, 5] that fits",
    ),
    (
        lambda: nn.Linear(5, 1),
        (5, 7),
        "inputs: shape [5, 7] cannot be multiplied by weight.T, shape [5, 1] (expected [N, 5], N rows of 5); "
        "inputs.T has the shape [7, 5] that fits",
    ),
    (
        five_three_one,
        (7, 4),
        "inputs: shape [7, 4] cannot be multiplied by 0.weight.T, shape [5, 3] (expected [N, 5], N rows of 5); "
        "give rows of 5, or a model that takes 4",
    ),
    (
        lambda: nn.Linear(1, 2),
        (7,),
        "inputs: shape [7] cannot be multiplied by weight.T, shape [1, 2] (expected [N, 1], N rows of 1); "
        "inputs.unsqueeze(1) has the shape [7, 1] that fits",
    ),
    (
        five_three_one,
        (5,),
        "inputs: shape [5] cannot be multiplied by 0.weight.T, shape [5, 3] (expected [N, 5], N rows of 5); "
        "inputs.unsqueeze(0) has the shape [1, 5] that fits",
    ),
    (
        lambda: nn.Linear(2, 1),
        (6,),
        "inputs: shape [6] cannot be multiplied by weight.T, shape [2, 1] (expected [N, 2], N rows of 2); "
        "give rows of 2, or a model that takes 1",
    ),
    (
        lambda: nn.Sequential(nn.Dropout(0.5), nn.ModuleDict({"first": nn.Linear(5, 3)})["first"]),
        (5, 4),
        "inputs: shape [5, 4] cannot be multiplied by 1.weight.T, shape [5, 3] (expected [N, 5], N rows of 5); "
        "inputs.T has the shape [4, 5] that fits",
    ),
]


@pytest.mark.parametrize(("model", "shape", "message"), REFUSED)
def test_inputs_that_do_not_fit_are_refused_with_both_shapes_and_the_remedy(model, shape, message):
    inputs, target = torch.zeros(shape), torch.zeros(shape[0], 1)
    made = trainer(model())
    calls = [
        ("train ", lambda: made.fit((inputs, target))),
        ("", lambda: made.evaluate((inputs, target))),
        ("", lambda: made.predict(inputs)),
    ]
    for whose, call in calls:
        with pytest.raises(ValueError, match=f"^{re.escape(whose + message)}$"):
            call()
    assert not made.has_started


def test_validation_inputs_are_told_apart_from_training_inputs():
    made = trainer(five_three_one())
    with pytest.raises(ValueError, match=r"^valid inputs: shape \[9, 4\] cannot be multiplied by 0\.weight\.T"):
        made.fit((X, torch.zeros(7, 1)), (torch.zeros(9, 4), torch.zeros(9, 1)))


def test_loader_over_tensors_is_checked_without_drawing_a_batch():
    loader = DataLoader(TensorDataset(torch.zeros(5, 7), torch.zeros(5, 1)), batch_size=2, shuffle=True)
    made = trainer(five_three_one())
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match=r"^train inputs: shape \[5, 7\] .* inputs\.T has the shape \[7, 5\]"):
        made.fit(loader)
    assert torch.equal(torch.get_rng_state(), state)


def test_loader_that_makes_its_own_rows_is_left_alone():
    rows = TensorDataset(torch.zeros(6, 7), torch.zeros(6, 1))
    loader = DataLoader(rows, collate_fn=lambda pairs: (torch.stack([x[:5] for x, _ in pairs]), torch.zeros(1, 1)))
    assert trainer(five_three_one()).fit(loader).status == "completed"


class OutOfOrder(nn.Module):
    """Registers its layers in another order than it uses them, and draws numbers while it evaluates."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(4, 1)
        self.hidden = nn.Linear(2, 4)

    def forward(self, inputs):
        return self.output(self.hidden(inputs + torch.rand(1)))


class Column(nn.Module):
    """Takes plain numbers, shape [N]."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, inputs):
        return self.linear(inputs.unsqueeze(-1))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (OutOfOrder, (7, 2)),
        (Column, (7,)),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 1)), (7, 2, 3)),
        (lambda: nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(8, 1)), (7, 1, 6)),
        (lambda: nn.Linear(5, 1), (7, 5)),
    ],
    ids=["out of order", "column", "flatten", "convolution", "fits"],
)
def test_model_that_can_take_the_inputs_is_never_refused(model, shape):
    state = torch.get_rng_state()
    network = model()
    made = trainer(network, batch_size=3)
    torch.set_rng_state(state)
    inputs = torch.ones(shape)
    assert made.fit((inputs, torch.zeros(7, 1))).status == "completed"
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert made.predict(inputs).shape == (7, 1)


@pytest.mark.parametrize(
    ("inputs", "target", "remedy"),
    [
        ((5, 1), (1, 1), "5 rows of inputs but 1 targets; inputs.T with shape [1, 5] would fit"),
        ((7, 5), (1, 7), "7 rows of inputs but 1 targets; target.T with shape [7, 1] would fit"),
        (
            (7, 1),
            (1, 7),
            "7 rows of inputs but 1 targets; inputs.T with shape [1, 7] or target.T with shape [7, 1] would fit",
        ),
        ((7, 5), (6, 1), "7 rows of inputs but 6 targets"),
        ((7, 5), (6,), "7 rows of inputs but 6 targets"),
    ],
)
def test_unequal_numbers_of_rows_name_the_transposition_that_would_fit(inputs, target, remedy):
    with pytest.raises(ValueError, match=f"{re.escape(remedy)}$"):
        trainer(five_three_one()).fit((torch.zeros(inputs), torch.zeros(target)))
