"""What may be held against each other: figures of the same data, and of the same loss where it is the metric."""

import json

import pytest

from nnlab.report.comparison import Asked, compare
from nnlab.report.members import find_runs
from nnlab.report.runs import read_runs
from run_files import write_run


@pytest.fixture
def compared(tmp_path):
    def make(*groups, metric=None, task=None):
        """Three runs of each group, each group better than the one before it."""
        for number, one in enumerate(groups):
            for seed in range(3):
                best = 0.9 / (number + 1) + seed * (number + 1) / 1000
                columns = {"valid/accuracy": [0.1, 1 - best]}
                folder = write_run(tmp_path / f"{number}{seed}", [1, best], seed=seed, columns=columns, **one)
                run = json.loads((folder / "run.json").read_text())
                (folder / "run.json").write_text(json.dumps(run | ({"data": {"task": task}} if task else {})))
        return compare(read_runs(find_runs([tmp_path]))[0], Asked(metric))

    return make


def loss(name, **settings):
    return {"options": {"loss": name.lower()}, "config": {"loss": {"_target_": f"nnlab.loss.{name}", **settings}}}


def of_data(name, optim):
    return {"options": {"data": name}, "overrides": [f"data={name}"], "optim": optim, "fingerprint": name[0] * 64}


def pairs(comparison):
    return [(one.first, one.second) for one in comparison.differences]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (loss("MSE"), loss("L1")),
        (loss("Huber", delta=1.0), loss("Huber", delta=2.0)),
        (loss("BCE", class_weight=None), loss("BCE", class_weight=[1.0, 3.0])),
        (loss("BCE"), loss("auto")),  # of these runs no task is known
    ],
)
def test_groups_of_different_losses_are_not_held_against_each_other_by_their_loss(compared, first, second):
    found = compared(first, second)
    assert pairs(found) == []
    (note,) = (note for note in found.notes if "another quantity" in note)
    assert note.endswith("; --metric valid/accuracy means the same for all")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (loss("MSE", l2=0.0), loss("MSE", l2=0.1)),
        (loss("BCE", class_weight=None), loss("BCEProbability")),
        (loss("BCE"), loss("auto")),
    ],
)
def test_what_leaves_the_loss_on_other_rows_as_it_is_does_not_part_groups(compared, first, second):
    found = compared(first, second, task="binary")
    assert len(pairs(found)) == 1
    assert not any("another quantity" in note for note in found.notes)


def test_a_penalty_is_part_of_the_loss_on_the_training_rows(compared):
    assert pairs(compared(loss("MSE", l2=0.0), loss("MSE", l2=0.1), metric="train/loss")) == []


def test_groups_of_different_losses_are_held_against_each_other_by_another_metric(compared):
    found = compared(loss("MSE"), loss("L1"), metric="valid/accuracy")
    assert pairs(found) == [("loss=l1", "loss=mse")]
    assert not any("another quantity" in note for note in found.notes)


def test_groups_of_different_data_are_compared_within_each_data_set(compared):
    found = compared(*(of_data(name, optim) for name in ("moons", "rings") for optim in ("sgd", "adam")))
    assert pairs(found) == [
        ("data=moons, optim=adam", "data=moons, optim=sgd"),
        ("data=rings, optim=adam", "data=rings, optim=sgd"),
    ]
    assert {one.num_pairs for one in found.differences} == {1}
    # Best first within each data set, though the second has the smaller losses.
    assert [list(row.group.label.values()) for row in found.rows] == [
        ["moons", "adam"],
        ["moons", "sgd"],
        ["rings", "adam"],
        ["rings", "sgd"],
    ]
    (note,) = found.notes
    assert note.startswith("groups of different data sets are not held against each other")


def test_budgets_are_unequal_only_with_the_same_data(compared):
    moons, rings = of_data("moons", "sgd"), of_data("rings", "sgd")
    longer = {"steps_per_epoch": 11}
    found = compared(moons, of_data("moons", "adam"), rings | longer, of_data("rings", "adam") | longer)
    assert not any("budgets" in note for note in found.notes)


def test_unequal_budgets_are_said_of_the_data_set_that_has_them(compared):
    found = compared(
        of_data("moons", "sgd"), of_data("rings", "sgd"), of_data("rings", "adam") | {"steps_per_epoch": 11}
    )
    assert "unequal budgets on rings: the runs trained for 20 to 22 steps" in found.notes
