"""What only a process of its own can show: signals, the console script, the installed wheel."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnlab.native import library

ROOT = Path(__file__).resolve().parents[1]
NNLAB = [sys.executable, "-m", "nnlab"]


def start(work, *words, members="*/*"):
    """A training that would go on for hours, once it has its first rows, and its folder."""
    process = subprocess.Popen(
        [*NNLAB, "train", "data=moons", "trainer.max_epochs=1000000", *words],
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = list((work / "outputs").glob(f"{members}/metrics.csv"))
        if found and found[0].read_text().count("\n") > 3:
            return process, found[0].parent
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate())


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "interrupted"), (signal.SIGUSR1, 75, "preempted")],
)
def test_signal_saves_and_ends_with_its_code(number, code, status, tmp_path):
    process, folder = start(tmp_path)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == status
    assert result["steps"] > 0
    last = json.loads((folder / "checkpoints" / "last.json").read_text())
    assert last["step"] == result["steps"]
    assert f"{status}: {number.name}" in output


def test_killed_run_leaves_whole_files_and_says_running(tmp_path):
    process, folder = start(tmp_path, "trainer.checkpoint_every=1ep")
    process.kill()
    process.communicate(timeout=60)
    assert json.loads((folder / "result.json").read_text())["status"] == "running"
    last = json.loads((folder / "checkpoints" / "last.json").read_text())
    assert (folder / "checkpoints" / f"{last['step']}.safetensors").exists()


def test_interrupted_sweep_starts_no_further_member(tmp_path):
    alone = ["trainer.precision=bf16", "hydra.launcher.num_workers=1"]
    process, folder = start(tmp_path, "-m", "seed=0,1", *alone, members="*/*/*")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(list(folder.parent.glob("*/run.json"))) == 1


def test_reader_that_goes_away_ends_no_run(tmp_path):
    command = [*NNLAB, "train", "data=moons", "trainer.max_epochs=3", "logger=[]"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        errors = process.stderr.read()
    assert (process.wait(timeout=60), errors) == (0, "")
    (result,) = tmp_path.glob("outputs/moons/*/result.json")
    assert json.loads(result.read_text())["status"] == "completed"


def test_wheel_installed_without_the_repository_trains(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    answer = subprocess.run(build, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    answer = subprocess.run(install, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    environment = os.environ | {"PYTHONPATH": str(site)}
    where = "import nnlab, nnlab.config as c; print(nnlab.__file__); print(c.config_folder())"
    answer = subprocess.run(
        [sys.executable, "-c", where], cwd=work, env=environment, capture_output=True, text=True, check=True
    )
    assert all(line.startswith(str(site)) for line in answer.stdout.split())
    assert {path.name for path in (site / "hydra_plugins").glob("*.py")} == {
        path.name for path in (ROOT / "src" / "hydra_plugins").glob("*.py")
    }
    command = [*NNLAB, "train", "model=mlp", "optim=adam", "data=moons", "trainer.max_epochs=3"]
    if library.compiler() is not None:
        command.append("trainer.compile=step")  # the sources in C are part of the wheel
    answer = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "completed" in answer.stdout
    assert list(work.glob("outputs/moons/*/figures/decision_map.png"))


def test_console_script_is_the_same_program():
    script = Path(sys.executable).with_name("nnlab")
    if not script.exists():
        pytest.skip("nnlab is not installed into this environment, so there is no console script")
    outputs = [
        subprocess.run([*program, "--version"], capture_output=True, text=True, check=True).stdout
        for program in ([str(script)], NNLAB)
    ]
    assert outputs[0] == outputs[1]
