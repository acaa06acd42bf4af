"""Runs of a cross-validation: folds are replicates, as seeds are, but no independent ones."""

import json
import statistics

import pytest
from scipy import stats

from nnlab.report.comparison import Asked, compare
from nnlab.report.groups import differing_keys
from nnlab.report.layouts import layout
from nnlab.report.members import find_runs
from nnlab.report.runs import read_runs
from run_files import write_run

BEST = {"adam": [0.1, 0.2, 0.15, 0.12, 0.3, 0.18], "sgd": [0.41, 0.55, 0.46, 0.44, 0.57, 0.52]}


@pytest.fixture
def runs(tmp_path):
    """Two optimizers, each with three folds and two seeds."""
    for optim, losses in BEST.items():
        for number, best in enumerate(losses):
            seed, fold = divmod(number, 3)
            write_run(
                tmp_path / f"{optim}{number}", [2 * best, best], optim=optim, seed=seed, fingerprint=f"{fold}" * 64,
                config={"data": {"noise": 0.1, "seed": 0, "folds": 3, "fold": fold}},
            )  # fmt: skip
    return read_runs(find_runs([tmp_path]))[0]


def test_runs_that_differ_in_seed_and_fold_alone_are_one_group_and_all_are_counted(runs):
    assert differing_keys(runs) == ["optim"]
    adam, sgd = compare(runs, Asked()).rows
    for row, name in ((adam, "adam"), (sgd, "sgd")):
        assert len(row.values) == 6
        half = stats.t.ppf(0.975, 5) * statistics.stdev(BEST[name]) / 6**0.5
        assert row.interval.high - row.interval.mean == pytest.approx(half)
        assert row.interval.mean == pytest.approx(statistics.mean(BEST[name]))


def test_each_run_is_subtracted_from_that_of_its_own_fold_and_seed(runs):
    (found,) = compare(runs, Asked()).differences
    assert found.is_paired
    within = [a - b for a, b in zip(BEST["adam"], BEST["sgd"], strict=True)]
    assert found.interval.mean == pytest.approx(statistics.mean(within))
    half = stats.t.ppf(0.975, 5) * statistics.stdev(within) / 6**0.5
    assert found.interval.high - found.interval.low == pytest.approx(2 * half)
    assert "paired over 6 runs" in found.sentence


def test_that_folds_overlap_is_said_and_their_data_are_no_other_ones(runs):
    notes = compare(runs, Asked()).notes
    assert len([note for note in notes if "overlap" in note and "Bengio and Grandvalet" in note]) == 1
    assert not any("same data" in note for note in notes)


def test_one_fold_with_several_seeds_overlaps_with_nothing(runs):
    notes = compare([run for run in runs if run.replicate[2] == 1], Asked()).notes
    assert not any("overlap" in note for note in notes)


def test_other_rows_in_the_same_fold_are_said(runs, tmp_path):
    write_run(
        tmp_path / "other", [0.2, 0.1], seed=5, fingerprint="e" * 64,
        config={"data": {"noise": 0.1, "seed": 0, "folds": 3, "fold": 1}},
    )  # fmt: skip
    notes = compare(read_runs(find_runs([tmp_path]))[0], Asked()).notes
    assert any("same data" in note for note in notes)


def test_json_has_the_fold_of_each_value(runs):
    content = json.loads(layout(compare(runs, Asked()), "json"))
    values = content["groups"][0]["values"]
    assert {(one["seed"], one["fold"]) for one in values} == {(seed, fold) for seed in (0, 1) for fold in (0, 1, 2)}
