"""Runs read for a comparison: whole, unfinished, damaged, hostile."""

import math

import numpy as np
import pytest

from nnlab.folder import FolderError
from nnlab.report.members import find_runs
from nnlab.report.runs import read_runs
from run_files import write_run


def read_one(folder):
    (run,), problems = read_runs([folder])
    assert problems == []
    return run


def test_run_has_its_curves_its_best_and_its_test_figure(tmp_path):
    accuracy = [0.5, 0.9, 0.8]
    run = read_one(
        write_run(tmp_path / "run", [0.5, 0.2, 0.3], columns={"valid/accuracy": accuracy}, test={"loss": 0.25})
    )
    curve = run.curve("valid/loss")
    np.testing.assert_array_equal(curve.values, [0.5, 0.2, 0.3])
    np.testing.assert_array_equal(curve.steps, [10, 20, 30])
    np.testing.assert_array_equal(curve.seconds, [0.1, 0.2, 0.3])
    assert (run.best("valid/loss"), run.best("valid/accuracy")) == (0.2, 0.9)
    assert run.test("valid/loss") == 0.25
    assert math.isnan(run.test("valid/accuracy"))
    assert run.curve("valid/auroc") is None
    assert math.isnan(run.best("valid/auroc"))
    assert run.grows("valid/accuracy")
    assert not run.grows("valid/loss")


def test_a_torn_last_line_is_left_out_and_empty_cells_are_no_numbers(tmp_path):
    folder = write_run(tmp_path / "run", [0.5, 0.2], columns={"valid/r2": [None, 0.4]})
    with (folder / "metrics.csv").open("a") as file:
        file.write("3,30,0.3,0.1,0.0")
    run = read_one(folder)
    np.testing.assert_array_equal(run.curve("valid/loss").values, [0.5, 0.2])
    np.testing.assert_array_equal(run.curve("valid/r2").values, [np.nan, 0.4])


@pytest.mark.parametrize("content", [None, "", "epoch,step,time_s,train/loss,valid/loss\n", "epoch,st"])
def test_a_run_without_rows_has_no_figures(tmp_path, content):
    folder = write_run(tmp_path / "run", [], status="failed")
    (folder / "metrics.csv").unlink()
    if content is not None:
        (folder / "metrics.csv").write_text(content)
    run = read_one(folder)
    assert run.curve("valid/loss") is None
    assert not run.is_counted


@pytest.mark.parametrize("content", ["epoch,step,time_s\n1,2,x\n", "epoch,step,time_s\n1,2\n", "a,b\n1,2\n", "é,\xff"])
def test_a_damaged_table_costs_its_run_and_is_said(tmp_path, content):
    good, bad = write_run(tmp_path / "good"), write_run(tmp_path / "bad")
    (bad / "metrics.csv").write_bytes(f"{content}\n".encode("latin-1"))
    runs, problems = read_runs([good, bad])
    assert [run.folder for run in runs] == [good]
    assert len(problems) == 1
    assert problems[0].startswith(f"left out: {bad}/metrics.csv")


def test_a_link_in_place_of_the_table_is_not_followed(tmp_path):
    good, bad = write_run(tmp_path / "good"), write_run(tmp_path / "bad")
    (bad / "metrics.csv").unlink()
    (bad / "metrics.csv").symlink_to(good / "metrics.csv")
    runs, problems = read_runs([good, bad])
    assert len(runs) == 1
    assert "links are not followed" in problems[0]


def test_a_member_that_never_began_is_named_with_the_reason(tmp_path):
    folder = write_run(tmp_path / "3_optim.lr=-1", status="failed")
    (folder / "run.json").unlink()
    runs, problems = read_runs([folder])
    assert runs == []
    assert problems == ["3_optim.lr=-1 never began and is left out: because"]


def test_a_run_that_says_running_while_nobody_works_on_it_was_killed(tmp_path):
    assert read_one(write_run(tmp_path / "run", status="running")).status == "killed"


def test_runs_are_found_in_sweeps_and_in_folders_of_sweeps_each_once(tmp_path):
    members = [write_run(tmp_path / "outputs" / "moons" / "sweep" / f"{number}_x") for number in (0, 2, 10)]
    alone = write_run(tmp_path / "outputs" / "moons" / "alone")
    (tmp_path / "outputs" / "moons" / "sweep" / "aggregate").mkdir()
    sweep = tmp_path / "outputs" / "moons" / "sweep"
    assert find_runs([sweep]) == members
    assert find_runs([sweep, members[1], tmp_path / "outputs"]) == [*members, alone]
    with pytest.raises(FolderError, match="holds no run"):
        find_runs([sweep / "aggregate"])
    with pytest.raises(FolderError, match="there is no folder"):
        find_runs([tmp_path / "nowhere"])
