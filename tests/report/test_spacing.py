"""Groups that are not evaluated equally often: their times to a target are not equally exact."""

import math

import pytest

from nnlab.report.comparison import Asked, compare
from nnlab.report.members import find_runs
from nnlab.report.runs import read_runs
from run_files import write_run

FINE = {"losses": [0.9, 0.5, 0.4], "optim": "adam", "steps_per_epoch": 10}
COARSE = {"losses": [0.5, 0.4], "optim": "sgd", "steps_per_epoch": 40}
SAID = (
    "the steps to 0.6 are those of the first evaluation that reached it, and the groups have one every 10 to 40 "
    "steps: each group's are rounded up to its own evaluations"
)


@pytest.fixture
def compared(tmp_path):
    def make(runs, **asked):
        for number, one in enumerate(runs):
            write_run(tmp_path / f"{number}", **one)
        return compare(read_runs(find_runs([tmp_path]))[0], Asked(**asked))

    return make


def test_unequal_evaluations_are_said_where_times_to_a_target_are_shown(compared):
    found = compared([FINE, COARSE], target=0.6)
    # Both may have reached it after 11 steps, and neither later than the other.
    assert [row.steps_to_target for row in found.rows] == [20, 40]
    assert found.notes.count(SAID) == 1


def test_unequal_evaluations_are_no_matter_without_a_target(compared):
    assert not any("rounded up" in note for note in compared([FINE, COARSE]).notes)


#: runs of groups that are evaluated equally often
EQUAL = {
    "the same": [FINE, FINE | {"optim": "sgd"}],
    "an end between two evaluations": [
        FINE,
        FINE | {"optim": "sgd", "columns": {"step": [10, 20, 25]}, "status": "diverged"},
    ],
    "both in every group": [
        FINE | {"seed": s, "optim": o, "steps_per_epoch": 10 + 30 * s} for s in (0, 1) for o in "ab"
    ],
    "a group without an evaluation": [FINE, {"losses": [], "optim": "sgd", "status": "failed"}],
    "a run that goes on": [FINE, FINE | {"optim": "sgd"}, COARSE | {"seed": 1, "status": "interrupted"}],
    "values in some rows only": [
        FINE | {"columns": {"valid/loss": [math.nan, 0.5, 0.4]}},
        FINE | {"optim": "sgd", "steps_per_epoch": 20},
    ],
}


@pytest.mark.parametrize("runs", EQUAL.values(), ids=EQUAL)
def test_equal_evaluations_need_no_note(compared, runs):
    assert not any("rounded up" in note for note in compared(runs, target=0.6).notes)


def test_one_run_of_a_group_that_is_evaluated_less_often_is_said(compared):
    found = compared([FINE, FINE | {"optim": "sgd"}, COARSE | {"seed": 1, "losses": [math.nan, 0.4]}], target=0.6)
    assert any("every 10 to 80 steps" in note for note in found.notes)
