"""Searches by Optuna: what they choose, come to and go on with."""

import json
import math
import signal
import statistics
import sys
from itertools import product
from pathlib import Path

import pytest

from nnlab.cli import main
from nnlab.folder import FolderError
from nnlab.report.search_record import read_search
from sweep_files import QUICK, members, result_of, rows, run_of, stamps

optuna = pytest.importorskip("optuna", reason="needs the extra nnlab[search]")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SEARCH = ["train", "-m", "hydra/sweeper=optuna", *QUICK, "model.width=3", "hydra.launcher.num_workers=1"]
LR = "optim.lr=tag(log, interval(1e-4, 1e-1))"
SMALL = ["hydra.sweeper.startup_trials=2", "hydra.sweeper.batch_size=2", LR]
SPACE = [LR, "optim=sgd,adam"]
SAMPLERS = ("tpe", "random", "qmc", "cmaes", "gp", "grid")
#: the sampler's own keys and space
CELLS = ["optim.lr=0.1,0.01,0.001", "optim=sgd,adam"]


def search(*words, folder="sweep"):
    own = [word for word in SEARCH if "hydra/launcher=basic" not in words or "launcher" not in word]
    return main([*own, *words, f"hydra.sweep.dir={folder}"])


def trials(folder="sweep"):
    return json.loads((Path(folder) / "search.json").read_text())["trials"]


def head(folder="sweep"):
    return {
        key: value for key, value in json.loads((Path(folder) / "search.json").read_text()).items() if key != "trials"
    }


def study(folder="sweep"):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=None, storage=f"sqlite:///{Path(folder).absolute() / 'study.db'}")


def space_of(sampler):
    return CELLS if sampler == "grid" else SPACE


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_search_in_two_goes_is_the_search_in_one(sampler, work):
    words = [f"hydra.sweeper.sampler={sampler}", *SMALL[:2], *space_of(sampler)]
    assert search(*words, "hydra.sweeper.n_trials=6", folder="one") == 0
    assert search(*words, "hydra.sweeper.n_trials=4", folder="two") == 0
    assert len(trials("two")) == 4
    before = stamps("two")
    assert search(*words, "hydra.sweeper.n_trials=6", folder="two") == 0
    assert trials("two") == trials("one")
    assert {path: stamp for path, stamp in stamps("two").items() if path in before} == before
    assert [rows(path) for path in members("two")] == [rows(path) for path in members("one")]
    # Of a batch, Optuna's Gaussian process may suggest the same corner twice.
    assert len({json.dumps(trial["values"]) for trial in trials("one")}) >= (5 if sampler == "gp" else 6)


def test_trials_are_the_members_and_optunas_own_tools_find_them(work):
    assert search(*SMALL, "optim=sgd,adam", "hydra.sweeper.n_trials=5") == 0
    best = min(trials(), key=lambda trial: trial["objectives"])
    assert head()["best"] == [best["number"]]
    found = study()
    assert [trial.state.name for trial in found.trials] == ["COMPLETE"] * 5
    assert found.best_trial.number == best["number"]
    for trial, kept in zip(trials(), found.trials, strict=True):
        (path,) = (path for path in members() if path.name.startswith(f"{trial['number']}_"))
        config = run_of(path)["config"]["optim"]
        assert config["lr"] == float(trial["values"]["optim.lr"]) == kept.params["optim.lr"]
        assert config["_target_"].endswith({"sgd": "SGD", "adam": "Adam"}[trial["values"]["optim"]])
        assert kept.params["optim"] == trial["values"]["optim"]
        assert [result_of(path)["best"]["valid/loss"]] == trial["objectives"] == kept.values


def test_same_seed_searches_the_same_and_another_one_does_not(work):
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert search(*SMALL, f"hydra.sweeper.seed={seed}", "hydra.sweeper.n_trials=4", folder=folder) == 0
    assert trials("a") == trials("b")
    assert not {t["values"]["optim.lr"] for t in trials("a")} & {t["values"]["optim.lr"] for t in trials("c")}


def test_search_finds_what_is_good(work):
    words = ["optim=sgd,adam", LR, "trainer.max_epochs=4", "hydra.sweeper.n_trials=24", "hydra.sweeper.batch_size=2"]
    assert search(*words) == 0
    values = [trial["objectives"][0] for trial in trials()]
    assert statistics.median(values[16:]) < statistics.median(values[:8])


def test_diverged_is_a_bad_value_and_failed_is_failed(work):
    words = ["optim.lr=1e-2,1e30", "trainer.on_divergence=stop,fail", "optim=sgd", "hydra.sweeper.sampler=grid"]
    assert search(*words, "hydra.sweeper.n_trials=null") == 1
    states = {(t["values"]["optim.lr"], t["values"]["trainer.on_divergence"]): t["state"] for t in trials()}
    assert states == {
        ("0.01", "stop"): "completed", ("0.01", "fail"): "completed", ("1e+30", "stop"): "diverged",
        ("1e+30", "fail"): "failed",
    }  # fmt: skip
    for trial, kept in zip(trials(), study().trials, strict=True):
        expected = {"completed": trial["objectives"], "diverged": [math.inf], "failed": None}[trial["state"]]
        assert kept.values == expected
        assert kept.state.name == ("FAIL" if expected is None else "COMPLETE")


def test_several_objectives_keep_every_trial_that_no_other_one_beats(work):
    words = ["hydra.sweeper.metric=[valid/loss,valid/accuracy]", "hydra.sweeper.n_trials=8", *SMALL]
    assert search(*words) == 0
    assert head()["direction"] == ["minimize", "maximize"]
    points = {trial["number"]: (trial["objectives"][0], -trial["objectives"][1]) for trial in trials()}
    beaten = {
        a for a, b in product(points, repeat=2)
        if points[a] != points[b] and all(y <= x for x, y in zip(points[a], points[b], strict=True))
    }  # fmt: skip
    assert head()["best"] == sorted(set(points) - beaten)
    assert {trial.number for trial in study().best_trials} == set(head()["best"])


def test_a_trial_of_several_seeds_is_their_mean(work):
    words = ["hydra.sweeper.num_seeds=3", "hydra.sweeper.n_trials=2", "seed=5", *SMALL]
    assert search(*words) == 0
    for trial in trials():
        own = [
            path for path in members() if run_of(path)["config"]["optim"]["lr"] == float(trial["values"]["optim.lr"])
        ]
        assert sorted(run_of(path)["config"]["seed"] for path in own) == [5, 6, 7]
        values = [result_of(path)["best"]["valid/loss"] for path in own]
        assert len(set(values)) == 3
        assert trial["objectives"] == [pytest.approx(statistics.fmean(values), rel=1e-12)]


def test_direction_can_be_told(work, capsys):
    assert search(*SMALL, "hydra.sweeper.direction=maximize", "hydra.sweeper.n_trials=4") == 0
    worst = max(trials(), key=lambda trial: trial["objectives"])
    assert head()["best"] == [worst["number"]]
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("trial  "))) + 1 :]
    assert table[0].split()[0] == str(worst["number"])


def test_whole_batch_that_fails_ends_the_search(work, capsys):
    words = ["optim.lr=1e30,1e31,1e32", "optim=sgd"]
    words += ["trainer.on_divergence=fail", "hydra.sweeper.batch_size=2", "hydra.sweeper.startup_trials=0"]
    assert search(*words, "hydra.sweeper.n_trials=9") == 2
    assert "trials 0 to 1: all failed, which ends the search" in capsys.readouterr().err
    assert len(members()) == 2


#: the call before which the driver is killed: while a batch is trained, planned, told, and while files are written
MOMENTS = [
    ("nnlab.experiment:_test_metrics", 3),
    ("nnlab.sweep.plan:write_atomic", 2),
    ("nnlab.sweep.searching:came_to", 4),
    ("nnlab.report.search_record:write_json", 5),
    ("nnlab.experiment:prepare", 6),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        from stress_driver import Driver

        with Driver(tmp_path_factory.mktemp("work")) as driver:
            yield driver


@pytest.fixture(scope="module")
def whole(driver):
    words = [*SEARCH, *SMALL, "hydra.sweeper.n_trials=6", "hydra.sweep.dir=whole"]
    ended = driver.run(*words)
    assert ended.code == 0, ended.output
    return driver.folder / "whole"


@pytest.mark.parametrize(("place", "count"), MOMENTS)
def test_killed_search_goes_on_with_no_trial_lost_and_none_stuck(place, count, driver, whole):
    from stress_driver import Strike

    name = f"killed_{place.partition(':')[2]}_{count}"
    words = [*SEARCH, *SMALL, "hydra.sweeper.n_trials=6", f"hydra.sweep.dir={name}"]
    ended = driver.run(*words, strikes=[Strike(signal.SIGKILL, place, count)])
    assert ended.code == -signal.SIGKILL, ended.output
    folder = driver.folder / name
    before = {path: (path / "metrics.csv").read_text() for path in members(folder) if _is_done(path)}
    ended = driver.run(*words)
    assert ended.code == 0, ended.output
    assert trials(folder) == trials(whole)
    assert [rows(path) for path in members(folder)] == [rows(path) for path in members(whole)]
    assert {
        path: (path / "metrics.csv").read_text() for path in before
    } == before  # times included: none was done twice
    assert [trial.state.name for trial in study(folder).trials] == ["COMPLETE"] * 6
    assert [trial.values for trial in study(folder).trials] == [trial["objectives"] for trial in trials(whole)]


def _is_done(path):
    return (path / "result.json").exists() and result_of(path)["status"] == "completed"


#: a signal, the call before which it comes: while a member is trained, and between two batches
SIGNALS = [
    (signal.SIGTERM, "nnlab.experiment:_test_metrics", 3, 143),
    (signal.SIGINT, "nnlab.sweep.study:derive", 2, 130),
]


@pytest.mark.parametrize(("number", "place", "count", "code"), SIGNALS)
def test_interrupted_search_says_so_and_goes_on(number, place, count, code, driver, whole):
    from stress_driver import Strike

    folder = driver.folder / f"stopped_{code}"
    words = [*SEARCH, *SMALL, "hydra.sweeper.n_trials=6", f"hydra.sweep.dir={folder}"]
    ended = driver.run(*words, strikes=[Strike(number, place, count)])
    assert ended.code == code, ended.output
    assert "Traceback" not in ended.output
    assert len(trials(folder)) < 6
    assert driver.run(*words).code == 0
    assert trials(folder) == trials(whole)


REFUSED = [
    ([], "something to choose from"),
    (["optim.lr=0.1,0.2", "hydra.sweeper.sampler=best"], "expected one of tpe, random, qmc, cmaes, grid, gp"),
    (["optim.lr=interval(0,1)", "hydra.sweeper.sampler=grid"], "optim.lr has real numbers between any two"),
    (["optim=sgd,adam", "hydra.sweeper.sampler=cmaes"], "found choices only"),
    (["model.width=interval(1,5)"], "int(interval(1.0,5.0)) has whole numbers"),
    (["optim.lr=tag(log,interval(0,1))"], "the logarithm needs numbers above 0"),
    (["optim.lr=tag(lin,interval(0,1))"], "expected no tag but log, found lin"),
    (["optim.lr=tag(log,choice(0.1,0.2))"], "tag(log, …) is for an interval"),
    (["model.width=tag(log,range(2,9,2))"], "in steps of 1"),
    (["optim.lr=interval(1,0.5)"], "the lower one first"),
    (["model.width=range(5,5)"], "there is no value in it"),
    (["optim.lr=0.1,0.1"], "a value stands there twice"),
    ([LR, "hydra.sweeper.metric=test/loss"], "what the test split has chosen is not tested by it"),
    ([LR, "hydra.sweeper.metric=valid/mae"], "expected one of train/loss, valid/loss, train/accuracy, valid/accuracy"),
    ([LR, "hydra.sweeper.direction=[minimize,maximize]"], "expected one for each metric, found 2"),
    ([LR, "hydra.sweeper.direction=down"], "expected minimize or maximize, found 'down'"),
    ([LR, "hydra.sweeper.n_trials=0", "hydra.sweeper.batch_size=0"], "batch_size: expected at least 1, found 0"),
    ([LR, "hydra.sweeper.n_trials=null"], "n_trials: expected how many trials"),
    ([LR, "hydra.sweeper.n_trial=3"], "n_trial"),
    (["seed=1,2", "hydra.sweeper.num_seeds=2"], "seed is searched"),
    ([LR, "hydra/launcher=basic"], "leave hydra/launcher=basic out"),
    ([LR, "hydra.sweeper.storage=sqlite:////no/such/folder/x.db"], "cannot be opened as an Optuna storage"),
    ([LR, "hydra.sweeper.metric=[valid/loss,valid/accuracy]", "hydra.sweeper.sampler=cmaes"], "has one objective"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_no_search_can_do_is_refused_before_anything_is_trained(words, message, work, capsys):
    assert search(*words) == 2
    answer = capsys.readouterr().err
    assert message in answer
    assert "Traceback" not in answer
    assert not list(Path().glob("sweep/*/run.json"))


def test_interval_belongs_to_a_search(work, capsys):
    assert main(["train", "-m", *QUICK, LR]) == 2
    assert "an interval is for a search" in capsys.readouterr().err


def test_absent_optuna_is_named_with_its_extra(work, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert search(*SMALL) == 2
    assert "needs Optuna: pip install 'nnlab[search]'" in capsys.readouterr().err


def test_another_search_in_the_folder_is_refused(work, capsys):
    assert search(*SMALL, "hydra.sweeper.n_trials=2") == 0
    before = stamps()
    capsys.readouterr()
    assert search(*SMALL[:2], "optim.lr=interval(0.1,0.2)", "hydra.sweeper.n_trials=4") == 2
    assert "already holds a search, and this command asks for another one" in capsys.readouterr().err
    assert search(*SMALL, "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler=random") == 2
    assert "sampler: tpe in the search, random now" in capsys.readouterr().err
    assert main([*SEARCH[:2], *QUICK, "seed=0,1", "hydra.sweep.dir=sweep"]) == 2
    assert "already holds a search" in capsys.readouterr().err
    assert main([*SEARCH[:2], *QUICK, "seed=0,1", "hydra.sweep.dir=grid"]) == 0
    assert search(*SMALL, folder="grid") == 2
    assert "already holds a sweep" in capsys.readouterr().err
    assert stamps() == before


def test_fixed_values_changed_under_a_search_are_refused(work, capsys):
    assert search(*SMALL, "hydra.sweeper.n_trials=2") == 0
    capsys.readouterr()
    # Trials that have ended are not looked at again; those that follow would not be comparable to them.
    assert search(*SMALL, "hydra.sweeper.n_trials=4", "data.num_train=50") == 2
    assert "data.num_train" in capsys.readouterr().err


DAMAGE = [
    (lambda text: text[: len(text) // 2], "cannot be read"),
    (lambda text: text.replace('"completed"', '"fine"', 1), "damaged"),
    (lambda text: text.replace('"number": 1', '"number": 7', 1), "damaged"),
    (lambda text: text.replace('"schema_version": 1', '"schema_version": 99', 1), "schema_version"),
    (lambda text: text.replace('"batch_size": 2', '"batch_size": -2', 1), "damaged"),
    (lambda text: text.replace('"best": [', '"best": [77, ', 1), "damaged"),
]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched") / "sweep"
    assert search(*SMALL, "hydra.sweeper.n_trials=2", folder=folder) == 0
    return folder


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_damaged_record_is_refused(damage, message, searched, tmp_path):
    text = (searched / "search.json").read_text()
    damaged = damage(text)
    assert damaged != text
    (tmp_path / "search.json").write_text(damaged)
    with pytest.raises(FolderError, match=message):
        read_search(tmp_path)


def test_report_shows_the_search(searched, work, capsys):
    figures = {path.stem for path in (searched / "figures").glob("*.png")}
    assert {"search_history", "search_slices"} <= figures
    assert main(["compare", str(searched), "--html", "page.html"]) == 0
    page = Path("page.html").read_text()
    assert "2 trials by tpe: 2 completed" in page
    assert "The search for valid/loss" in page


def test_resume_names_the_command_that_goes_on_with_a_search(searched, capsys):
    assert main(["resume", str(searched)]) == 2
    answer = capsys.readouterr().err
    assert "holds a search, which the command that began it goes on with: nnlab train --multirun" in answer
    assert "hydra/sweeper=optuna" in answer
    assert answer.count("hydra.sweep.dir=") == 1
