"""Signals at bad moments and disks that are full: real signals and real errors of the system, in real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnlab import command
from nnlab.cli import main
from nnlab.lock import RunLock
from nnlab.metrics_file import read_metrics

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
EPOCHS = 4
WORDS = ["data=moons", "data.batch_size=200", "model.width=8", "model.dropout=0.2", f"trainer.max_epochs={EPOCHS}"]
WORDS += ["trainer.threads=1", "trainer.checkpoint_every=3", "schedule=one_cycle"]
SIGTERM, SIGINT, SIGUSR1, SIGKILL = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGKILL


@pytest.fixture(scope="module")
def stress():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        import stress_signals

        yield stress_signals


@pytest.fixture(scope="module")
def driver(stress, tmp_path_factory):
    with stress.Driver(tmp_path_factory.mktemp("work")) as driver:
        yield driver


@pytest.fixture(scope="module")
def whole(driver):
    ended = driver.run("train", *WORDS, "hydra.run.dir=whole")
    assert ended.code == 0, ended.output
    return driver.folder / "whole"


#: moment -> (exit code, status on disk afterwards, signals with the calls before which they come)
MOMENTS = {
    "start-up": (75, "preempted", [(SIGUSR1, "nnlab.experiment:build", 1)]),
    "a save": (143, "interrupted", [(SIGTERM, "os:fsync", 15)]),
    "a save, twice": (130, "running", [(SIGTERM, "os:replace", 12), (SIGINT, "os:replace", 13)]),
    "the last evaluation": (130, "completed", [(SIGINT, "nnlab.trainer.evaluation:predict", EPOCHS)]),
    "figures, twice": (143, "running", [(SIGINT, "nnlab.figure:png", 2), (SIGTERM, "nnlab.figure:png", 3)]),
    "a save, without mercy": (-9, "running", [(SIGKILL, "os:replace", 30)]),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_signal_in_any_moment_ends_with_its_code_and_is_resumed_to_the_same(moment, stress, driver, whole):
    code, status, strikes = MOMENTS[moment]
    folder = driver.folder / moment.replace(" ", "_").replace(",", "")
    ended = driver.run("train", *WORDS, f"hydra.run.dir={folder}", strikes=strikes)
    assert (ended.code, "Traceback" in ended.output) == (code, False), ended.output
    assert json.loads((folder / "result.json").read_text())["status"] == status
    assert driver.run("verify", str(folder)).code == 0
    assert ("what is under way is finished and saved; a second signal ends at once" in ended.output) == (code != -9)
    # A second signal ends in the middle of a save or of the figures, and what was being written is left.
    assert bool(list(folder.rglob("*.tmp"))) == (status == "running")
    assert driver.run("resume", str(folder)).code == 0
    assert stress.difference(driver, folder, whole) is None


def test_files_that_cannot_grow_cost_no_training_and_resume_repairs(stress, driver, whole):
    """A limit on the size of a file is what every system has; a tmpfs that is full needs root."""
    folder = driver.folder / "limit"
    ended = driver.run("train", *WORDS, f"hydra.run.dir={folder}", most_bytes=5000)
    assert (ended.code, "Traceback" in ended.output) == (1, False), ended.output
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["steps"]) == ("failed", read_metrics(whole / "metrics.csv")[-1]["step"])
    assert "the state at its end could not be saved; once there is room, `nnlab resume" in result["error"]
    lost = [note for note in result["notes"] if "could not be written" in note]
    assert lost == sorted(set(lost), key=lost.index)
    assert sum(note.startswith("the checkpoint could not be written (File too large)") for note in lost) == 1
    assert result["final"]["train/loss"] == read_metrics(whole / "metrics.csv")[-1]["train/loss"]
    assert not list(folder.rglob("*.tmp"))
    assert driver.run("resume", str(folder)).code == 0
    assert stress.difference(driver, folder, whole) is None


def test_second_process_on_a_run_is_refused_naming_the_first_which_goes_on(driver):
    folder = driver.folder / "used"
    words = ["train", *WORDS, "trainer.max_epochs=1000000", "schedule=constant", f"hydra.run.dir={folder}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "nnlab", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as process:
        deadline = time.monotonic() + 60
        while not (folder / "metrics.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        for again in (["resume", str(folder)], words):
            ended = driver.run(*again)
            assert (ended.code, "Traceback" in ended.output) == (2, False), ended.output
            assert f"process {process.pid} works on it" in ended.output or "already holds a run" in ended.output
        process.send_signal(SIGTERM)
        assert process.wait(60) == 143
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    assert driver.run("verify", str(folder)).code == 0


def test_process_that_another_one_is_quicker_than_leaves_the_folder_to_it(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"

    def quicker(path, claim=command.claim_folder):
        claim(path)
        other.acquire()

    other = RunLock(folder)
    monkeypatch.setattr(command, "claim_folder", quicker)
    assert main(["train", "data=iris", "trainer.max_epochs=1", f"hydra.run.dir={folder}"]) == 2
    assert f"{folder} is in use: process {os.getpid()} (this one) works on it" in capsys.readouterr().err
    assert (folder / ".lock").exists()
    other.release()


def test_run_that_was_made_after_the_folder_was_claimed_is_not_overwritten(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"

    def quicker(path, claim=command.claim_folder):
        claim(path)
        (folder / "run.json").write_text("{}")

    monkeypatch.setattr(command, "claim_folder", quicker)
    assert main(["train", "data=iris", "trainer.max_epochs=1", f"hydra.run.dir={folder}"]) == 2
    assert "already holds a run, and a run is never overwritten" in capsys.readouterr().err
    assert (folder / "run.json").read_text() == "{}"


def test_what_a_process_left_that_was_killed_before_its_run_began_is_swept_and_nothing_else(tmp_path):
    stale = [tmp_path / name for name in (".run.json.12.tmp", ".preprocessing.json.12.tmp", ".writable-12")]
    others = [tmp_path / name for name in (".mine.12.tmp", "run.json.12.tmp")]
    for path in (*stale, *others):
        path.write_text("half")
    words = ["train", "data=iris", "trainer.max_epochs=0", "logger=[]", f"hydra.run.dir={tmp_path}"]
    assert main(words) == 0
    assert not [path for path in stale if path.exists()]
    assert all(path.exists() for path in others)
