"""What a training in a stack does, against the same training alone."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from nnlab.callback import Callback, EarlyStopping
from nnlab.loss import L1, MSE, Penalty
from nnlab.optim import parameter_groups
from nnlab.schedule import Constant, Exponential, Plateau
from nnlab.trainer.together import place_of
from together_runs import SPLITS, Outcome, alone, assert_as_alone, assert_close, far, readout, rows, specs, together

K = 4


class Weighing(Callback):
    """Remembers how large the memory is that the model's parameters lie in."""

    def __init__(self) -> None:
        self.num_bytes: list[int] = []

    def on_evaluation(self, view: Any, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        self.num_bytes.append(next(view.model.parameters()).untyped_storage().nbytes())


class Looking(Callback):
    """Remembers the gradients that it sees after each evaluation and at the end."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_evaluation(self, view: Any, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        self._look(view)

    def on_fit_end(self, view: Any, step: int) -> None:
        self._look(view)

    def _look(self, view: Any) -> None:
        self.seen.append(torch.cat([parameter.grad.flatten() for parameter in view.model.parameters()]).clone())


# lengths and endings


def test_early_stopping_ends_each_where_it_ends_alone():
    members = specs(6, make_callbacks=lambda: [EarlyStopping(2, 0.02, None)], max_epochs=60, optimizer="SGD")
    members = [{**member, "lr": 0.02 * (1 + place)} for place, member in enumerate(members)]
    found, _ = assert_as_alone(members)
    assert {outcome.result.status for outcome in found} == {"early_stopped"}
    assert len({outcome.result.epochs for outcome in found}) > 2
    assert "has not improved by more than 0.02 for 2 evaluations" in found[0].result.reason


#: the rate grows so much from epoch to epoch that the third or fourth one overflows after some of its steps
LATER = {
    "make_schedule": lambda: Exponential(gamma=1e25, unit="epoch", warmup_steps=0), "batch_size": 5,
    "model": {"activation": "relu"},
}  # fmt: skip


DIVERGING: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"optim": {"momentum": 0.9}},
    "dropout": {"model": {"dropout": 0.3, "activation": "relu"}},
    "batch norm": {"model": {"norm": "batch", "activation": "relu"}},
    "accumulating": {"accumulate_steps": 2},
    "saving at each step": {"checkpoint_every": 1},
    "by adam, saving at each step": {
        "checkpoint_every": 1,
        "optimizer": "Adam",
        "model": {"activation": "relu"},
        "batch_size": 5,
        "make_schedule": lambda: Exponential(gamma=1e60, unit="step", warmup_steps=0),
    },
    "from step to step": {"make_schedule": lambda: Exponential(gamma=1e20, unit="step", warmup_steps=0)},
    "between two epochs": {"make_schedule": lambda: Exponential(gamma=1e60, unit="epoch", warmup_steps=0)},
    "later": LATER,
    "later with dropout": {**LATER, "model": {"dropout": 0.3, "activation": "relu"}},
    "later with momentum": {**LATER, "optim": {"momentum": 0.9}},
    "later by adam": {**LATER, "optimizer": "Adam"},
}


@pytest.mark.parametrize("name", DIVERGING)
def test_divergence_is_found_at_the_same_step_with_the_same_parameters_kept(name):
    settings = DIVERGING[name]
    members = specs(**{"optimizer": "SGD", "max_epochs": 12, **settings})
    if "make_schedule" not in settings:
        members[1]["lr"], members[2]["lr"] = 1e30, 1e9
    found, _ = assert_as_alone(members)
    diverged = [outcome for outcome in found if outcome.result.status == "diverged"]
    assert diverged
    assert all(tensor.isfinite().all() for outcome in diverged for tensor in outcome.weights.values())
    if name.startswith("later"):
        assert all(outcome.result.epochs > 0 for outcome in diverged), "the state of a later epoch is to be found again"


def test_gradient_whose_norm_overflows_is_left_alone_where_there_is_no_limit():
    """Its numbers are finite. Beside members with limits, it is multiplied by 1, not by infinity over infinity."""
    large, large_valid = ((1e170 * x, y) for x, y in SPLITS)
    members = specs(optimizer="SGD", model={"depth": 0}, make_loss=L1, metrics=None, grad_clip_norm=0.5)
    members[1] |= {"train": large, "valid": large_valid, "lr": 1e-200, "grad_clip_norm": None}
    found, _ = assert_as_alone(members)
    assert [outcome.result.status for outcome in found] == ["completed"] * K


def test_max_steps_ends_each_in_mid_epoch():
    found, _ = assert_as_alone([{**member, "max_steps": 3 + place} for place, member in enumerate(specs(max_epochs=5))])
    assert [outcome.result.steps for outcome in found] == [3, 4, 5, 6]
    assert [len(outcome.rows) for outcome in found] == [2, 2, 3, 3]


def test_lengths_and_evaluations_are_each_members_own():
    members = [
        {**member, "max_epochs": epochs, "eval_every": every}
        for member, epochs, every in zip(specs(8), [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 2, 3, 1, 4, 10, 3], strict=True)
    ]
    found, _ = assert_as_alone(members)
    assert [len(outcome.rows) for outcome in found] == [1, 1, 2, 2, 5, 2, 1, 3]


def test_stack_shrinks_once_a_third_of_its_rows_are_free():
    weighing = Weighing()
    members = [{**member, "max_epochs": 1 + place} for place, member in enumerate(specs(8))]
    members[-1]["make_callbacks"] = lambda: [weighing]
    together(members, *SPLITS)
    of_one = 64 * 8  # 51 numbers of 8 bytes, padded
    num_rows = [
        num_bytes // of_one - 3 for num_bytes in weighing.num_bytes
    ]  # 3: behind the runs, for 11 rows in a batch
    assert num_rows == [8, 8, 8, 5, 5, 3, 2, 1]


def test_training_of_no_steps_is_evaluated_alone_and_says_so():
    members = [{**member, "max_epochs": place % 2} for place, member in enumerate(specs())]
    lone, found = alone(members, *SPLITS), together(members, *SPLITS)
    assert not far(found, lone)
    text = "trained alone, not in a stack: no step is left to do"
    assert [outcome.result.notes for outcome in found] == [[text], [], [text], []]


# what each member is made of


VARIANTS: dict[str, list[dict[str, Any]]] = {
    "accumulating": specs(accumulate_steps=2, batch_size=5),
    "overfitting few batches": specs(overfit_batches=1, batch_size=5),
    "unshuffled": specs(shuffle=False),
    "some unshuffled": [{**member, "shuffle": place % 2 == 0} for place, member in enumerate(specs())],
    "one batch an epoch": specs(batch_size=100),
    "weight decay of some": [
        {**member, "optimizer": "AdamW", "optim": {"weight_decay": 0.1 * place}} for place, member in enumerate(specs())
    ],
    "biases not decayed": specs(
        make_optimizer=lambda model, lr: torch.optim.SGD(
            parameter_groups(model, ["bias"]), lr=lr, momentum=0.9, weight_decay=0.1
        )
    ),
    "l1 and l2": specs(penalty=Penalty(l1=0.01, l2=0.1)),
    "clipped": [{**member, "grad_clip_norm": 0.1 + 0.1 * place} for place, member in enumerate(specs())],
    "some clipped": [{**member, "grad_clip_norm": 0.1 if place % 2 else None} for place, member in enumerate(specs())],
    "dropout of different probability": [
        {**member, "model": {"dropout": 0.1 + 0.2 * place}} for place, member in enumerate(specs())
    ],
    "schedules": [
        {**specs()[0], "make_schedule": lambda: Constant(unit="step", warmup_steps=3)},
        {**specs()[1], "make_schedule": lambda: Plateau(0.5, 0, 0.5, "rel", 0, 0.0, "epoch", 0)},
        {**specs()[2], "make_schedule": lambda: Exponential(gamma=0.9, unit="step", warmup_steps=0)},
        specs()[3],
    ],
    "monitors": [
        {**member, "monitor": f"valid/{name}"} for member, name in zip(specs(3), ("loss", "r2", "mae"), strict=True)
    ],
    "without metrics": specs(metrics=None),
    "layer norm": specs(model={"norm": "layer", "depth": 3}),
    "no hidden layer": specs(model={"depth": 0}),
    "no bias": specs(model={"bias": False}),
    "two losses": specs(2) + specs(2, make_loss=lambda: MSE()),
    "two widths": specs(2) + specs(2, model={"width": 6}),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_is_as_alone(name):
    members = [{"max_epochs": 4, **member} for member in VARIANTS[name]]
    found, _ = assert_as_alone(members)
    assert not any("alone" in note for outcome in found for note in outcome.result.notes)


def test_few_rows_to_overfit_stay_in_the_stack_and_a_loader_of_them_falls_out():
    found = together(specs(overfit_batches=1, batch_size=5), *SPLITS)
    assert found[0].result.notes == ["trainer.overfit_batches: training on 5 rows only"]
    loader = DataLoader(TensorDataset(*SPLITS[0]), batch_size=5)
    found = together(specs(overfit_batches=1, batch_size=5), loader, SPLITS[1])
    text = "trained alone, not in a stack: its rows come from a DataLoader, or are the same few in every epoch"
    assert found[0].result.notes == ["trainer.overfit_batches: training on 5 rows only", text]


def test_optimizers_of_every_kind_share_a_stack():
    kinds = [
        "SGD",
        "Adam",
        "RMSprop",
        "SGD",
        "Adagrad",
        "NAdam",
        "RAdam",
        "Adamax",
        "Adadelta",
        "Rprop",
        "AdamW",
        "Adam",
    ]
    members = [{**member, "optimizer": kind} for member, kind in zip(specs(len(kinds)), kinds, strict=True)]
    members[3]["optim"] = {"momentum": 0.9, "nesterov": True}
    members[-1]["max_epochs"], members[4]["max_epochs"] = 1, 2
    assert_as_alone(members, tolerance=1e-8)


def test_data_sets_of_several_seeds_share_a_stack():
    members = [
        {**member, "train": rows(seed=place), "valid": rows(num=17, seed=10 + place)}
        for place, member in enumerate(specs())
    ]
    found, _ = assert_as_alone(members)
    assert len({place(outcome) for outcome in found}) == 1
    assert_as_alone([*members, specs()[0]])


def test_standardized_targets_of_several_data_sets_keep_their_units():
    """The moments of each are its own, though they agree in the four digits that a tensor prints."""
    splits = [rows(seed=place) for place in range(3)]
    members = [
        {**member, "train": split, "valid": split, "readout": readout(1.0 + 1e-6 * place, 2.0 + place)}
        for place, (member, split) in enumerate(zip(specs(3), splits, strict=True))
    ]
    found, lone = assert_as_alone(members)
    assert len({place(outcome) for outcome in found}) == 1
    for number, outcome in enumerate(lone):
        x, y = splits[number]
        errors = (outcome.trainer.predict(x) - y) * (2.0 + number)
        assert outcome.rows[-1]["valid/mae"] == pytest.approx(float(errors.abs().mean()), rel=1e-12)


def place(outcome: Outcome) -> str:
    """What a training must have in common with others to share a stack with them."""
    fresh = outcome.trainer._fitting_now
    fresh._epoch_is_over = True
    return place_of(fresh)


def test_best_state_is_each_members_own_and_outlives_the_stack():
    members = specs(6, max_epochs=12, optimizer="SGD")
    members = [{**member, "lr": 0.05 + 0.05 * place} for place, member in enumerate(members)]
    found, _ = assert_as_alone(members)
    assert len({outcome.result.best["epoch"] for outcome in found}) > 1
    for outcome in found:
        best = outcome.trainer.evaluate(SPLITS[1], checkpoint="best")["loss"]
        assert best == pytest.approx(outcome.result.best["valid/loss"], rel=1e-12)
        assert best == pytest.approx(min(row["valid/loss"] for row in outcome.rows), rel=1e-12)


def test_member_that_has_left_has_memory_of_its_own():
    found = together([{**member, "max_epochs": 1 + place} for place, member in enumerate(specs())], *SPLITS)
    storages = set()
    for outcome in found:
        tensors = [*outcome.weights.values(), *(p.grad for p in outcome.trainer.model.parameters())]
        tensors += [value for state in outcome.trainer.optimizer.state.values() for value in state.values()]
        tensors += outcome.trainer._best_state.values()
        storages |= {tensor.untyped_storage().data_ptr() for tensor in tensors}
        assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in tensors)
    assert len(storages) == K * (6 + 6 + 6 * 3 + 6)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "Adagrad", "Rprop"])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_callbacks_see_their_own_members_gradients_as_they_were_before_the_update(optimizer, clip):
    decay = {} if optimizer == "Rprop" else {"weight_decay": 0.5}
    seen: dict[str, list[Looking]] = {"alone": [], "together": []}
    for way, fit in (("alone", alone), ("together", together)):

        def watching(way: str = way) -> list[Looking]:
            seen[way].append(Looking())
            return seen[way][-1:]

        members = specs(optimizer=optimizer, optim=decay, grad_clip_norm=clip, make_callbacks=watching)
        fit([{**member, "max_epochs": 2 + place % 2} for place, member in enumerate(members)], *SPLITS)
    for ours, theirs in zip(seen["together"], seen["alone"], strict=True):
        assert len(ours.seen) == len(theirs.seen) > 2
        assert_close(ours.seen, theirs.seen)


def test_optimizer_state_is_that_of_a_lone_run_in_its_keys_and_order():
    for optimizer, optim in (("Adam", {"amsgrad": True}), ("SGD", {"momentum": 0.5}), ("RMSprop", {"centered": True})):
        members = specs(2, optimizer=optimizer, optim=optim)
        lone, found = alone(members, *SPLITS), together(members, *SPLITS)
        for ours, theirs in zip(found, lone, strict=True):
            a, b = (outcome.trainer.optimizer.state_dict() for outcome in (ours, theirs))
            assert repr([list(state) for state in a["state"].values()]) == repr(
                [list(state) for state in b["state"].values()]
            )
            assert list(a["state"]) == list(b["state"])
            assert [list(group) for group in a["param_groups"]] == [list(group) for group in b["param_groups"]]
