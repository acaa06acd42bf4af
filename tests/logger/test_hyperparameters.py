"""Settings as dashboards show them: flat, readable, one kind of value for each key."""

import types
import typing

import pytest

from nnlab.config import LIST_GROUPS, Library
from nnlab.logger.hyperparameters import MIXED, hyperparameters
from nnlab.target import parameters_of, resolve


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"seed": 3}, {"seed": 3}),
        ({"optim": {"lr": 1e-3, "nesterov": False}}, {"optim.lr": 1e-3, "optim.nesterov": False}),
        ({"model": {"widths": None, "norm": "none"}}, {"model.widths": "none", "model.norm": "none"}),
        ({"optim": {"betas": [0.9, 0.999]}}, {"optim.betas": "[0.9, 0.999]"}),
        ({"init": {"weights": [[1, None], ["a"]]}}, {"init.weights": '[[1, null], ["a"]]'}),
        ({"optim": {"_target_": "torch.optim.Adam", "lr": 1}}, {"optim": "Adam", "optim.lr": 1}),
        (
            {"model": {"_target_": "nnlab.model.MLP", "activation": {"_target_": "torch.nn.ReLU", "inplace": True}}},
            {"model": "MLP", "model.activation": "ReLU", "model.activation.inplace": True},
        ),
        (
            {"callback": {"early_stopping": {"_target_": "nnlab.callback.EarlyStopping", "patience": 5}}},
            {"callback.early_stopping": "EarlyStopping", "callback.early_stopping.patience": 5},
        ),
        ({"callback": {}, "gradient": {}}, {}),
        (
            {
                "name": "x",
                "device": "cpu",
                "figures": ["png"],
                "plugins": [],
                "logger": {"tensorboard": {"_target_": "a.B"}},
            },
            {},
        ),
        ({"metric": {"auto": {"_target_": "a.b"}}}, {}),
        (
            {"trainer": {"_target_": "a.B", "threads": 2, "checkpoint_every": "30s", "max_epochs": 4}},
            {"trainer.max_epochs": 4},
        ),
        ({"trainer": {"max_steps": None}}, {"trainer.max_steps": "none"}),
        (
            {"trainer": {"max_steps": 100, "grad_clip_norm": 0.5}},
            {"trainer.max_steps": "100", "trainer.grad_clip_norm": "0.5"},
        ),
        ({"loss": {"delta": float("inf"), "x": float("nan")}}, {"loss.delta": "inf", "loss.x": "nan"}),
        ({"data": {"inputs": list(range(200))}}, {"data.inputs": str(list(range(200)))[:249] + "…"}),
        ({1: {2: 3}}, {"1.2": 3}),
    ],
)
def test_hyperparameters_any_config_is_a_flat_table(config, expected):
    found = hyperparameters(config)
    assert found == expected
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in expected.items()}


def nodes():
    library = Library()
    for group in library.groups:
        if group not in ("experiment", "compare"):  # which set keys of other groups, or how runs are compared
            for option in library.options(group).values():
                yield group, option.content[option.name] if group in LIST_GROUPS else option.content


def kinds(hint):
    """What a hint admits, as far as a config can hold it: numbers, or something else."""
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    of_numbers = {part in (int, float) for part in parts if getattr(part, "__module__", "") != "torch"}
    return {"number"} if of_numbers == {True} else {"both"} if of_numbers == {True, False} else {"other"}


def test_mixed_names_every_key_whose_value_may_be_a_number_or_something_else():
    """A number in one run and `none` in another make a column that TensorBoard answers to sort with an error 500."""
    found = set()
    for group, node in nodes():
        hints = parameters_of(resolve(node["_target_"], group))
        found |= {f"{group}.{key}" for key in node if key in hints and kinds(hints[key]) == {"both"}}
    left_out = {"trainer.threads", "trainer.checkpoint_every"}
    assert found - left_out == MIXED


def test_hyperparameters_of_one_key_have_one_kind_in_all_options():
    """Own keys of nnlab, which no signature describes, and options that share a key."""
    found: dict[str, set[type]] = {}
    for group, node in nodes():
        for key, value in hyperparameters({group: node}).items():
            found.setdefault(key, set()).add(float if type(value) is int else type(value))
    assert {key: sorted(kind.__name__ for kind in used) for key, used in found.items() if len(used) > 1} == {}
