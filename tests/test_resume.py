"""`nnlab resume`: after a kill, as an extension, and what it refuses."""

import csv
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

QUICK = ["data=moons", "model.width=8", "trainer.threads=1", "model.dropout=0.2", "trainer.checkpoint_every=5"]


def train(folder, *words, epochs=4):
    code = main(["train", *QUICK, f"trainer.max_epochs={epochs}", *words, f"hydra.run.dir={folder}"])
    assert code == 0
    return folder


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return [{key: cell for key, cell in row.items() if key != "time_s"} for row in csv.DictReader(file)]


def weights(folder):
    pointer = json.loads((folder / "checkpoints" / "last.json").read_text())
    return pointer["step"], pointer["sha256"][f"{pointer['step']}.safetensors"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start_and_wait_for_rows(folder, words, num_rows):
    process = subprocess.Popen(
        [sys.executable, "-m", "nnlab", "train", *words, f"hydra.run.dir={folder}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "metrics.csv").exists() and len(rows(folder)) >= num_rows:
            return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError(process.communicate())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ended_process_is_resumed_to_the_bits_of_an_uninterrupted_run(number, work, capsys):
    words = [*QUICK, "trainer.max_epochs=150", "schedule=one_cycle", "callback=[early_stopping]"]
    whole, ended = work / "whole", work / "ended"
    assert main(["train", *words, f"hydra.run.dir={whole}"]) == 0
    process = start_and_wait_for_rows(ended, words, 20)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143}[number]
    assert len(rows(ended)) < 150
    assert main(["verify", str(ended)]) == 0
    assert main(["resume", str(ended)]) == 0
    assert rows(ended) == rows(whole)
    assert weights(ended) == weights(whole)
    results = [json.loads((folder / "result.json").read_text()) for folder in (ended, whole)]
    for key in ("status", "epochs", "steps", "test"):
        assert results[0][key] == results[1][key]
    assert main(["verify", str(ended)]) == 0
    (entry,) = json.loads((ended / "run.json").read_text())["history"]
    assert entry["status"] == {signal.SIGKILL: "running", signal.SIGTERM: "interrupted"}[number]
    assert entry["changed"] == {}


def test_finished_run_is_left_alone_and_extended_when_asked(work, capsys):
    whole, folder = train(work / "whole", epochs=6), train(work / "run", epochs=4)
    before = weights(folder)
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 0
    assert "completed; to extend it: trainer.max_epochs=…" in capsys.readouterr().out
    assert weights(folder) == before
    assert main(["resume", str(folder), "trainer.max_epochs=6"]) == 0
    assert rows(folder) == rows(whole)
    assert weights(folder) == weights(whole)
    assert json.loads((folder / "run.json").read_text())["config"]["trainer"]["max_epochs"] == 6
    assert main(["verify", str(folder)]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optim.lr=0.5"], "optim.lr=0.5: would make it another experiment (it has 0.001)"),
        (["optim=sgd"], "optim=sgd: would make it another experiment (it has adam)"),
        (["seed=3", "data.batch_size=7"], "seed=3: would make it another experiment (it has 0)"),
        (["trainer.max_epochs=2"], "trainer.max_epochs=2: expected more than the 4"),
        (["trainer.max_epochs=1,2"], "expected a plain key=value"),
        (["trainer.max_epochs=many"], "trainer.max_epochs=many"),
        (["+trainer.max_epochs=9"], "expected a plain key=value"),
    ],
)
def test_change_that_makes_another_experiment_is_refused_and_nothing_is_touched(words, said, work, capsys):
    folder = train(work / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["resume", str(folder), *words]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert "Traceback" not in printed
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_value_that_the_run_has_already_is_no_change(work, capsys):
    folder = train(work / "run")
    assert main(["resume", str(folder), "optim.lr=0.001", "optim=adam", "trainer.max_epochs=4"]) == 0


def test_profile_of_what_is_left_can_be_asked_for(work, capsys):
    plain, profiled = train(work / "plain", epochs=2), train(work / "profiled", epochs=2)
    assert main(["resume", str(plain), "trainer.max_epochs=4"]) == 0
    assert main(["resume", str(profiled), "trainer.max_epochs=4", "trainer.profile=true"]) == 0
    assert "seconds" in (profiled / "profile" / "table.txt").read_text()
    assert weights(profiled) == weights(plain)


def test_schedule_that_follows_from_the_length_cannot_be_extended_unless_its_own_was_set(work, capsys):
    folder = train(work / "run", "schedule=cosine")
    assert main(["resume", str(folder), "trainer.max_epochs=6"]) == 2
    assert "only a run that was started with schedule.total_steps=" in capsys.readouterr().err
    own = train(work / "own", "schedule=cosine", "schedule.total_steps=6")
    assert main(["resume", str(own), "trainer.max_epochs=6"]) == 0
    assert rows(own) == rows(train(work / "whole", "schedule=cosine", "schedule.total_steps=6", epochs=6))


def test_folder_without_a_run_says_what_to_type(work, capsys):
    (work / "empty").mkdir()
    assert main(["resume", "empty"]) == 2
    assert "holds no run.json" in capsys.readouterr().err
    assert main(["resume", "nowhere"]) == 2


def test_run_that_another_process_works_on_is_refused(work, capsys):
    folder = train(work / "run")
    with RunLock(folder):
        assert main(["resume", str(folder), "trainer.max_epochs=6"]) == 2
    assert "is in use" in capsys.readouterr().err


def edited(folder, change):
    content = json.loads((folder / "run.json").read_text())
    change(content)
    (folder / "run.json").write_text(json.dumps(content))


def test_other_data_than_those_of_the_training_are_refused(work, capsys):
    folder = train(work / "run")
    edited(folder, lambda content: content["config"]["data"].update(seed=5))
    assert main(["resume", str(folder), "trainer.max_epochs=6"]) == 2
    assert "the data are not those that it was trained on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "target", ["os.system", "logging.os.system", "setuptools._distutils.spawn.spawn", "builtins.open", "nnlab.cli.main"]
)
def test_hostile_target_in_a_run_folder_is_refused_unexecuted(target, work, capsys):
    folder = train(work / "run")
    edited(folder, lambda content: content["config"]["optim"].update(_target_=target))
    assert main(["resume", str(folder), "trainer.max_epochs=6"]) == 2
    printed = capsys.readouterr().err
    assert "optim" in printed
    assert "Traceback" not in printed


def test_members_of_a_sweep_that_are_not_done_are_done(work, capsys):
    # in half precision members train alone, with checkpoints of their own from the start
    words = [*QUICK, "trainer.precision=bf16", "trainer.max_epochs=3", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert main(["train", "-m", *words]) == 0
    members = sorted(path.parent for path in Path("sweep").glob("*/run.json"))
    assert len(members) == 2
    whole = rows(members[1])
    content = json.loads((members[1] / "result.json").read_text())
    (members[1] / "result.json").write_text(json.dumps(content | {"status": "running"}))
    (members[1] / "checkpoints" / "last.json").write_bytes((members[1] / "checkpoints" / "previous.json").read_bytes())
    assert main(["resume", "sweep"]) == 0
    assert rows(members[1]) == whole
    assert json.loads((members[1] / "result.json").read_text())["status"] == "completed"
