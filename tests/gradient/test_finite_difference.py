"""Central differences: their error, what they leave untouched, what they refuse."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from nnlab import Trainer
from nnlab.gradient import Autograd, FiniteDifference, Precision
from nnlab.loss import MSE, Penalty
from nnlab.loss.objective import Objective
from nnlab.model import MLP, linear, seed_dropout

FP64 = Precision(torch.float64, None, "cpu")


def parts(activation="tanh", norm="none", dropout=0.0):
    torch.manual_seed(0)
    model = MLP(
        2, 1, depth=2, width=4, widths=None, activation=activation, output_activation="identity", dropout=dropout,
        norm=norm, bias=True,
    ).double()  # fmt: skip
    seed_dropout(model, 5, torch.device("cpu"))
    weights = [layer.weight for layer in model.modules() if isinstance(layer, nn.Linear)]
    objective = Objective(MSE(), Penalty(l2=0.1), weights)
    return model, objective, torch.randn(9, 2).double(), torch.randn(9, 1).double()


def gradient_by(way, model, *rest):
    model.zero_grad()
    seed_dropout(model, 5, torch.device("cpu"))
    way(model.train(), *rest, FP64, 1)
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def test_celsius_gradient_equals_the_textbook_formula():
    """A straight line's loss is a parabola in w and b, so central differences are exact whatever delta."""
    x = np.array([35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4])
    t = np.array([0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0])
    model = linear(1, 1, output_activation="identity", bias=True).double()
    with torch.no_grad():
        model.output.weight.fill_(1.0)
        model.output.bias.fill_(0.0)
    value, prediction = FiniteDifference(0.1)(
        model, Objective(MSE(), Penalty(), []), torch.tensor(x)[:, None], torch.tensor(t)[:, None], FP64, 1
    )
    assert float(value) == pytest.approx(np.mean((x - t) ** 2), rel=1e-12)
    np.testing.assert_allclose(prediction[:, 0], x)
    assert float(model.output.weight.grad) == pytest.approx(np.mean(2 * (x - t) * x), rel=1e-10)
    assert float(model.output.bias.grad) == pytest.approx(np.mean(2 * (x - t)), rel=1e-10)


@pytest.mark.parametrize(("norm", "dropout"), [("none", 0.0), ("batch", 0.0), ("layer", 0.0), ("none", 0.5)])
def test_error_falls_to_a_quarter_when_delta_is_halved(norm, dropout):
    case = parts(norm=norm, dropout=dropout)
    exact = gradient_by(Autograd(), *case)
    errors = [float((gradient_by(FiniteDifference(delta), *case) - exact).abs().max()) for delta in (2e-2, 1e-2, 5e-3)]
    assert errors[0] < 0.1 * float(exact.abs().max())
    for larger, smaller in itertools.pairwise(errors):
        assert 3.5 <= larger / smaller <= 4.5


def test_parameters_running_values_and_random_streams_are_as_after_one_forward_pass():
    by_nudging, by_recording = parts("relu", "batch", 0.5), parts("relu", "batch", 0.5)
    FiniteDifference(1e-3)(by_nudging[0].train(), *by_nudging[1:], FP64, 1)
    Autograd()(by_recording[0].train(), *by_recording[1:], FP64, 1)
    for (name, one), other in zip(
        by_nudging[0].state_dict().items(), by_recording[0].state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    for one, other in zip(by_nudging[0].modules(), by_recording[0].modules(), strict=True):
        if hasattr(one, "generator"):
            assert torch.equal(one.generator.get_state(), other.generator.get_state())


def test_running_values_are_not_those_of_the_last_nudge():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, affine=False)).double()
    twin = copy.deepcopy(model)
    batch = (torch.randn(5, 2).double(), torch.randn(5, 3).double())
    FiniteDifference(0.5)(model, Objective(MSE(), Penalty(), []), *batch, FP64, 1)
    twin(batch[0])
    assert torch.equal(model[1].running_mean, twin[1].running_mean)


def test_torchs_own_dropout_sees_one_mask_and_leaves_the_global_stream_where_one_pass_does():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 6), nn.Dropout(0.5), nn.Linear(6, 1)).double()
    batch = (Objective(MSE(), Penalty(), []), torch.randn(5, 2).double(), torch.randn(5, 1).double())
    found = []
    for way in (Autograd(), FiniteDifference(1e-4)):
        model.zero_grad()
        torch.manual_seed(11)
        way(model, *batch, FP64, 1)
        found.append((torch.cat([p.grad.flatten() for p in model.parameters()]), torch.rand(1)))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-6, atol=1e-9)
    assert found[0][1] == found[1][1]


def test_number_too_large_for_delta_has_no_slope_rather_than_none():
    """1e17 + 0.001 is 1e17 in float64: both losses are the same, which says nothing about the slope between them."""
    model = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1e17, 1.0]]))
    batch = (torch.tensor([[0.0, 3.0]]).double(), torch.tensor([[0.0]]).double())
    FiniteDifference(1e-3)(model, Objective(MSE(), Penalty(), []), *batch, FP64, 1)
    assert math.isnan(model.weight.grad[0, 0])
    assert float(model.weight.grad[0, 1]) == pytest.approx(18.0, rel=1e-9)


def test_delta_that_is_not_positive_is_refused():
    for delta in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=r"gradient\.delta: expected a number > 0"):
            FiniteDifference(delta)


def test_large_model_is_refused_with_the_time_a_step_would_take():
    model = MLP(
        64, 1, depth=2, width=1, widths=[256, 1024], activation="relu", output_activation="identity", dropout=0.0,
        norm="none", bias=True,
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="280,833 parameters") as refusal:
        Trainer(model, MSE(), optimizer, gradient=FiniteDifference(1e-3), batch_size=16, device="cpu")
    assert "100,000" in str(refusal.value)
    assert any(unit in str(refusal.value) for unit in ("seconds", "minutes", "hours", "days"))


def test_half_precision_is_refused():
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"trainer\.precision=fp32 or fp64"):
        Trainer(model, MSE(), optimizer, gradient=FiniteDifference(1e-3), precision="bf16", device="cpu")


def test_training_by_differences_follows_training_by_autograd():
    losses = []
    for way in (Autograd(), FiniteDifference(1e-4)):
        model, _, inputs, target = parts(dropout=0.2)
        trainer = Trainer(
            model, MSE(), torch.optim.SGD(model.parameters(), lr=0.1), gradient=way, precision="fp64", batch_size=4,
            max_epochs=4, device="cpu",
        )  # fmt: skip
        losses.append([row["train/loss"] for row in trainer.fit((inputs, target)).history])
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
