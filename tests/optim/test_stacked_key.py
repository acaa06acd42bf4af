"""Which optimizers can be rows of one update."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from torch.optim import optimizer as torch_optimizer

from nnlab.optim.groups import parameter_groups
from nnlab.optim.stacked import stacked_update, stacking_key
from stacked_runs import CASES

CONFIGS = Path(__file__).parents[2] / "configs" / "optim"


def layer() -> nn.Linear:
    return nn.Linear(2, 3)


def made(kind: str = "Adam", **settings: Any) -> torch.optim.Optimizer:
    return getattr(torch.optim, kind)(layer().parameters(), **settings)


def test_every_option_has_a_stacked_form_but_lbfgs() -> None:
    without = []
    for path in sorted(CONFIGS.glob("*.yaml")):
        settings = yaml.safe_load(path.read_text())
        kind = settings.pop("_target_").rsplit(".", 1)[1]
        settings.pop("no_decay", None)
        if stacking_key(made(kind, **settings)) is None:
            without.append(path.stem)
    assert without == ["lbfgs"]


def test_key_is_equal_where_only_numbers_differ_and_different_for_every_case() -> None:
    def momentum(flags: dict[str, bool], value: float) -> dict[str, Any]:
        return {name: (value if set_ else 0.0) if name == "momentum" else set_ for name, set_ in flags.items()}

    keys = [stacking_key(made(case.kind, **momentum(case.flags, 0.5))) for case in CASES]
    others = [stacking_key(made(case.kind, lr=0.7, **momentum(case.flags, 0.9))) for case in CASES]
    assert keys == others
    assert len(set(keys)) == len(CASES)
    assert None not in keys


NUMBERS = [
    ("SGD", {"momentum": 0.1, "dampening": 0.3, "weight_decay": 0.1}, {"momentum": 0.9}),
    ("Adam", {"betas": (0.1, 0.2), "eps": 0.1, "weight_decay": 0.1}, {}),
    ("Rprop", {"etas": (0.1, 2.0), "step_sizes": (0.1, 0.2)}, {}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.2}, {}),
]


@pytest.mark.parametrize(("kind", "settings", "others"), NUMBERS)
def test_key_does_not_depend_on_numbers(kind: str, settings: dict[str, Any], others: dict[str, Any]) -> None:
    assert stacking_key(made(kind, **settings)) == stacking_key(made(kind, **others))


def test_key_does_not_depend_on_who_is_left_alone_by_the_decay() -> None:
    groups = parameter_groups(layer(), ["bias"])
    assert stacking_key(torch.optim.SGD(groups, weight_decay=0.1)) == stacking_key(made("SGD"))


def test_key_tells_fused_counts_from_others() -> None:
    assert stacking_key(made(fused=True)) != stacking_key(made(fused=False)) == stacking_key(made(foreach=True))


class OwnAdam(torch.optim.Adam):
    """Somebody's own class, which may do anything."""


def hooked() -> torch.optim.Optimizer:
    optimizer = made()
    optimizer.register_step_post_hook(lambda *_: None)
    return optimizer


def scheduled() -> torch.optim.Optimizer:
    optimizer = made()
    optimizer.step = lambda closure=None: None
    return optimizer


def rates_by_group() -> torch.optim.Optimizer:
    first, second = layer().parameters()
    return torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 0.5}], lr=0.1)


def decays_by_group() -> torch.optim.Optimizer:
    first, second = layer().parameters()
    return torch.optim.SGD([{"params": [first]}, {"params": [second], "weight_decay": 0.5}], weight_decay=0.1)


def tensor_in_second_group() -> torch.optim.Optimizer:
    first, second = layer().parameters()
    return torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": torch.tensor(0.1)}], lr=0.1)


def frozen() -> torch.optim.Optimizer:
    model = layer()
    model.bias.requires_grad_(False)
    return torch.optim.SGD(model.parameters())


def sparse() -> torch.optim.Optimizer:
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    return torch.optim.SGD(table.parameters())


def of_two_types() -> torch.optim.Optimizer:
    return torch.optim.SGD([*layer().parameters(), *layer().double().parameters()])


def complex_numbers() -> torch.optim.Optimizer:
    return torch.optim.Adam([nn.Parameter(torch.ones(2, dtype=torch.complex64))])


def at_different_steps() -> torch.optim.Optimizer:
    model = layer()
    optimizer = torch.optim.Adam(model.parameters())
    for parameters in ([model.weight, model.bias], [model.weight]):
        model.zero_grad()
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    return optimizer


def half_begun() -> torch.optim.Optimizer:
    model = layer()
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    model.weight.grad = torch.ones_like(model.weight)
    optimizer.step()
    return optimizer


def state_of_another_form() -> torch.optim.Optimizer:
    model = layer()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.param_groups[0]["amsgrad"] = True
    return optimizer


WITHOUT = [
    lambda: made("LBFGS"),
    lambda: made("ASGD"),
    lambda: OwnAdam(layer().parameters()),
    hooked,
    scheduled,
    lambda: made(lr=torch.tensor(0.1)),
    lambda: made(lr=0.1, betas=(torch.tensor(0.9), torch.tensor(0.99)), foreach=False, capturable=False),
    lambda: made(differentiable=True),
    lambda: made("NAdam", capturable=True),
    rates_by_group,
    decays_by_group,
    tensor_in_second_group,
    frozen,
    sparse,
    of_two_types,
    complex_numbers,
    at_different_steps,
    half_begun,
    state_of_another_form,
]


@pytest.mark.parametrize("make", WITHOUT)
def test_optimizer_without_a_stacked_form_has_no_key(make: Callable[[], torch.optim.Optimizer]) -> None:
    assert stacking_key(make()) is None


def test_global_hook_leaves_no_optimizer_a_key() -> None:
    handle = torch_optimizer.register_optimizer_step_post_hook(lambda *_: None)
    try:
        assert stacking_key(made()) is None
    finally:
        handle.remove()
    assert stacking_key(made()) is not None


def test_momentum_switched_on_in_mid_course_begins_anew() -> None:
    model = layer()
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    with_buffers = stacking_key(optimizer)
    optimizer.param_groups[0]["momentum"] = 0.0
    assert stacking_key(optimizer) == stacking_key(made("SGD")) != with_buffers


def test_optimizers_with_different_keys_are_refused() -> None:
    models = [layer(), layer()]
    optimizers = [torch.optim.SGD(models[0].parameters()), torch.optim.Adam(models[1].parameters())]
    with pytest.raises(AssertionError):
        stacked_update(optimizers, [list(model.parameters()) for model in models], torch.zeros(2, 9))
