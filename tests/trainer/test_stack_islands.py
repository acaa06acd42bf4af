"""What happens to one member of a stack changes no bit of another."""

from typing import Any

import pytest
import torch

from nnlab.callback import EarlyStopping
from nnlab.loss import BCE, L1, MSE, CrossEntropy, Hinge
from nnlab.model.activation import ACTIVATIONS
from nnlab.trainer import stacked_model
from together_runs import Outcome, rows, same_bits, together

K = 7
#: with this rate the parameters overflow within some steps
TOO_FAST = {"lr": 1e30, "optimizer": "SGD"}


def specs(num: int = K, **settings: Any) -> list[dict[str, Any]]:
    """Members with seeds and rates of their own. Widths and batches are odd, so that no row fills whole vectors."""
    shared = {"max_epochs": 4, "precision": "fp32"} | settings
    return [{"seed": seed, "lr": 0.01 * (1 + seed), **shared} for seed in range(num)]


def data(task: str = "regression", precision: str = "fp32", num: int = 24) -> tuple[Any, Any]:
    dtype = torch.float64 if precision == "fp64" else torch.float32
    return rows(task, num, dtype=dtype), rows(task, 17, seed=1, dtype=dtype)


def assert_unmoved(
    mixed: list[dict[str, Any]], places: list[int], reference: list[Outcome], splits: Any
) -> list[Outcome]:
    """The members at these places have the bits of the reference's members, one by one."""
    found = together(mixed, *splits)
    moved = [place for place, expected in zip(places, reference, strict=True) if not same_bits(found[place], expected)]
    assert not moved
    return found


MODELS = {name: {"model": {"activation": name}} for name in ACTIVATIONS} | {
    "dropout": {"model": {"dropout": 0.3}},
    "batch norm": {"model": {"norm": "batch"}},
    "layer norm": {"model": {"norm": "layer"}},
    "wide": {"model": {"width": 33, "depth": 1}},
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    name: {"optimizer": name} for name in ("SGD", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adamax", "Rprop")
} | {"Adadelta": {"optimizer": "Adadelta"}, "momentum": {"optimizer": "SGD", "optim": {"momentum": 0.9}}}
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "bce": ("binary", {"make_loss": BCE}),
    "hinge": ("signs", {"make_loss": Hinge}),
    "l1": ("regression", {"make_loss": L1}),
    "cross-entropy": ("multiclass", {"make_loss": lambda: CrossEntropy(0.1), "model": {"num_outputs": 3}}),
    "cross-entropy weighted": (
        "multiclass", {"make_loss": lambda: CrossEntropy(0.0, [1.0, 2.0, 0.5]), "model": {"num_outputs": 3}},
    ),
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any]]] = (
    {name: ("regression", {**settings, "make_loss": MSE}) for name, settings in (MODELS | OPTIMIZERS).items()}
    | {name: (task, {**settings, "metrics": task}) for name, (task, settings) in LOSSES.items()}
    | {
        "clipped": ("regression", {"grad_clip_norm": 0.3}),
        "accumulating": ("regression", {"accumulate_steps": 2, "batch_size": 5}),
        "last batch of one row": ("regression", {"batch_size": 23}),
        "unshuffled": ("regression", {"shuffle": False}),
    }
)


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize("name", CASES)
def test_bits_are_the_same_in_any_number_in_any_order_and_beside_nan(name, precision):
    task, settings = CASES[name]
    splits = data(task, precision)
    members = specs(**settings, precision=precision)
    reference = together(members, *splits)
    assert len({float(outcome.rows[-1]["train/loss"]) for outcome in reference}) == K
    order = [3, 0, 6, 1, 5, 2, 4]
    assert_unmoved([members[place] for place in order], list(range(K)), [reference[place] for place in order], splits)
    for part in ([0], [6], [1, 5], [4, 2, 3]):
        assert_unmoved(
            [members[place] for place in part], list(range(len(part))), [reference[place] for place in part], splits
        )
    (x, y), valid = splits
    of_nan = {**members[0], "train": (x * torch.nan, y), "valid": valid}
    found = assert_unmoved(
        [members[0], of_nan, *members[1:], {**members[2], "seed": 9, **TOO_FAST}],
        [0, *range(2, K + 1)],
        reference,
        splits,
    )
    assert (found[1].result.status, found[1].result.diverged_at) == ("diverged", 1)


def test_member_that_goes_too_fast_has_diverged_and_the_others_have_not():
    members = specs()
    found = together([*members, {**members[0], **TOO_FAST}], *data())
    assert [outcome.result.status for outcome in found] == ["completed"] * K + ["diverged"]


OTHERS: dict[str, list[dict[str, Any]]] = {
    "one stops early": [{"make_callbacks": lambda: [EarlyStopping(1, 10.0, None)], "lr": 0.001}],
    "one has fewer epochs": [{"max_epochs": 2}],
    "one has more epochs": [{"max_epochs": 6}],
    "one ends in mid-epoch": [{"max_steps": 3}],
    "one does one step": [{"max_steps": 1}],
    "so many end that the stack shrinks": [{"max_epochs": 1 + place % 3, "seed": 20 + place} for place in range(8)],
    "so many end in mid-epoch": [{"max_steps": 1 + place % 5, "seed": 20 + place} for place in range(8)],
    "one is evaluated rarely": [{"eval_every": 3}],
    "one is clipped": [{"grad_clip_norm": 0.05}],
    "another optimizer": [{"optimizer": "SGD"}, {"optimizer": "Rprop"}],
    "other decays": [{"optim": {"weight_decay": 0.1}}, {"optim": {"betas": (0.5, 0.9)}}],
    "another penalty": [{"penalty": True}],
    "another order": [{"shuffle": False}],
    "other rows": [{"other_rows": 3}, {"other_rows": 4}],
    "another schedule": [{"warm_up": 4}],
    "another monitor": [{"monitor": "train/r2"}],
}


def completed(other: dict[str, Any]) -> dict[str, Any]:
    """A specification of which some parts are said in short."""
    from nnlab.loss import Penalty
    from nnlab.schedule import Constant

    made = {"seed": 11, "lr": 0.02, "max_epochs": 4, "precision": "fp32", **other}
    if made.pop("penalty", False):
        made["penalty"] = Penalty(l2=0.1)
    if warm_up := made.pop("warm_up", 0):
        made["make_schedule"] = lambda: Constant(unit="step", warmup_steps=warm_up)
    if seed := made.pop("other_rows", 0):
        made["train"], made["valid"] = rows(num=24, seed=seed, dtype=torch.float32), rows(num=17, dtype=torch.float32)
    return made


@pytest.mark.parametrize("name", OTHERS)
def test_bits_are_the_same_beside_others_that(name):
    members, others, splits = specs(), [completed(other) for other in OTHERS[name]], data()
    reference = together(members, *splits)
    assert_unmoved([*members, *others], list(range(K)), reference, splits)
    assert_unmoved([*others, *members], list(range(len(others), len(others) + K)), reference, splits)
    alone = together(others, *splits)
    assert_unmoved([*members, *others], list(range(K, K + len(others))), alone, splits)


@pytest.mark.parametrize("rates", [(0.01,) * 3, (0.01, 0.02, 0.04)])
def test_bits_are_the_same_whether_all_go_through_one_order_or_not(rates):
    """Of one seed, all runs read the same batch; beside another seed, each has a copy of its own."""
    members, splits = [{**specs(1)[0], "lr": lr} for lr in rates], data()
    reference = together(members, *splits)
    assert_unmoved([*members, {**members[0], "seed": 5}], [0, 1, 2], reference, splits)
    assert_unmoved(members[2:], [0], reference[2:], splits)


def test_bits_are_the_same_where_a_split_takes_several_passes(monkeypatch):
    monkeypatch.setattr(stacked_model, "NUMBERS_PER_PASS", 301)
    members, splits = specs(), (data()[0], rows(num=301, seed=1, dtype=torch.float32))
    reference = together(members, *splits)
    assert_unmoved(members, list(range(K)), reference, splits)
    assert_unmoved(members[2:4], [0, 1], reference[2:4], splits)
