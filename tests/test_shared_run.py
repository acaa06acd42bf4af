"""One run on several processes, by a real torchrun: its numbers, its files, what a lost process costs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

import shared_cases
from nnlab.world import joined

ROOT = Path(__file__).parents[1]
#: 4 steps an epoch, 160 in all
RUN = ["train", "data=moons", "data.num_train=60", "data.num_valid=21", "data.num_test=20", "data.batch_size=16"]
RUN += ["model.width=5", "model.dropout=0.2", "trainer.max_epochs=40", "trainer.checkpoint_every=8", "device=cpu"]
RUN += ["figures=[]", "trainer.precision=fp64"]
#: each step takes some milliseconds, so that there is a middle to be struck in
SLOW = '''
import time
from nnlab.callback import Callback

class Slow(Callback):
    """Waits at every evaluation."""
    def on_evaluation(self, view, epoch, step, metrics):
        time.sleep(0.05)
'''


STANDALONE = ("--standalone",)
#: as torchrun is without any of them, but for its port, which another torchrun may have
WITHOUT_ID = ("--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0")


def command(*words, torchrun=(), meeting=STANDALONE):
    start = ["-m", "torch.distributed.run", *meeting, "--nproc-per-node", "2", *torchrun]
    return [sys.executable, *start, *words]


def environment(folder):
    paths = [str(ROOT / "src"), str(ROOT / "tests"), str(folder)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def torchrun(folder, *words, options=()):
    return subprocess.run(
        command(*words, torchrun=options), cwd=folder, env=environment(folder), capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def rows(folder):
    lines = (folder / "metrics.csv").read_text().splitlines()
    place = lines[0].split(",").index("time_s")
    return [[cell for at, cell in enumerate(line.split(",")) if at != place] for line in lines]


def weights(folder):
    last = json.loads((folder / "checkpoints" / "last.json").read_text())
    return load_file(folder / "checkpoints" / f"{last['step']}.safetensors")


def assert_same_bits(a, b):
    assert rows(a) == rows(b)
    ours, theirs = weights(a), weights(b)
    assert {name: one.tobytes() for name, one in ours.items()} == {name: one.tobytes() for name, one in theirs.items()}


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What each of two processes came to."""
    folder = tmp_path_factory.mktemp("cases")
    answer = torchrun(folder, str(ROOT / "tests" / "shared_cases.py"), str(folder))
    assert answer.returncode == 0, answer.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("name", list(shared_cases.CASES))
def test_two_processes_compute_what_one_does(name, shared):
    alone = shared_cases.train(name)
    found = shared[0][name]
    assert found["status"] == alone["status"] == shared_cases.ENDS.get(name, "completed")
    assert found["weights"] == pytest.approx(alone["weights"], rel=1e-6, abs=1e-9)
    assert [row.keys() for row in found["history"]] == [row.keys() for row in alone["history"]]
    for ours, theirs in zip(found["history"], alone["history"], strict=True):
        assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=1e-6, abs=1e-12)


def test_each_process_computes_its_own_rows(shared):
    """Else equal numbers would say nothing."""
    # Five epochs of six batches of 16, one of 5, and 33 valid rows.
    assert [found["classes"]["rows"] for found in shared] == [5 * (6 * 8 + 2 + 16), 5 * (6 * 8 + 3 + 17)]
    assert shared_cases.train("classes")["rows"] == 5 * (101 + 33)


def test_parameters_are_the_same_bits_in_every_process(shared):
    for name in shared_cases.CASES:
        assert shared[0][name]["digest"] == shared[1][name]["digest"], name
        assert shared[0][name]["history"] == shared[1][name]["history"], name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run on two processes that nobody disturbs, and what it printed."""
    work = tmp_path_factory.mktemp("whole")
    (work / "slowly.py").write_text(SLOW)
    answer = torchrun(work, "-m", "nnlab", *RUN)
    assert answer.returncode == 0, answer.stderr
    (folder,) = (work / "outputs" / "moons").iterdir()
    return folder, answer


def test_first_process_alone_writes_and_speaks(whole):
    folder, answer = whole
    assert answer.stdout.count("completed: all epochs are done") == 1
    assert answer.stdout.count("nnlab 0.1.0") == 1
    assert "2 by gloo; of each batch of 16 rows, 8 each" in answer.stdout
    choices = json.loads((folder / "run.json").read_text())["choices"]
    assert (choices["processes"], choices["engine_reason"]) == (2, "2 processes share each batch")
    assert result(folder)["status"] == "completed"
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert subprocess.run(
        [sys.executable, "-m", "nnlab", "verify", str(folder)], env=environment(folder), check=False, timeout=60
    ).returncode == 0  # fmt: skip


def test_metrics_are_those_of_one_process(whole, tmp_path):
    folder, _ = whole
    words = [sys.executable, "-m", "nnlab", *RUN, "trainer.compile=off", f"hydra.run.dir={tmp_path / 'alone'}"]
    assert subprocess.run(words, cwd=tmp_path, env=environment(tmp_path), check=False, timeout=60).returncode == 0
    for ours, theirs in zip(rows(folder)[1:], rows(tmp_path / "alone")[1:], strict=True):
        assert list(map(float, ours)) == pytest.approx(list(map(float, theirs)), rel=1e-6)
    ours, theirs = result(folder)["test"], result(tmp_path / "alone")["test"]
    assert ours == pytest.approx(theirs, rel=1e-6)


def begun(folder, words, options, meeting=STANDALONE):
    """A run that is at work, once it has some rows."""
    process = subprocess.Popen(
        command("-m", "nnlab", *words, torchrun=options, meeting=meeting), cwd=folder, env=environment(folder),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for _ in range(600):
        if any(len(table.read_text().splitlines()) > 12 for table in folder.rglob("metrics.csv")):
            return process
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.kill()
    raise AssertionError("it never came to its tenth row")


def children(process):
    words = ["ps", "-o", "pid=", "--ppid", str(process.pid)]
    return sorted(map(int, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()))


def slowed(folder):
    (folder / "slowly.py").write_text(SLOW)
    own = folder / "own" / "callback"
    own.mkdir(parents=True)
    (own / "slow.yaml").write_text("# Waits at every evaluation\nslow:\n  _target_: slowly.Slow\n")
    return [*RUN, "--config-dir", "own", "callback=[slow]", "plugins=[slowly]", "hydra.run.dir=run"]


def test_killed_process_costs_nothing_but_time(whole, tmp_path):
    process = begun(tmp_path, slowed(tmp_path), ["--max-restarts", "1"])
    os.kill(children(process)[-1], signal.SIGKILL)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    assert_same_bits(tmp_path / "run", whole[0])
    history = json.loads((tmp_path / "run" / "run.json").read_text())["history"]
    assert len(history) == 1
    assert history[0]["step"] > 0
    assert result(tmp_path / "run")["status"] == "completed"


def test_first_process_killed_where_torchrun_has_no_id_goes_on_in_its_folder(whole, tmp_path):
    process = begun(tmp_path, slowed(tmp_path)[:-1], ["--max-restarts", "1"], WITHOUT_ID)
    os.kill(children(process)[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    (folder,) = (tmp_path / "outputs" / "moons").iterdir()
    assert folder.name.startswith("torchrun_")
    assert_same_bits(folder, whole[0])
    assert len(json.loads((folder / "run.json").read_text())["history"]) == 1


def test_run_that_one_process_compiled_goes_on_in_two(tmp_path):
    words = [sys.executable, "-m", "nnlab", *RUN, "trainer.max_epochs=1", "trainer.precision=fp32", "hydra.run.dir=run"]
    subprocess.run(words, cwd=tmp_path, env=environment(tmp_path), check=True, timeout=60)
    path = tmp_path / "run" / "run.json"
    content = json.loads(path.read_text())
    content["choices"] |= {"engine": "native", "compile": "step"}  # as a run of many steps has it
    path.write_text(json.dumps(content))
    (tmp_path / "run" / "manifest.json").unlink()
    answer = torchrun(tmp_path, "-m", "nnlab", "resume", "run", "trainer.max_epochs=2")
    assert answer.returncode == 0, answer.stderr
    assert result(tmp_path / "run")["epochs"] == 2
    assert any("begun on 1 process, goes on with 2" in note for note in result(tmp_path / "run")["notes"])


def test_terminated_run_is_saved_and_goes_on_to_the_same_bits(whole, tmp_path):
    words = slowed(tmp_path)
    process = begun(tmp_path, words, [])
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    stopped = result(tmp_path / "run")
    assert stopped["status"] == "interrupted", output
    assert 0 < stopped["steps"] < 160
    saved = json.loads((tmp_path / "run" / "checkpoints" / "last.json").read_text())["step"]
    assert saved == stopped["steps"]  # nothing is done twice
    answer = torchrun(tmp_path, "-m", "nnlab", "resume", "run", "plugins=[slowly]")
    assert answer.returncode == 0, answer.stderr
    assert_same_bits(tmp_path / "run", whole[0])
    again = torchrun(tmp_path, "-m", "nnlab", *words[:-1], "hydra.run.dir=run", "seed=5")
    assert again.returncode != 0
    assert "already holds a run of another command" in again.stderr


def test_other_verbs_are_the_first_process_alone(tmp_path):
    answer = torchrun(tmp_path, "-m", "nnlab", "--version")
    assert answer.returncode == 0
    assert answer.stdout.count("nnlab 0.1.0") == 1


REFUSED = [
    (["-m", "seed=0,1"], "torchrun: its processes train one run together"),
    (["model.norm=batch"], "torch synchronizes batch norm on CUDA alone"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_processes_cannot_share_is_refused_once(words, message, tmp_path):
    answer = torchrun(tmp_path, "-m", "nnlab", *RUN, *words)
    assert answer.returncode != 0
    assert answer.stderr.count(message) == 1
    assert not list(tmp_path.glob("outputs/*/*/run.json"))


LATE = """
import os, time
if os.environ.get("RANK") == "0":
    time.sleep(3)
"""


def test_first_process_says_what_is_wrong_though_another_finds_it_first(tmp_path):
    words = slowed(tmp_path)[:-1]
    (tmp_path / "slowly.py").write_text(LATE + SLOW)
    answer = torchrun(tmp_path, "-m", "nnlab", *words, "optim.lr=-1")
    assert answer.returncode != 0
    assert answer.stderr.count("nnlab train: optim.lr: ") == 1, answer.stderr
    assert "process 1: optim.lr" not in answer.stderr


def test_error_of_one_process_alone_is_said_and_ends_all(tmp_path):
    words = slowed(tmp_path)[:-1]
    (tmp_path / "slowly.py").write_text('import os\nassert os.environ.get("RANK") != "1"\n' + SLOW)
    answer = torchrun(tmp_path, "-m", "nnlab", *words)
    assert answer.returncode != 0
    assert answer.stderr.count("nnlab train, process 1: ") == 1, answer.stderr


@pytest.mark.parametrize(
    ("device", "message"), [("cuda:1", "use device=cuda"), ("auto", "than its 1 CUDA device: use --nproc-per-node 1")]
)
def test_gpu_that_processes_would_share_is_refused(device, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ValueError, match=message), joined(device):
        pass
