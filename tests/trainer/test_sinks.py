"""A disk that is really full: a small tmpfs, where this machine lets one be mounted."""

import json
import os
import shutil
import subprocess

import pytest
import torch

from nnlab import Trainer
from nnlab.callback import Callback
from nnlab.cli import main
from nnlab.logger import TensorBoard
from nnlab.loss import MSE
from nnlab.metrics_file import read_metrics
from nnlab.trainer.sinks import Sinks


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root and mount")
    answer = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {answer.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder):
    with open(folder / "ballast", "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return


def test_training_on_a_full_disk_goes_on_says_so_and_writes_again_when_there_is_room(small_disk):
    class FillThenFree(Callback):
        def on_evaluation(self, view, epoch, step, metrics):
            if epoch == 3:
                fill(small_disk)
            if epoch == 9:
                (small_disk / "ballast").unlink()

    torch.manual_seed(0)
    x = torch.randn(64, 2)
    model = torch.nn.Linear(2, 1)
    trainer = Trainer(
        model,
        MSE(),
        torch.optim.SGD(model.parameters(), lr=0.1),
        max_epochs=12,
        checkpoint_every="1ep",
        callbacks=[FillThenFree()],
        loggers=[TensorBoard()],
        folder=small_disk,
    )
    result = trainer.fit((x, x[:, :1]), (x, x[:, :1]))
    assert result.status == "completed"
    assert len(result.history) == 12
    assert [row["epoch"] for row in read_metrics(small_disk / "metrics.csv")] == list(range(1, 13))
    assert (small_disk / "checkpoints" / f"{result.steps}.safetensors").exists()
    notes = " ".join(result.notes)
    for what in ("the checkpoint could not be written (No space left", "the checkpoint could be written again"):
        assert notes.count(what) == 1
    assert not list(small_disk.rglob("*.tmp"))


def test_disk_that_stays_full_keeps_the_checkpoint_and_the_rows_that_were_there(small_disk):
    class Fill(Callback):
        def on_evaluation(self, view, epoch, step, metrics):
            if epoch == 3:
                fill(small_disk)

    x = torch.randn(64, 2)
    model = torch.nn.Linear(2, 1)
    trainer = Trainer(
        model, MSE(), torch.optim.SGD(model.parameters(), lr=0.1), max_epochs=400, checkpoint_every="1ep",
        callbacks=[Fill()], folder=small_disk,
    )  # fmt: skip
    result = trainer.fit((x, x[:, :1]), (x, x[:, :1]))
    assert result.status == "completed"
    rows = read_metrics(small_disk / "metrics.csv")
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert 3 <= len(rows) < 400
    assert (small_disk / "checkpoints" / "last.json").exists()
    assert any("metrics.csv could not be written" in note for note in result.notes)


def test_logger_that_fails_is_let_go_and_noted_once(tmp_path):
    class Broken(TensorBoard.__mro__[1]):
        def start(self, run):
            pass

        def scalars(self, step, values, time_s):
            raise OSError(5, "Input/output error")

        def media(self, step, tag, item):
            raise AssertionError("it was let go")

        def close(self):
            raise AssertionError("it was let go")

    notes = []
    sinks = Sinks(tmp_path, [Broken()], notes, "name")
    for step in (1, 2):
        sinks.row({"step": step}, {}, 0.0)
    sinks.media(2, "tag", None)
    sinks.close()
    assert notes == ["logger Broken could not be written (Input/output error); training goes on without it"]


def test_run_whose_last_state_did_not_fit_on_the_disk_has_failed_and_says_what_is_missing(small_disk, capsys):
    words = ["train", "data=moons", "trainer.max_epochs=60", "trainer.checkpoint_every=1ep"]
    assert main([*words, f"hydra.run.dir={small_disk / 'run'}"]) == 1
    result = json.loads((small_disk / "run" / "result.json").read_text())
    assert result["status"] == "failed"
    assert "the state at its end could not be saved" in result["error"]
    assert result["test"]["accuracy"] > 0.9
    assert "figures could not be written (No space left on device)" in capsys.readouterr().out
    assert len(read_metrics(small_disk / "run" / "metrics.csv")) == 60
    assert not list(small_disk.rglob("*.tmp"))


def test_run_on_a_disk_that_is_full_already_is_refused(small_disk, capsys):
    (small_disk / "run").mkdir()
    fill(small_disk)
    assert main(["train", "data=moons", f"hydra.run.dir={small_disk / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert "Traceback" not in error
