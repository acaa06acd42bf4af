"""Which settings tell runs apart, and which runs are chosen."""

import pytest

from nnlab.folder import FolderError
from nnlab.report.groups import chosen_runs, differing_keys, group_runs, varying_inside
from nnlab.report.members import find_runs
from nnlab.report.runs import read_runs
from run_files import write_run


@pytest.fixture
def runs_of(tmp_path):
    def make(*settings):
        for number, one in enumerate(settings):
            write_run(tmp_path / f"{number}", **one)
        runs, problems = read_runs(find_runs([tmp_path]))
        assert problems == []
        return runs

    return make


SGD, ADAM = {"optim": "sgd", "lr": 0.1}, {"optim": "adam", "lr": 0.001}


def test_seeds_threads_and_what_an_option_brings_with_it_are_no_differences(runs_of):
    runs = runs_of(*({**one, "seed": seed} for one in (SGD, ADAM) for seed in (0, 1)))
    assert differing_keys(runs) == ["optim"]
    groups = group_runs(runs, ["optim"])
    assert [(group.name, [run.replicate for run in group.runs]) for group in groups] == [
        ("optim=sgd", [(0, 0, 0), (1, 0, 0)]),
        ("optim=adam", [(0, 0, 0), (1, 0, 0)]),
    ]


def test_a_key_below_an_option_counts_where_runs_with_that_option_differ_in_it(runs_of):
    runs = runs_of(SGD, SGD | {"lr": 0.2}, ADAM)
    assert differing_keys(runs) == ["optim", "optim.lr"]


def test_two_keys_that_always_go_together_give_one_and_the_typed_one_is_it(runs_of):
    runs = runs_of(*({"config": {"a": {"one": n, "two": n}}, "overrides": [f"a.two={n}"]} for n in (1, 2)))
    assert differing_keys(runs) == ["a.two"]


def test_experiments_stand_for_all_that_they_set(runs_of):
    runs = runs_of(SGD | {"options": {"experiment": "blobs"}}, ADAM | {"options": {"experiment": "rings"}})
    assert differing_keys(runs) == ["experiment"]
    assert [group.name for group in group_runs(runs, ["experiment"])] == ["experiment=blobs", "experiment=rings"]


def test_a_run_without_an_experiment_is_told_apart_by_its_settings(runs_of):
    assert differing_keys(runs_of(SGD | {"options": {"experiment": "blobs"}}, ADAM)) == ["optim"]


def test_runs_alike_are_one_group(runs_of):
    runs = runs_of(ADAM, ADAM | {"seed": 1})
    assert differing_keys(runs) == []
    assert [group.name for group in group_runs(runs, [])] == ["all runs"]


def test_grouping_by_fewer_keys_says_what_differs_inside(runs_of):
    runs = runs_of(SGD, SGD | {"lr": 0.2}, ADAM)
    groups = group_runs(runs, ["optim"])
    assert varying_inside(groups) == {"optim.lr": ["0.1", "0.2"]}


def test_grouping_by_an_unknown_key_names_the_nearest(runs_of):
    with pytest.raises(FolderError, match=r"--by: no run has 'optim.rl'.*optim.lr"):
        group_runs(runs_of(SGD), ["optim.rl"])


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("optim=adam", {1, 2}),
        ("optim!=adam", {0}),
        ("optim.lr<=0.001", {1}),
        ("optim.lr>0.001", {0, 2}),
        ("optim.lr=1e-3", {1}),
        ("seed>=1", {2}),
        ("status=failed", {2}),
        ("data.noise<0.2", {0, 1, 2}),
    ],
)
def test_condition_keeps_the_runs_that_meet_it(runs_of, condition, kept):
    runs = runs_of(SGD, ADAM, ADAM | {"lr": 0.01, "seed": 1, "status": "failed"})
    assert {int(run.folder.name) for run in chosen_runs(runs, [condition])} == kept


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("optim", "expected key=value"),
        ("optm=adam", "no run has 'optm'"),
        ("optim=lbfgs", "no run is left"),
        ("optim.lr<much", "expected a number after <"),
    ],
)
def test_condition_that_makes_no_sense_is_refused(runs_of, condition, message):
    with pytest.raises(FolderError, match=message):
        chosen_runs(runs_of(SGD), [condition])
