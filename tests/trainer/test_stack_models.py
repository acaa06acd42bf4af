"""Models and losses of one's own: those that can be stacked, and those that are trained alone and say why."""

from typing import Any

import pytest
import torch
from torch import nn

from nnlab.callback import Callback
from own_models import Own, Scaled, sequence_with_one_activation
from together_runs import SPLITS, alone, assert_as_alone, assert_same_bits, mlp, rows, same_bits, specs, together


class Shared(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.hidden, self.last = nn.Linear(2, 5), nn.Linear(5, 5), nn.Linear(5, 1)
        self.again = self.hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.again(torch.tanh(self.hidden(torch.tanh(self.first(x)))))))


def hooked(seed: int) -> nn.Module:
    model = mlp(seed)
    model.linear1.register_forward_hook(lambda layer, inputs, output: 2 * output)
    return model


def frozen(seed: int) -> nn.Module:
    model = mlp(seed)
    model.linear1.weight.requires_grad_(False)
    return model


ACCEPTED = {
    "layers of one's own": Own,
    "buffers changed in place": lambda seed: Own(seed, "in place"),
    "numbers of one's own": lambda seed: Own(seed, scale=1.0 + seed),
    "one activation in two places": sequence_with_one_activation,
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_own_model_is_stacked_and_is_as_alone(name):
    found, _ = assert_as_alone(specs(make_model=ACCEPTED[name]))
    assert not any(outcome.result.notes for outcome in found)


OF_TORCH = "torch.func cannot run it for several runs at once: RuntimeError: vmap"
REFUSED = {
    "branch": (lambda seed: Own(seed, "branch"), f"{OF_TORCH}: It looks like you're attempting"),
    "dropout": (lambda seed: Own(seed, "dropout"), f"{OF_TORCH}: called random operation"),
    "batch norm": (lambda seed: Own(seed, "batch norm"), "batch norm inside a model of your own (norm)"),
    "replaced buffer": (lambda seed: Own(seed, "replace"), "its forward pass puts another tensor in place of mean"),
    "count": (lambda seed: Own(seed, "count"), "its forward pass changes count, which is no buffer"),
    "shared layer": (Shared, "a parameter has two places in the model"),
    "hook": (hooked, "there are hooks on the model or its layers"),
    "frozen": (frozen, "Adam does not update every parameter of the model"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_own_model_that_cannot_be_stacked_is_trained_alone_and_says_why(name):
    make, reason = REFUSED[name]
    members = specs(2, make_model=make)
    lone, found = alone(members, *SPLITS), together(members, *SPLITS)
    for ours, theirs in zip(found, lone, strict=True):
        assert same_bits(ours, theirs)
        assert len(ours.result.notes) == 1
        assert ours.result.notes[0].startswith(f"trained alone, not in a stack: {reason}")


def test_optimizer_of_some_parameters_trains_alone_and_says_so():
    members = specs(2, make_optimizer=lambda model, lr: torch.optim.SGD(model.output.parameters(), lr=lr))
    lone, found = alone(members, *SPLITS), together(members, *SPLITS)
    assert_same_bits(found, lone)
    assert "SGD does not update every parameter of the model" in found[0].result.notes[0]


def test_own_loss_without_a_derivative_is_stacked_and_is_as_alone():
    members = [
        {**member, "make_loss": lambda factor=1 + place // 2: Scaled(factor)} for place, member in enumerate(specs())
    ]
    found, _ = assert_as_alone(members)
    assert not any(outcome.result.notes for outcome in found)


def test_own_loss_without_a_derivative_over_batch_norm_is_trained_alone_and_says_why():
    members = specs(2, make_loss=lambda: Scaled(1.0), model={"norm": "batch"})
    lone, found = alone(members, *SPLITS), together(members, *SPLITS)
    assert_same_bits(found, lone)
    assert "batch norm in a stack needs the loss's derivative, and Scaled has no gradient" in found[0].result.notes[0]


class Watching(Callback):
    def on_step_end(self, view: Any, step: int, loss: torch.Tensor) -> None:
        pass


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"precision": "bf16"}, "trainer.precision is bf16 or fp16"),
        ({"optimizer": "ASGD"}, "ASGD has no stacked form"),
        ({"make_loss": nn.MSELoss, "metrics": None}, "the loss MSELoss has no run axis"),
        ({"make_callbacks": lambda: [Watching()]}, "Watching looks at single steps"),
    ],
)
def test_what_has_no_stacked_form_is_trained_alone_and_says_why(settings, reason):
    splits = rows(dtype=torch.float32), rows(num=17, seed=1, dtype=torch.float32)
    members = specs(2, **{"precision": "fp32", **settings})
    lone, found = alone(members, *splits), together(members, *splits)
    assert_same_bits(found, lone)
    assert [outcome.result.notes for outcome in found] == [[f"trained alone, not in a stack: {reason}"]] * 2
