"""The chain rule by hand against torch's automatic differentiation, in float64."""

import copy
import itertools

import pytest
import torch
from torch import nn

from nnlab import Trainer
from nnlab.gradient import Autograd, Backprop, Precision
from nnlab.loss import BCE, L1, MSE, BCEProbability, CrossEntropy, HalfMSE, Hinge, Huber, Penalty, Polynomial, SmoothL1
from nnlab.loss.objective import Objective
from nnlab.model import ACTIVATIONS, MLP, linear, seed_dropout

FP64 = Precision(torch.float64, None, "cpu")
#: of the whole gradient, as the issue asks for
ROUNDING = 1e-10
ROWS, INPUTS = 12, 3


def target_for(kind, outputs, generator):
    if kind == "codes":
        return torch.randint(0, outputs, (ROWS,), generator=generator)
    if kind == "value":
        return torch.randn(ROWS, outputs, generator=generator, dtype=torch.float64)
    half = torch.randint(0, 2, (ROWS, outputs), generator=generator).double()
    return half if kind == "zero_one" else 2 * half - 1


#: loss, what its target is, outputs, activation of the output
LOSSES = {
    "mse": (MSE(), "value", 2, "identity"),
    "half_mse": (HalfMSE(), "value", 2, "identity"),
    "l1": (L1(), "value", 2, "identity"),
    "huber": (Huber(delta=0.7), "value", 2, "identity"),
    "smooth_l1": (SmoothL1(beta=0.7), "value", 2, "identity"),
    "polynomial": (Polynomial([6.0, 5.0, 2.0]), "value", 2, "identity"),
    "bce": (BCE(), "zero_one", 1, "identity"),
    "bce_weighted": (BCE([1.0, 3.0]), "zero_one", 1, "identity"),
    "bce_probability": (BCEProbability(), "zero_one", 1, "sigmoid"),
    "hinge": (Hinge(), "plus_minus", 1, "identity"),
    "cross_entropy": (CrossEntropy(label_smoothing=0.0), "codes", 3, "identity"),
    "cross_entropy_smooth": (CrossEntropy(label_smoothing=0.2, class_weight=[1.0, 2.0, 0.5]), "codes", 3, "identity"),
}


def case(loss, depth=2, activation="tanh", norm="none", dropout=0.0, penalty=None, bias=True, seed=0):
    """A model, its objective and a batch, all in float64."""
    objective, kind, outputs, output_activation = LOSSES[loss]
    torch.manual_seed(seed)
    model = MLP(
        INPUTS, outputs, depth=depth, width=5, widths=None, activation=activation, output_activation=output_activation,
        dropout=dropout, norm=norm, bias=bias,
    ).double()  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(ROWS, INPUTS, generator=generator, dtype=torch.float64)
    weights = [layer.weight for layer in model.modules() if isinstance(layer, nn.Linear)]
    return (
        model,
        Objective(objective, penalty or Penalty(), weights),
        inputs,
        target_for(kind, outputs, generator),
    )


def gradients(way, model, objective, inputs, target, share=1.0):
    seed_dropout(model, 3, torch.device("cpu"))
    model.zero_grad()
    value, prediction = way(model.train(), objective, inputs, target, FP64, share)
    assert not value.requires_grad
    assert not prediction.requires_grad
    return value, prediction, {name: p.grad for name, p in model.named_parameters()}


def assert_both_ways_agree(parts, share=1.0):
    twin = copy.deepcopy(parts[0])
    twin_objective = Objective(
        parts[1].loss, parts[1].penalty, [layer.weight for layer in twin.modules() if isinstance(layer, nn.Linear)]
    )
    value, prediction, exact = gradients(Autograd(), twin, twin_objective, *parts[2:], share)
    found = gradients(Backprop(), *parts, share)
    torch.testing.assert_close(found[0], value, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found[1], prediction, rtol=1e-12, atol=1e-14)
    scale = max(float(grad.abs().max()) for grad in exact.values())
    for name, grad in exact.items():
        size = float(grad.abs().max())
        # Where a whole tensor's gradient is zero but for rounding, nothing is left to be relative to.
        assert float((found[2][name] - grad).abs().max()) <= max(ROUNDING * size, 1e-14 * scale), name
    for (name, buffer), other in zip(parts[0].named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, rtol=1e-12, atol=1e-14, msg=name)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_loss_and_depth_equal_autograd(activation):
    for loss, depth in itertools.product(LOSSES, range(4)):
        assert_both_ways_agree(case(loss, depth, activation))


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("penalty", [None, Penalty(l1=0.01, l2=0.1)])
@pytest.mark.parametrize("bias", [True, False])
def test_norm_dropout_penalty_and_bias_equal_autograd(norm, dropout, penalty, bias):
    for loss, activation in (("mse", "relu"), ("cross_entropy", "prelu"), ("bce_probability", "sigmoid")):
        for share in (1.0, 0.25):
            assert_both_ways_agree(case(loss, 3, activation, norm, dropout, penalty, bias), share)


def test_output_activations_of_every_kind_equal_autograd():
    for name in ACTIVATIONS:
        torch.manual_seed(1)
        model = linear(INPUTS, 2, output_activation=name, bias=True).double()
        inputs, target = torch.randn(2, ROWS, INPUTS).double()[0], torch.randn(ROWS, 2).double()
        assert_both_ways_agree((model, Objective(MSE(), Penalty(), []), inputs, target))


def test_gradients_of_several_batches_add_up():
    model, objective, inputs, target = case("mse", dropout=0.0)
    backprop = Backprop()
    for rows, share in ((slice(0, 4), 4 / ROWS), (slice(4, ROWS), 8 / ROWS)):
        backprop(model, objective, inputs[rows], target[rows], FP64, share)
    summed = {name: p.grad.clone() for name, p in model.named_parameters()}
    _, _, whole = gradients(Autograd(), model, objective, inputs, target)
    for name, grad in whole.items():
        torch.testing.assert_close(summed[name], grad, rtol=1e-12, atol=1e-14)


def test_frozen_parameters_keep_no_gradient_and_the_others_theirs():
    parts = case("mse", norm="layer")
    for layer in (parts[0].linear1, parts[0].norm2):
        layer.requires_grad_(False)
    backprop = Backprop()
    backprop(*parts, FP64, 1)
    assert [name for name, p in parts[0].named_parameters() if p.grad is None] == [
        "linear1.weight", "norm2.weight", "norm2.bias",
    ]  # fmt: skip
    twin = copy.deepcopy(parts[0])
    twin.zero_grad()
    Autograd()(twin, parts[1], *parts[2:], FP64, 1)
    for (name, p), other in zip(parts[0].named_parameters(), twin.parameters(), strict=True):
        if p.requires_grad:
            torch.testing.assert_close(p.grad, other.grad, rtol=1e-12, atol=1e-14, msg=name)


@pytest.mark.parametrize("momentum", [None, 0.3])
def test_batch_norm_of_any_momentum_and_in_evaluation_mode_equals_autograd(momentum):
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(4, momentum=momentum)
    # In place, so that what the slope is computed from would be gone.
    model = nn.Sequential(nn.Linear(3, 4), norm, nn.SiLU(inplace=True), nn.Linear(4, 2))
    parts = (
        model.double(),
        Objective(MSE(), Penalty(), []),
        torch.randn(ROWS, 3).double(),
        torch.randn(ROWS, 2).double(),
    )
    for _ in range(3):
        assert_both_ways_agree(parts)
    assert int(model[1].num_batches_tracked) == 3
    model.eval().zero_grad()
    twin = copy.deepcopy(model)
    Backprop()(*parts, FP64, 1)
    Autograd()(twin, *parts[1:], FP64, 1)
    for p, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, other.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("model", "loss", "precision", "said"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Softmax(dim=-1)), MSE(), "fp32", "no derivative of Softmax (1)"),
        (nn.Sequential(nn.Linear(2, 1), nn.Dropout(0.5)), MSE(), "fp32", "no derivative of Dropout (1)"),
        (nn.Bilinear(2, 2, 1), MSE(), "fp32", "no derivative of Bilinear;"),
        (nn.Linear(2, 1), nn.MSELoss(), "fp32", "no derivative of the loss torch.nn.modules.loss.MSELoss"),
        (nn.Linear(2, 1), MSE(), "bf16", "trainer.precision=bf16"),
    ],
)
def test_what_has_no_derivative_by_hand_is_refused_with_the_reason(model, loss, precision, said):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="gradient=backprop") as refusal:
        Trainer(model, loss, optimizer, gradient=Backprop(), precision=precision, device="cpu")
    assert said in str(refusal.value)
    assert "gradient=autograd" in str(refusal.value)


def trained(gradient, dropout, norm):
    torch.manual_seed(2)
    model = MLP(
        2, 1, depth=2, width=8, widths=None, activation="gelu", output_activation="identity", dropout=dropout,
        norm=norm, bias=True,
    )  # fmt: skip
    inputs = torch.randn(50, 2)
    target = inputs.sin().sum(1, keepdim=True)
    trainer = Trainer(
        model, MSE(), torch.optim.Adam(model.parameters(), lr=0.01), gradient=gradient, penalty=Penalty(l2=1e-3),
        batch_size=8, accumulate_steps=2, grad_clip_norm=1.0, precision="fp64", max_epochs=5, device="cpu", threads=1,
    )  # fmt: skip
    result = trainer.fit((inputs, target), (inputs, target))
    return [row["train/loss"] for row in result.history], [row["valid/loss"] for row in result.history]


@pytest.mark.parametrize(("dropout", "norm"), [(0.0, "none"), (0.3, "none"), (0.3, "layer")])
def test_whole_trainings_are_the_same_by_both_ways(dropout, norm):
    for by_hand, recorded in zip(trained(Backprop(), dropout, norm), trained(Autograd(), dropout, norm), strict=True):
        assert by_hand == pytest.approx(recorded, rel=1e-9)
