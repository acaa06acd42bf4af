"""A planned sweep goes on after anything: what is done is skipped, what was under way resumed, what failed retried."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnlab.cli import main
from nnlab.lock import RunLock
from sweep_files import SWEEP, members, result_of, rows, run_of, stamps, unbegun


def test_same_command_skips_what_is_done_and_shows_all_of_it(done, capsys):
    before = stamps()
    capsys.readouterr()
    assert main([*SWEEP, "seed=0,1"]) == 0
    assert stamps() == before
    printed = capsys.readouterr().out
    assert "2 of 2 members are done already" in printed
    assert all(f"{path.name}  completed" in printed for path in members())
    assert "valid/loss of 2 runs" in printed


def test_another_plan_is_refused_with_the_differences_and_nothing_is_touched(done, capsys):
    everything = {path: path.read_bytes() for path in Path("sweep").rglob("*") if path.is_file()}
    assert main([*SWEEP, "seed=0,1,2", "optim.lr=0.2"]) == 2
    printed = capsys.readouterr().err
    for text in (
        "sweep already holds a sweep, with another plan",
        "2 members in the plan, 3 members now",
        "optim.lr: 0.001 in the plan, 0.2 now (members 0 and 1)",
        "`nnlab resume sweep` goes on with its plan",
    ):
        assert text in printed
    assert {path: path.read_bytes() for path in Path("sweep").rglob("*") if path.is_file()} == everything


def test_edited_config_changes_nothing_of_a_sweep_that_is_resumed(work, capsys):
    (work / "mine" / "optim").mkdir(parents=True)
    option = work / "mine" / "optim" / "own.yaml"
    option.write_text("# my own\n_target_: torch.optim.SGD\nlr: 0.01\n")
    words = [*SWEEP, "--config-dir", "mine", "optim=own", "seed=0,1"]
    assert main(words) == 0
    whole = rows(members()[1])
    unbegun(members()[1])
    option.write_text("# my own\n_target_: torch.optim.SGD\nlr: 0.5\n")
    assert main(words) == 2
    assert "optim.lr: 0.01 in the plan, 0.5 now (members 0 and 1)" in capsys.readouterr().err
    option.unlink()
    assert main(["resume", "sweep"]) == 0
    assert rows(members()[1]) == whole
    printed = capsys.readouterr().out
    assert all(f"{path.name}  completed" in printed for path in members())


FAILING = [*SWEEP, "data=rings", "loss=bce,cross_entropy"]


@pytest.mark.parametrize("again", [["resume", "sweep"], FAILING])
def test_failed_member_is_tried_again_and_no_other_one(again, work, capsys):
    assert main(FAILING) == 1
    assert [result_of(path)["status"] for path in members()] == ["failed", "completed"]
    before = [(path / "result.json").stat().st_mtime_ns for path in members()]
    capsys.readouterr()
    assert main(again) == 1
    after = [(path / "result.json").stat().st_mtime_ns for path in members()]
    assert (after[0] > before[0], after[1] == before[1]) == (True, True)
    assert "1 of 2 members are done already" in capsys.readouterr().out


def start(words):
    return subprocess.Popen(
        [sys.executable, "-m", "nnlab", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_killed_sweep_goes_on_to_the_bits_of_one_that_was_not(work, capsys):
    words = [word for word in SWEEP[:-1] if "max_epochs" not in word]
    # The first member is done long before the others.
    words += ["seed=0,1,2", "trainer.max_epochs=20,800", "trainer.eval_every=20", "trainer.checkpoint_every=100"]
    assert main([*words, "hydra.sweep.dir=whole"]) == 0
    with start([*words, "hydra.sweep.dir=sweep"]) as process:
        deadline = time.monotonic() + 60
        while not list(Path("sweep").rglob("previous.json")) and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -9, process.stderr.read()
    states = {path: result_of(path)["status"] for path in members() if (path / "result.json").exists()}
    assert "running" in states.values()
    done = {path: stamps_of(path) for path, status in states.items() if status == "completed"}
    assert main([*words, "hydra.sweep.dir=sweep"]) == 0
    assert done == {path: stamps_of(path) for path in done}
    under_way = [run_of(path)["history"] for path, status in states.items() if status == "running"]
    assert [entry["status"] for (entry,) in under_way] == ["running"] * len(under_way)
    assert [path.name for path in members()] == [path.name for path in members("whole")]
    for folder in members():
        whole = Path("whole") / folder.name
        assert rows(folder) == rows(whole)
        last = [json.loads((path / "checkpoints" / "last.json").read_text()) for path in (folder, whole)]
        assert last[0]["step"] == last[1]["step"]
        weights = [pointer["sha256"][f"{pointer['step']}.safetensors"] for pointer in last]
        assert weights[0] == weights[1]
        assert main(["verify", str(folder)]) == 0


def stamps_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_folder_with_runs_and_no_plan_is_refused(work, capsys):
    assert main([*SWEEP, "seed=0,1", "hydra/launcher=basic"]) == 0
    assert main([*SWEEP, "seed=0,1"]) == 2
    assert "no plan.json says what is missing" in capsys.readouterr().err
    assert main([*SWEEP, "seed=0,1", "hydra/launcher=basic"]) == 2
    assert "already holds a sweep" in capsys.readouterr().err


def test_planned_sweep_is_left_alone_by_what_cannot_go_on_with_it(done, capsys):
    before = Path("sweep/multirun.yaml").read_bytes()
    for word in ("hydra/launcher=basic", "hydra/sweeper=basic", "hydra.job.chdir=true"):
        assert main([*SWEEP, "seed=0,1", word]) == 2
        assert "already holds a sweep" in capsys.readouterr().err
    assert Path("sweep/multirun.yaml").read_bytes() == before


def test_sweep_that_was_killed_before_its_plan_was_whole_begins_anew(done):
    for folder in members():
        unbegun(folder)
    Path("sweep/plan.json").unlink()
    assert main([*SWEEP, "seed=0,2"]) == 0
    assert run_of(Path("sweep/1_seed=2"))["config"]["seed"] == 2


def test_second_process_on_a_sweep_is_refused(done, capsys):
    with RunLock(Path("sweep")):
        for words in ([*SWEEP, "seed=0,1"], ["resume", "sweep"]):
            assert main(words) == 2
            assert "sweep is in use" in capsys.readouterr().err
    assert not Path("sweep/.lock").exists()


def test_member_whose_folder_cannot_be_used_ends_no_other(work, capsys):
    Path("sweep").mkdir()
    Path("sweep/0_seed=0").write_text("in the way")
    assert main([*SWEEP, "seed=0,1"]) == 1
    printed = capsys.readouterr()
    assert "sweep/0_seed=0/.hydra could not be written" in printed.out
    assert "sweep/0_seed=0 cannot be written" in printed.out + printed.err
    assert "failed" in printed.out
    assert result_of(Path("sweep/1_seed=1"))["status"] == "completed"
    Path("sweep/0_seed=0").unlink()
    assert main([*SWEEP, "seed=0,1"]) == 0
    assert result_of(Path("sweep/0_seed=0"))["status"] == "completed"


def test_damaged_member_is_said_and_ends_no_other(done, capsys):
    unbegun(members()[1])
    (members()[0] / "result.json").write_text("{")

    def files():
        found = [path for path in members()[0].rglob("*") if path.is_file() and path.name != "train.log"]
        return {path: path.read_bytes() for path in found}

    damaged = files()
    assert main(["resume", "sweep"]) == 1
    assert "result.json cannot be read" in "".join(capsys.readouterr())
    assert files() == damaged
    assert result_of(members()[1])["status"] == "completed"


def edit_plan(edit):
    plan = json.loads(Path("sweep/plan.json").read_text())
    edit(plan["members"][1]["config"])
    Path("sweep/plan.json").write_text(json.dumps(plan))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda config: config["optim"].update(_target_="os.system"), "os.system"),
        (lambda config: config["data"].update(num_train=10**12), "expected at most"),
        (lambda config: config["model"].update(width=10**7), "expected at most"),
        (lambda config: config["trainer"].update(threads=10**6), "trainer.threads"),
    ],
)
def test_strangers_plan_runs_nothing_but_a_training(edit, said, done, capsys):
    unbegun(members()[1])
    edit_plan(edit)
    assert main(["resume", "sweep"]) == 1
    assert said in result_of(members()[1])["error"]
    assert not (members()[1] / "run.json").exists()


def test_packages_of_a_plan_have_to_be_granted_again(done, capsys):
    unbegun(members()[1])
    edit_plan(lambda config: config.update(plugins=["yaml"]))
    assert main(["resume", "sweep"]) == 2
    assert "nnlab resume sweep 'plugins=[yaml]'" in capsys.readouterr().err
    assert main(["resume", "sweep", "plugins=[yaml]"]) == 0
    assert run_of(members()[1])["plugins"] == ["yaml"]


def test_sweep_is_extended_once_all_of_it_has_begun(done, capsys):
    unbegun(members()[1])
    assert main(["resume", "sweep", "trainer.max_epochs=3"]) == 2
    assert "1_seed=1: not begun yet" in capsys.readouterr().err
    assert main(["resume", "sweep"]) == 0
    assert main(["resume", "sweep", "trainer.max_epochs=3"]) == 0
    assert [len(rows(path)) for path in members()] == [3, 3]
