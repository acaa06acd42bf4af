"""Figures and notes of a comparison, from run files whose figures are known."""

import math
import statistics

import pytest

from nnlab.folder import FolderError
from nnlab.report.comparison import Asked, compare
from nnlab.report.members import find_runs
from nnlab.report.runs import read_runs
from run_files import write_run


@pytest.fixture
def compared(tmp_path):
    def make(settings, **asked):
        for number, one in enumerate(settings):
            write_run(tmp_path / f"{number}", **one)
        return compare(read_runs(find_runs([tmp_path]))[0], Asked(**asked))

    return make


def run(best, seed=0, **settings):
    return {"losses": [2 * best, best, 1.5 * best], "seed": seed} | settings


SGD = [run(best, seed, optim="sgd") for seed, best in enumerate([0.3, 0.5, 0.4])]
ADAM = [run(best, seed, test={"loss": best + 1}) for seed, best in enumerate([0.1, 0.3, 0.1])]


def test_rows_have_mean_interval_median_test_and_stand_best_first(compared):
    found = compared(SGD + ADAM)
    assert found.metric == "valid/loss"
    assert not found.grows
    assert found.keys == ("optim",)
    adam, sgd = found.rows
    assert [row.group.label["optim"] for row in (adam, sgd)] == ["adam", "sgd"]
    values = [0.1, 0.3, 0.1]
    half = 4.302652729749464 * statistics.stdev(values) / math.sqrt(3)  # Student's t, 2 degrees, 97.5 %
    assert adam.interval.mean == pytest.approx(0.5 / 3)
    assert adam.interval.high - adam.interval.mean == pytest.approx(half)
    assert adam.median == pytest.approx(0.1)
    assert adam.test == pytest.approx(0.5 / 3 + 1)
    assert math.isnan(sgd.test)
    assert (adam.steps, adam.seconds) == (30, 0.3)
    (difference,) = found.differences
    assert (difference.first, difference.second, difference.is_paired) == ("optim=adam", "optim=sgd", True)
    assert found.notes == ()


def test_growing_metric_is_best_where_it_is_greatest(compared):
    sgd, adam = ({"optim": name, "columns": {"valid/accuracy": accuracy}, "monitor": "valid/loss"}
                 for name, accuracy in (("sgd", [0.2, 0.9, 0.3]), ("adam", [0.1, 0.5, 0.8])))  # fmt: skip
    found = compared([sgd, adam], metric="valid/accuracy")
    assert found.grows
    assert [row.interval.mean for row in found.rows] == [0.9, 0.8]
    assert any("not at the best valid/accuracy" in note for note in found.notes)


def test_target_gives_the_median_time_with_misses_as_never(compared):
    found = compared([*SGD, *ADAM], target=0.3)
    adam, sgd = found.rows
    # Twice the best is the first value, after 10 steps; the best one comes after 20.
    assert (adam.steps_to_target, adam.seconds_to_target, adam.num_reached) == (10, 0.1, 3)
    assert (sgd.steps_to_target, sgd.num_reached) == (math.inf, 1)


def test_runs_that_did_not_end_are_left_out_of_the_mean_and_counted(compared):
    bad = [run(9, seed + 3, status=status) for seed, status in enumerate(["diverged", "failed", "interrupted"])]
    (row,) = (found := compared(ADAM + bad)).rows
    assert row.interval.mean == pytest.approx(0.5 / 3)
    assert (row.num_diverged, row.num_failed, row.num_unfinished, row.num_runs) == (1, 1, 1, 6)
    assert "all runs: the mean is without 1 diverged, 1 failed, 1 not finished of 6 runs" in found.notes


def test_unequal_numbers_of_seeds_and_unequal_budgets_are_said(compared):
    long = {"losses": [0.3, 0.2, 0.1, 0.1], "optim": "sgd"}
    notes = compared([*ADAM, long]).notes
    assert "the groups have unequal numbers of seeds: 1 to 3" in notes
    assert "unequal budgets: the runs trained for 30 to 40 steps" in notes


def test_one_seed_each_is_said(compared):
    notes = compared([ADAM[0], SGD[0]]).notes
    assert any(note.startswith("one seed for each group") for note in notes)


def test_other_data_are_said_but_not_those_of_another_data_seed(compared, tmp_path):
    assert any("same data" in note for note in compared([ADAM[0], SGD[0] | {"fingerprint": "e" * 64}]).notes)
    other = tmp_path / "other"
    for number in range(2):
        write_run(other / f"{number}", seed=number, data_seed=number, fingerprint=str(number) * 64)
    assert not any("same data" in note for note in compare(read_runs(find_runs([other]))[0], Asked()).notes)


def test_runs_without_a_validation_split_are_said(compared):
    notes = compared([run(0.1, monitor="train/loss"), run(0.2, 1, monitor="train/loss")]).notes
    assert any("train/loss is of the rows that were trained on" in note for note in notes)


def test_different_monitors_are_said(compared):
    notes = compared([run(0.1, monitor="train/loss"), run(0.2, 1)]).notes
    assert "the runs were selected by different metrics: train/loss, valid/loss" in notes


@pytest.mark.parametrize(
    ("bests", "said"), [([0.1, 0.2, 0.3], "smallest"), ([0.3, 0.2, 0.1], "largest"), ([0.2, 0.1, 0.3], None)]
)
def test_best_learning_rate_at_the_edge_of_its_grid_is_said(compared, bests, said):
    found = compared([run(best, lr=lr) for lr, best in zip((0.001, 0.01, 0.1), bests, strict=True)])
    edges = [note for note in found.notes if "tried" in note]
    assert len(edges) == (said is not None)
    assert said is None or f"is the {said} that was tried" in edges[0]


def test_the_edge_is_looked_for_with_each_optimizer_by_itself(compared):
    rates = (0.001, 0.01, 0.1)
    sgd = [run(best, lr=lr, optim="sgd") for lr, best in zip(rates, (0.2, 0.1, 0.3), strict=True)]
    adam = [run(best, lr=lr) for lr, best in zip(rates, (0.1, 0.2, 0.3), strict=True)]
    edges = [note for note in compared(sgd + adam).notes if "tried" in note]
    assert edges == [
        "optim=adam: the best optim.lr, 0.001, is the smallest that was tried; try smaller ones too",
    ]


def test_the_same_run_again_counts_once_and_is_said(compared):
    found = compared([*ADAM, ADAM[0]])
    assert found.rows[0].values == {(0, 0): 0.1, (1, 0): 0.3, (2, 0): 0.1}
    assert "all runs: 1 run of a seed that is there already, counted once" in found.notes


def test_grouping_by_one_key_averages_over_the_others_for_each_seed_and_says_so(compared):
    rates = [run(best, seed, lr=lr) for lr, best in ((0.1, 0.2), (0.01, 0.4)) for seed in (0, 1)]
    found = compared([*rates, *SGD], by=["optim"])
    adam = next(row for row in found.rows if row.group.label["optim"] == "adam")
    assert adam.values == {(0, 0): pytest.approx(0.3), (1, 0): pytest.approx(0.3)}
    assert "averaged over optim.lr (0.1, 0.01), which differs inside groups" in found.notes


@pytest.mark.parametrize(
    ("sort", "first"), [("best", "adam"), ("group", "adam"), ("steps", "sgd"), ("test", "adam"), ("seconds", "sgd")]
)
def test_rows_are_sorted_as_asked(compared, sort, first):
    quick = [one | {"losses": one["losses"][:2]} for one in SGD]
    assert compared([*quick, *ADAM], sort=sort).rows[0].group.label["optim"] == first


def test_numbers_in_labels_are_sorted_as_numbers(compared):
    found = compared([run(0.1, lr=lr) for lr in (100, 20, 3)], sort="group")
    assert [row.group.label["optim.lr"] for row in found.rows] == ["3", "20", "100"]


def test_a_metric_that_no_run_has_is_refused_with_those_there_are(compared):
    with pytest.raises(FolderError, match=r"--metric: no run has 'valid/accuracy'; there are train/loss, valid/loss"):
        compared(ADAM, metric="valid/accuracy")


def test_runs_that_have_no_row_yet_have_a_row_without_figures(compared):
    (row,) = compared([{"losses": [], "status": "interrupted"}]).rows
    assert (row.values, row.interval, row.num_unfinished) == ({}, None, 1)
