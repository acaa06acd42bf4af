"""Figures and notes of a comparison, from run files whose figures are known."""

import json
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
    assert found.rows[0].values == {(0, 0, 0): 0.1, (1, 0, 0): 0.3, (2, 0, 0): 0.1}
    assert "all runs: 1 run of a seed that is there already, counted once" in found.notes


def test_grouping_by_one_key_averages_over_the_others_for_each_seed_and_says_so(compared):
    rates = [run(best, seed, lr=lr) for lr, best in ((0.1, 0.2), (0.01, 0.4)) for seed in (0, 1)]
    found = compared([*rates, *SGD], by=["optim"])
    adam = next(row for row in found.rows if row.group.label["optim"] == "adam")
    assert adam.values == {(0, 0, 0): pytest.approx(0.3), (1, 0, 0): pytest.approx(0.3)}
    assert "averaged over optim.lr (0.1, 0.01), which differs inside groups" in found.notes


@pytest.mark.parametrize(
    ("sort", "first"), [("best", "adam"), ("group", "adam"), ("steps", "sgd"), ("test", "adam"), ("seconds", "sgd")]
)
def test_rows_are_sorted_as_asked(compared, sort, first):
    quick = [one | {"losses": one["losses"][:2]} for one in SGD]
    assert compared([*quick, *ADAM], sort=sort).rows[0].group.label["optim"] == first


def test_a_group_of_survivors_is_neither_first_nor_what_the_others_are_held_against(compared):
    lucky = [run(0.001, 0, optim="lbfgs"), run(0.002, 1, optim="lbfgs")]
    lost = [run(9, seed, optim="lbfgs", status="diverged") for seed in (2, 3, 4)]
    found = compared([*lucky, *lost, *SGD, *ADAM])
    assert [row.group.label["optim"] for row in found.rows] == ["adam", "sgd", "lbfgs"]
    assert [(one.first, one.second) for one in found.differences] == [
        ("optim=adam", "optim=sgd"),
        ("optim=adam", "optim=lbfgs"),
    ]
    assert found.differences[0].caveat == ""
    assert found.differences[1].sentence.endswith("; but 3 of 5 runs of optim=lbfgs diverged")
    stands = "; so it stands behind the groups without such runs"
    assert f"optim=lbfgs: the mean is without 3 diverged of 5 runs{stands}" in found.notes


def test_survivors_that_are_worse_need_no_caveat(compared):
    found = compared([*ADAM, *SGD, run(9, 3, optim="sgd", status="diverged")])
    assert [one.caveat for one in found.differences] == [""]
    assert "optim=sgd: the mean is without 1 diverged of 4 runs" in found.notes


def test_a_group_of_one_run_is_not_what_the_others_are_held_against(compared):
    found = compared([run(0.01, optim="lbfgs"), *SGD, *ADAM])
    assert [row.group.label["optim"] for row in found.rows] == ["lbfgs", "adam", "sgd"]
    assert {one.first for one in found.differences} == {"optim=adam"}


def test_groups_of_one_run_each_are_held_against_the_best(compared):
    found = compared([SGD[0], ADAM[0]])
    assert [(one.first, one.second) for one in found.differences] == [("optim=adam", "optim=sgd")]


def test_a_group_of_which_nothing_is_left_has_no_mean_and_is_no_unequal_number(compared):
    found = compared([*ADAM, *(run(9, seed, optim="sgd", status="diverged") for seed in range(4))])
    assert found.notes == ("optim=sgd: there is no mean: 4 diverged of 4 runs",)


def test_runs_that_go_on_have_no_time_to_a_target_yet(compared):
    other = ["diverged", "running", "interrupted", "preempted"]
    runs = [run(0.5, seed, status=status) for seed, status in enumerate(other, 3)]
    (row,) = compared([*ADAM, *runs], target=0.3).rows
    assert row.times_to_target == (10, 20, 10, math.inf)
    assert (row.steps_to_target, row.num_reached, row.num_unfinished) == (15, 3, 3)
    assert [one.replicate[0] for one in row.timed] == [0, 1, 2, 3]


def test_the_test_split_is_a_metric_with_an_interval_of_its_own(compared):
    sgd = [one | {"test": {"loss": 2 * seed + 5.0}} for seed, one in enumerate(SGD)]
    found = compared([*ADAM, *sgd], metric="test/loss")
    assert [list(row.values.values()) for row in found.rows] == [[1.1, 1.3, 1.1], [5.0, 7.0, 9.0]]
    assert found.differences[0].asked.metric == "test/loss"
    assert found.notes == ()


def test_a_target_on_the_test_split_is_refused(compared):
    with pytest.raises(FolderError, match="--target: test/loss is computed once"):
        compared(ADAM, metric="test/loss", target=0.3)


@pytest.mark.parametrize("metric", ["epoch", "step", "time_s", "optim/lr"])
def test_columns_that_are_no_metrics_are_refused(compared, metric):
    one = {"columns": {"optim/lr": [0.1, 0.1, 0.1]}}
    with pytest.raises(FolderError, match=f"--metric: no run has '{metric}'; there are train/loss, valid/loss"):
        compared([run(0.1, 0) | one, run(0.2, 1) | one], metric=metric)


def test_the_median_is_that_of_the_seeds_where_settings_are_averaged_over(compared):
    rates = [(0.1, 0, 0.1), (0.9, 0, 0.01), (0.1, 1, 0.1), (0.3, 2, 0.1)]
    found = compared([run(best, seed, lr=lr) for best, seed, lr in rates], by=["optim"])
    (row,) = found.rows
    assert row.median == pytest.approx(0.3)  # of 0.5, 0.1 and 0.3
    assert "not every seed has all of what is averaged over: its mean is one of other settings" in found.notes


def test_the_same_key_twice_is_one(compared):
    assert compared([*SGD, *ADAM], by=["optim", "optim"]).keys == ("optim",)


def test_other_rows_under_the_same_data_seed_are_said_whatever_number_of_seeds_there_is(compared):
    runs = [run(0.1, seed, optim=optim, data_seed=seed, fingerprint=64 * sign)
            for optim, sign in (("sgd", "a"), ("adam", "b")) for seed in range(4)]  # fmt: skip
    assert any("same data" in note for note in compared(runs).notes)


def test_runs_that_were_not_evaluated_do_not_choose_the_metric(compared, tmp_path):
    runs = [run(0.1, 1, monitor="train/loss"), run(0.2, 2)]
    cut = write_run(tmp_path / "00", losses=[], status="failed")
    (cut / "metrics.csv").unlink()
    assert compared(runs).metric == "valid/loss"


def test_a_learning_rate_of_zero_is_one_of_the_grid(compared):
    found = compared([run(best, lr=lr) for lr, best in ((0.0, 0.3), (0.01, 0.2), (0.1, 0.4))])
    assert not [note for note in found.notes if "tried" in note]


TIMES = [
    ("threads", 1, 2, "the times are not of equal terms: the runs were on cpu with 1 thread, cpu with 2 threads"),
    ("engine", "eager", "stack", "the times are of whole stacks: they do not tell how long one run takes"),
]


@pytest.mark.parametrize(("choice", "first", "second", "note"), TIMES, ids=["threads", "stacks"])
def test_times_that_tell_nothing_are_said(choice, first, second, note, tmp_path):
    for number, value in enumerate((first, second)):
        folder = write_run(tmp_path / f"{number}", seed=number)
        content = json.loads((folder / "run.json").read_text())
        content["choices"][choice] = value
        (folder / "run.json").write_text(json.dumps(content))
    assert note in compare(read_runs(find_runs([tmp_path]))[0], Asked()).notes
    for folder in tmp_path.iterdir():
        content = json.loads((folder / "run.json").read_text())
        content["choices"][choice] = first
        (folder / "run.json").write_text(json.dumps(content))
    assert note not in compare(read_runs(find_runs([tmp_path]))[0], Asked()).notes


@pytest.mark.parametrize(
    ("num_groups", "num_seeds", "least"), [(2, 3, "0.074"), (23, 9, "0.0002"), (22, 9, None), (2, 4, None)]
)
def test_more_groups_than_resamples_can_tell_apart_are_said(compared, num_groups, num_seeds, least):
    runs = [
        run(lr + seed * seed * lr / 100, seed, lr=lr) for lr in range(1, num_groups + 1) for seed in range(num_seeds)
    ]
    found = compared(runs, interval="bootstrap_t")
    said = [note for note in found.notes if "bootstrap_t tells nothing apart here" in note]
    assert len(said) == (least is not None)
    if least is not None:
        assert f"are {least} or more" in said[0]
        assert {one.verdict for one in found.differences} == {"not told apart"}


def test_numbers_in_labels_are_sorted_as_numbers(compared):
    found = compared([run(0.1, lr=lr) for lr in (100, 20, 3)], sort="group")
    assert [row.group.label["optim.lr"] for row in found.rows] == ["3", "20", "100"]


def test_a_metric_that_no_run_has_is_refused_with_those_there_are(compared):
    with pytest.raises(
        FolderError, match=r"--metric: no run has 'valid/accuracy'; there are test/loss, train/loss, valid/loss"
    ):
        compared(ADAM, metric="valid/accuracy")


def test_runs_that_have_no_row_yet_have_a_row_without_figures(compared):
    (row,) = compared([{"losses": [], "status": "interrupted"}]).rows
    assert (row.values, row.interval, row.num_unfinished) == ({}, None, 1)
