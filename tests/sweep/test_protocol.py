"""The fair comparison: what it refuses, what it runs, what it chooses, what it says."""

import csv
import html
import json
import re
import statistics
from pathlib import Path

import pytest

from nnlab.cli import main
from nnlab.config import ConfigError
from nnlab.report.compare import find
from nnlab.report.comparison import Asked
from nnlab.sweep.protocol import read_protocol, target_of_all
from run_files import write_run

GOOD = {
    "over": "optim",
    "options": ["sgd", "adam"],
    "space": {"optim.lr": [0.1, 0.2]},
    "own_space": {},
    "tuning_seeds": 1,
    "num_seeds": 5,
    "target": None,
}


def test_overrides_of_tuning_and_of_fresh_seeds_are_those_of_the_budget():
    protocol = read_protocol(
        {"compare": GOOD | {"own_space": {"adam": {"optim": {"lr": [0.001, 0.002]}}}, "tuning_seeds": 2}}
    )
    assert protocol.num_trials == 2
    assert protocol.tuning("sgd", 7) == ["optim=sgd", "optim.lr=0.1,0.2", "seed=range(7,9)"]
    assert protocol.tuning("adam", 7) == ["optim=adam", "optim.lr=0.001,0.002", "seed=range(7,9)"]
    assert protocol.final("adam", {"optim.lr": "0.001"}, 7) == ["optim=adam", "optim.lr=0.001", "seed=range(9,14)"]


def test_a_space_of_several_keys_is_all_combinations():
    space = {"optim.lr": [0.1, 0.2, 0.3], "optim.momentum": [0, 0.9]}
    assert read_protocol({"compare": GOOD | {"space": space}}).num_trials == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": ["sgd"]}, "compare.options: expected at least two"),
        ({"options": ["sgd", "sgd"]}, "compare.options: expected at least two different"),
        ({"space": {}}, "compare.space: expected keys"),
        ({"space": {"optim.lr": 0.1}}, "compare.space: expected keys, each with a list"),
        ({"own_space": {"lion": {"optim.lr": [1, 2]}}}, "compare.own_space.lion: no such option"),
        ({"own_space": {"adam": {"optim.lr": [1, 2, 3]}}}, "budgets are unequal, in trials: sgd 2, adam 3"),
        ({"tuning_seeds": 0}, "compare.tuning_seeds: expected a whole number of at least 1, found 0"),
        ({"num_seeds": 1}, "compare.num_seeds: expected a whole number of at least 2, found 1"),
        ({"target": "low"}, "compare.target: expected a number or null"),
    ],
)
def test_a_protocol_that_would_not_be_fair_is_refused(change, message):
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        read_protocol({"compare": GOOD | change})


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A whole protocol, small."""
    folder = tmp_path_factory.mktemp("fair") / "run"
    words = ["experiment=optimizer_comparison", "logger=[]", "trainer.threads=1", "trainer.max_epochs=3", "seed=10"]
    words += ["compare.options=[sgd,adam]", "compare.space={optim.lr:[1e-6,0.03]}", "compare.num_seeds=2"]
    words += ["data.num_train=200", f"hydra.run.dir={folder}"]
    assert main(["train", *words]) == 0
    return folder


def configs(folder):
    return [json.loads(path.read_text())["config"] for path in sorted(folder.rglob("run.json"))]


def test_every_option_gets_the_same_trials_and_its_winner_fresh_seeds(compared):
    for option, target in (("sgd", "torch.optim.SGD"), ("adam", "torch.optim.Adam")):
        tuning, final = (configs(compared / part / option) for part in ("tuning", "final"))
        assert sorted((config["seed"], config["optim"]["lr"]) for config in tuning) == [(10, 1e-6), (10, 0.03)]
        assert sorted((config["seed"], config["optim"]["lr"]) for config in final) == [(11, 0.03), (12, 0.03)]
        assert {config["optim"]["_target_"] for config in tuning + final} == {target}


def test_the_table_has_the_fresh_runs_alone(compared):
    rows = {row["optim"]: row for row in csv.DictReader((compared / "comparison.csv").read_text().splitlines())}
    for option, row in rows.items():
        results = [json.loads(path.read_text()) for path in (compared / "final" / option).rglob("result.json")]
        assert float(row["mean"]) == pytest.approx(sum(one["best"]["value"] for one in results) / 2)
        assert float(row["test"]) == pytest.approx(sum(one["test"]["loss"] for one in results) / 2)
    assert rows.keys() == {"sgd", "adam"}


def test_the_page_has_the_protocols_figures_and_says_how_it_was_done(compared):
    page = (compared / "comparison.html").read_text()
    for text in (
        "sgd, adam on equal terms",
        "2 trials each are 4 tuning runs",
        "Chosen by tuning",
        "Scores",
        "is the largest that was tried",
    ):
        assert text in page
    names = {path.stem for path in (compared / "figures").glob("*.svg")}
    assert {
        "performance_profile",
        "tuning_budget",
        "sensitivity_optim.lr",
        "time_to_target",
        "curves",
        "strip",
    } <= names


def test_the_target_is_the_worst_median_and_the_verdict_is_given_on_test_too(compared):
    page = html.unescape((compared / "comparison.html").read_text())
    found = {}
    for path in (compared / "final").rglob("result.json"):
        found.setdefault(path.parts[-3], []).append(json.loads(path.read_text()))
    medians = [statistics.median(one["best"]["value"] for one in runs) for runs in found.values()]
    assert f"Target: {max(medians):.6g}, the worst of the options' median results." in page
    means = {option: statistics.mean(one["test"]["loss"] for one in runs) for option, runs in found.items()}
    first, second = sorted(means, key=means.__getitem__)
    assert re.search(f"on test: optim={first} (and|is better than) optim={second} .*in test/loss", page)


def test_one_run_that_learns_nothing_does_not_choose_the_target(tmp_path):
    for number, (optim, best) in enumerate(
        [("sgd", 0.1), ("sgd", 0.2), ("sgd", 0.3), ("adam", 0.01), ("adam", 0.02), ("adam", 9.0)]
    ):
        write_run(tmp_path / f"{number}", [10, best], optim=optim, seed=number % 3)
    assert target_of_all(find([tmp_path], Asked(by=["optim"]))) == 0.2


def test_a_wrong_budget_is_refused_before_anything_is_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "experiment=optimizer_comparison", "compare.num_seeds=1"]) == 2
    assert "compare.num_seeds" in capsys.readouterr().err
    assert not list(Path().rglob("run.json"))


def test_an_option_that_does_not_exist_is_refused_before_anything_is_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "experiment=optimizer_comparison", "compare.options=[adam,lion]"]) == 2
    assert "lion" in capsys.readouterr().err
    assert not list(Path().rglob("run.json"))


def test_a_sweep_of_protocols_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-m", "experiment=optimizer_comparison", "seed=0,1"]) == 2
    assert "makes its own sweeps" in capsys.readouterr().err
