"""Cross-validation as a sweep: what is typed, what is trained together, and what it comes to."""

import json
from collections import Counter

import pytest

from nnlab.cli import main
from nnlab.sweep.jobs import plan_jobs
from nnlab.sweep.plan import read_plan
from sweep_files import members, result_of, rows, run_of

QUICK = ["trainer.threads=1", "logger=[]", "figures=[]", "device=cpu", "hydra.sweep.dir=sweep"]
FOLDS = ["data.folds=5", "data.fold=range(5)"]


def planned(*words):
    assert main(["train", "-m", *words, *QUICK, "trainer.max_epochs=1"]) == 0
    plan = read_plan(members()[0].parent)
    return plan.members, plan_jobs(plan.members, (), {}, num_workers=1)


def test_five_folds_with_two_seeds_are_one_stack_one_group_and_ten_ordinary_runs(work, capsys):
    assert main(["train", "-m", "data=iris", *FOLDS, "seed=range(2)", *QUICK, "trainer.max_epochs=3"]) == 0
    printed = capsys.readouterr().out
    assert "10 members in 1 stack of 10" in printed
    assert "overlap" in printed
    runs = [run_of(folder) for folder in members()]
    rows_of_fold = {(run["config"]["data"]["fold"], run["data_fingerprint"]) for run in runs}
    assert len(runs) == 10
    assert len(rows_of_fold) == len({rows for _, rows in rows_of_fold}) == 5
    for folder in members():
        assert result_of(folder)["status"] == "completed"
        assert "valid/loss" in rows(folder)[-1]
    log = (members()[6] / "train.log").read_text()
    assert "96 train, 24 valid, 30 test rows; valid is fold 3 of 5" in log
    assert main(["compare", "sweep", "--format", "json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert Counter(one["fold"] for one in group["values"]) == dict.fromkeys(range(5), 2)


@pytest.mark.parametrize("model", ["model.norm=none", "model.norm=batch"])
def test_folds_of_unequal_size_come_out_as_alone(work, model):
    # 142 rows of wine: two folds of 29 and three of 28
    words = ["data=wine", *FOLDS, model, "model.widths=[6]", "trainer.precision=fp64", "trainer.max_epochs=4", *QUICK]
    assert main(["train", "-m", *words]) == 0
    assert main(["train", "-m", *words[:-1], "hydra.sweep.dir=basic", "hydra/launcher=basic"]) == 0
    widths = [run_of(folder)["choices"]["stack_width"] for folder in members()]
    assert widths == [2, 2, 3, 3, 3]
    for one, other in zip(members(), members("basic"), strict=True):
        for row, alone in zip(rows(one), rows(other), strict=True):
            together = {key: float(cell) for key, cell in row.items()}
            assert together == pytest.approx({key: float(cell) for key, cell in alone.items()}, rel=1e-9, abs=1e-12)
        assert run_of(one)["data_fingerprint"] == run_of(other)["data_fingerprint"]


def test_plan_says_which_folds_share_no_stack(work):
    plan, jobs = planned("data=wine", *FOLDS, "seed=range(2)")
    sizes = [Counter(len(job.places) for job in jobs.jobs if job.is_stack)]
    assert sizes == [{4: 1, 6: 1}]
    assert "folds of 28 and 29 rows share no stack, as their last batches differ in size" in jobs.lines
    for job in jobs.jobs:
        assert len({plan[place].config["data"]["fold"] < 2 for place in job.places}) == 1


def test_plan_of_equal_folds_says_nothing_of_sizes(work):
    _, jobs = planned("data=iris", *FOLDS)
    assert jobs.lines == ["5 members in 1 stack of 5"]


def test_a_set_without_a_split_is_selected_on_its_folds(work):
    assert main(["train", "data=celsius", "data.folds=3", "data.fold=1", "hydra.run.dir=run", *QUICK[:-1]]) == 0
    assert result_of(work / "run")["best"]["metric"] == "valid/loss"


REFUSED = {
    "data=celsius data.fold=1": "data.fold=1: data.folds is null",
    "data=celsius data.fold=0": "data.fold=0: data.folds is null",
    "data=celsius data.folds=3 data.fold=3": "data.fold=3: expected 0 to 2 for data.folds=3, found 3",
    "-m data=celsius data.folds=3 data.fold=range(4)": "expected 0 to 2 for data.folds=3, found 3",
    "-m data=celsius data.folds=3,5 data.fold=range(5)": "expected 0 to 2 for data.folds=3, found 3",
    "data=celsius data.folds=12": "data.folds: expected at most 11",
    "data=celsius data.folds=1": "data.folds: expected an integer >= 2, found 1",
    "data=celsius data.folds=x": "data.folds=x: expected a whole number or null",
    "data=celsius data.folds=3 data.fold=1.5": "data.fold=1.5: expected a whole number",
}


def test_a_data_set_of_ones_own_whose_yaml_has_no_such_key_is_cut_too(work, capsys):
    (work / "own" / "data").mkdir(parents=True)
    keys = ["inputs: [1, 2, 3]", "targets: [1.5, 2, 4]", "task: null", "batch_size: 2", "shuffle: true"]
    node = "\n".join(["# three rows", "_target_: nnlab.data.inline", *keys])
    (work / "own" / "data" / "mine.yaml").write_text(node)
    assert main(["data", "data=mine", "+data.folds=3", "+data.fold=1", "--config-dir", "own"]) == 0
    assert "valid is fold 1 of 3; train is all others" in capsys.readouterr().out


@pytest.mark.parametrize("words", REFUSED)
def test_folds_that_cannot_be_are_refused_before_anything_is_trained(words, work, capsys):
    assert main(["train", *words.split()]) == 2
    found = capsys.readouterr().err
    assert REFUSED[words] in found
    assert len(found.splitlines()) == 1
    assert list(work.iterdir()) == []


def test_fold_of_a_run_cannot_be_exchanged_when_it_is_evaluated(work, capsys):
    words = ["data=celsius", "data.folds=3", "hydra.run.dir=run", *QUICK[:-1], "trainer.max_epochs=1"]
    assert main(["train", *words]) == 0
    assert main(["evaluate", "run"]) == 0
    assert "valid split, 4 rows" in capsys.readouterr().out
    assert main(["evaluate", "run", "data.fold=1"]) == 2
    assert "the rows held out are those of the training" in capsys.readouterr().err
