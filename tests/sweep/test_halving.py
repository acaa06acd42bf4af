"""Successive halving and Hyperband: who goes on, from where, and what it costs."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from nnlab.cli import main
from nnlab.folder import FolderError
from nnlab.report.search_record import read_search
from nnlab.sweep.ladder import brackets, cost, kept, ladder
from sweep_files import members, result_of, rows, run_of

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
QUICK = ["data=moons", "data.num_train=64", "data.num_valid=40", "data.num_test=40", "data.batch_size=16"]
#: 4 steps an epoch, 72 in all
QUICK += ["trainer.max_epochs=18", "trainer.threads=1", "model.width=4", "logger=[]", "figures=[]", "model.dropout=0.1"]
LR = "optim.lr=tag(log, interval(1e-3, 1e-1))"
HALVING = ["train", "-m", "hydra/sweeper=halving", *QUICK, "hydra.launcher.num_workers=1"]
TRIALS = ["hydra.sweeper.n_trials=9", LR]


def halve(*words, folder="sweep"):
    return main([*HALVING, *words, f"hydra.sweep.dir={folder}"])


def search(folder="sweep"):
    return json.loads((Path(folder) / "search.json").read_text())


def member(number, folder="sweep"):
    (found,) = (path for path in members(folder) if path.name.startswith(f"{number}_"))
    return found


def weights(path):
    last = json.loads((path / "checkpoints" / "last.json").read_text())
    return load_file(path / "checkpoints" / f"{last['step']}.safetensors")


def assert_same_run(a, b):
    assert rows(a) == rows(b)
    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].tobytes() == theirs[name].tobytes(), name


@pytest.fixture(scope="module")
def halved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halved") / "sweep"
    assert halve(*TRIALS, folder=folder) == 0
    return folder


@pytest.fixture(scope="module")
def trained(halved):
    """The same trials, all of them trained to their ends, as one stack."""
    folder = halved.parent / "all"
    lrs = ",".join(trial["values"]["optim.lr"] for trial in search(halved)["trials"])
    words = ["train", "-m", *QUICK, "hydra.launcher.num_workers=1", f"optim.lr={lrs}", f"hydra.sweep.dir={folder}"]
    assert main(words) == 0
    return folder


def test_best_of_each_rung_go_on_and_the_others_leave(halved):
    found = search(halved)
    assert [(rung["step"], len(rung["trials"]), rung["num_kept"]) for rung in found["rungs"]] == [
        (8, 9, 3), (24, 3, 1), (72, 1, 1),
    ]  # fmt: skip
    for above, below in zip(found["rungs"][1:], found["rungs"], strict=False):
        assert set(above["trials"]) == set(below["trials"][: below["num_kept"]])
    for rung in found["rungs"]:
        # The best value that each had when it came to the rung.
        values = [
            min(float(row["valid/loss"]) for row in rows(member(number, halved)) if int(row["step"]) <= rung["step"])
            for number in rung["trials"]
        ]
        assert values == sorted(values)


def test_survivors_are_what_they_would_be_alone(halved, trained):
    """Bits: a stack's run does not depend on how many are beside it, nor on pauses."""
    (survivor,) = search(halved)["rungs"][-1]["trials"]
    assert_same_run(member(survivor, halved), member(survivor, trained))
    assert result_of(member(survivor, halved))["test"] == result_of(member(survivor, trained))["test"]


def test_losers_end_where_they_were_and_are_tested(halved, trained):
    (survivor,) = search(halved)["rungs"][-1]["trials"]
    for trial in search(halved)["trials"]:
        path = member(trial["number"], halved)
        result, own = result_of(path), rows(path)
        if trial["number"] == survivor:
            assert (trial["state"], result["status"], result["steps"]) == ("completed", "completed", 72)
            continue
        step = max(rung["step"] for rung in search(halved)["rungs"] if trial["number"] in rung["trials"])
        assert (trial["state"], result["status"], result["steps"]) == ("left", "early_stopped", step)
        assert f"left by halving at step {step}" in result["reason"]
        assert own == rows(member(trial["number"], trained))[: len(own)]
        assert set(result["test"]) == {"loss", "accuracy"}
        assert main(["verify", str(path)]) == 0


def test_cost_is_counted_and_said(halved, capsys):
    found = search(halved)
    assert found["steps"] == sum(result_of(path)["steps"] for path in members(halved)) == 6 * 8 + 2 * 24 + 72
    assert main(["compare", str(halved), "--html", str(halved.parent / "page.html")]) == 0
    page = (halved.parent / "page.html").read_text()
    assert "168 optimizer steps, 25.9% of those of training all: 9 to step 8; 3 to step 24; 1 to step 72" in page


#: the call before which the driver is killed
MOMENTS = [
    ("nnlab.sweep.halving:results_of", 4),
    ("nnlab.report.search_record:write_json", 2),
    ("nnlab.sweep.stack_store:sync_file_system", 2),
    ("nnlab.experiment:prepare", 5),
    ("nnlab.experiment:_test_metrics", 4),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        from stress_driver import Driver

        with Driver(tmp_path_factory.mktemp("work")) as driver:
            yield driver


@pytest.mark.parametrize(("place", "count"), MOMENTS)
def test_killed_halving_goes_on_to_the_same_bits(place, count, driver, halved):
    from stress_driver import Strike

    name = f"killed_{place.partition(':')[2]}"
    words = [*HALVING, *TRIALS, "trainer.checkpoint_every=4", f"hydra.sweep.dir={name}"]
    ended = driver.run(*words, strikes=[Strike(signal.SIGKILL, place, count)])
    assert ended.code == -signal.SIGKILL, ended.output
    ended = driver.run(*words)
    assert ended.code == 0, ended.output
    folder = driver.folder / name
    assert search(folder)["rungs"] == search(halved)["rungs"]
    assert search(folder)["trials"] == search(halved)["trials"]
    for number in range(9):
        assert rows(member(number, folder)) == rows(member(number, halved))


def test_members_that_go_alone_are_halved_too(work):
    words = ["trainer.precision=bf16", "hydra.sweeper.n_trials=3", LR, "model.dropout=0"]
    assert halve(*[word for word in words if "dropout" not in word]) == 0
    assert [len(rung["trials"]) for rung in search()["rungs"]] == [3, 1]
    (survivor,) = search()["rungs"][-1]["trials"]
    lr = search()["trials"][survivor]["values"]["optim.lr"]
    assert main(["train", *QUICK, "trainer.precision=bf16", f"optim.lr={lr}", "hydra.run.dir=lone"]) == 0
    assert_same_run(member(survivor), Path("lone"))


def test_brackets_begin_at_higher_rungs(work):
    assert halve("hydra.sweeper.n_trials=9", "hydra.sweeper.brackets=2", LR) == 0
    found = search()
    first = {bracket: next(r for r in found["rungs"] if r["bracket"] == bracket) for bracket in (0, 1)}
    assert [first[0]["step"], first[1]["step"]] == [8, 24]
    assert sorted([*first[0]["trials"], *first[1]["trials"]]) == list(range(9))
    assert len(first[0]["trials"]) > len(first[1]["trials"])
    assert found["options"]["brackets"] == 2


def test_a_trial_of_several_seeds_is_ranked_by_their_mean(work):
    assert halve("hydra.sweeper.n_trials=3", "hydra.sweeper.num_seeds=2", "seed=7", LR) == 0
    assert [len(rung["trials"]) for rung in search()["rungs"]] == [3, 1]
    assert sorted({run_of(path)["config"]["seed"] for path in members()}) == [7, 8]
    rung = search()["rungs"][0]
    means = []
    for number in rung["trials"]:
        own = [member(2 * number), member(2 * number + 1)]
        best = [min(float(row["valid/loss"]) for row in rows(p) if int(row["step"]) <= rung["step"]) for p in own]
        means.append(sum(best) / 2)
    assert means == sorted(means)


def test_diverged_and_failed_leave_first(work):
    words = ["optim.lr=1e30,0.01,0.02", "trainer.on_divergence=stop", "optim=sgd"]
    assert halve(*words) == 0
    states = {trial["values"]["optim.lr"]: trial["state"] for trial in search()["trials"]}
    assert states["1e+30"] == "diverged"
    assert search()["rungs"][0]["trials"][-1] == 0


def test_whole_grid_is_halved_where_no_number_is_given(work):
    assert halve("optim.lr=0.01,0.02", "optim=sgd,adam") == 0
    values = [trial["values"] for trial in search()["trials"]]
    assert [(v["optim.lr"], v["optim"]) for v in values] == [
        ("0.01", "sgd"), ("0.01", "adam"), ("0.02", "sgd"), ("0.02", "adam"),
    ]  # fmt: skip


REFUSED = [
    ([LR], "hydra.sweeper.n_trials: expected how many points of an interval"),
    ([LR, "hydra.sweeper.n_trials=1"], "n_trials: expected at least 2, found 1"),
    ([*TRIALS, "hydra.sweeper.reduction_factor=1"], "reduction_factor: expected at least 2, found 1"),
    ([*TRIALS, "hydra.sweeper.min_steps=60"], "there is no rung between them"),
    ([*TRIALS, "hydra.sweeper.brackets=7"], "brackets: expected at most 3, one for each rung (steps 8, 24, 72)"),
    ([*TRIALS, "hydra.sweeper.metric=valid/mae"], "hydra.sweeper.metric: expected one of"),
    ([*TRIALS, "hydra.sweeper.metric=test/loss"], "expected train/… or valid/…"),
    ([*TRIALS, "hydra.sweeper.direction=up"], "expected minimize or maximize, found 'up'"),
    (["seed=0,1,2", "hydra.sweeper.num_seeds=2"], "seed is searched"),
    ([], "something to choose from"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_cannot_be_halved_is_refused_before_anything_is_trained(words, message, work, capsys):
    assert halve(*words) == 2
    answer = capsys.readouterr().err
    assert message in answer
    assert "Traceback" not in answer
    assert not list(Path().glob("sweep/*/run.json"))


def test_another_halving_in_the_folder_is_refused(work, capsys):
    assert halve("optim.lr=0.01,0.02,0.03") == 0
    assert halve("optim.lr=0.01,0.02,0.03", "hydra.sweeper.reduction_factor=2") == 2
    assert "already holds another search" in capsys.readouterr().err
    assert halve("optim.lr=0.01,0.02,0.04") == 2


def test_halving_needs_no_extra(work):
    program = "import sys; sys.modules['optuna'] = None; from nnlab.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", "-m", "hydra/sweeper=halving", *QUICK, "optim.lr=0.01,0.02,0.03", "hydra.sweep.dir=sweep"]
    answer = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "3 trials by halving: 1 completed, 2 left" in answer.stdout


def test_damaged_rung_is_refused(halved, tmp_path):
    text = (halved / "search.json").read_text()
    damaged = text.replace('"num_kept": 3', '"num_kept": 30', 1)
    assert damaged != text
    (tmp_path / "search.json").write_text(damaged)
    with pytest.raises(FolderError, match="damaged"):
        read_search(tmp_path)


def test_ladder_ends_with_the_whole_training_and_begins_where_something_can_be_seen():
    assert ladder(1000, 45, 3, 9) == [112, 334, 1000]
    assert ladder(1000, 45, 3, 2) == [334, 1000]
    assert ladder(10, 45, 3, 9) == [10]
    assert (kept(200, 3), kept(2, 3), kept(1, 3)) == (66, 1, 1)


def test_brackets_hold_each_trial_once_and_cost_about_the_same():
    found = brackets(100, 4, 4, 3)
    assert sorted(number for numbers in found for number in numbers) == list(range(100))
    rungs = ladder(2700, 100, 3, 4)
    costs = [cost([[]] * place + [numbers], rungs, 3) for place, numbers in enumerate(found)]
    assert max(costs) < 2 * min(costs)
