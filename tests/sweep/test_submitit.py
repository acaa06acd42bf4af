"""Sweeps by jobs of submitit: processes of this machine, and a real SLURM on it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

import nnlab
import slurm_cluster
from cluster_sweeps import ALONE, COMMON, LIMIT_S, by_seed, shown_steps, weights
from nnlab.cli import main
from nnlab.sweep.submitit_task import read_letters
from sweep_files import members, result_of, rows, run_of

pytestmark = [
    pytest.mark.skipif(find_spec("submitit") is None, reason="needs the extra nnlab[slurm]"),
    # submitit's own: it keeps the processes that it starts until they are collected.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SOURCE = Path(nnlab.__file__).parents[1]
#: a stack of three beside three that no stack holds
WORDS = ["trainer.precision=fp32,bf16", "seed=range(3)"]


def local(*words):
    return main(["train", "-m", "hydra/launcher=submitit_local", *COMMON, "hydra.sweep.dir=sweep", *words])


def same(folder="sweep", other="whole"):
    """Whether members of two sweeps completed with the same bits, each point of TensorBoard once."""
    for ours, theirs in zip(members(folder), members(other), strict=True):
        assert result_of(ours)["status"] == "completed"
        assert rows(ours) == rows(theirs)
        assert weights(ours) == weights(theirs)
        assert shown_steps(ours) == list(range(4, 41, 4))
    return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the members come to that nothing disturbs, trained without submitit."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    assert main(["train", "-m", *COMMON, *WORDS, "hydra.launcher.num_workers=2", f"hydra.sweep.dir={folder}"]) == 0
    return folder


def when(is_so, then):
    """Do something as soon as something is so, beside the sweep; what did it."""

    def wait():
        deadline = time.monotonic() + LIMIT_S
        while not is_so():
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)
        then()
        thread.is_done = True

    thread = threading.Thread(target=wait)
    thread.is_done = False
    thread.start()
    return thread


def is_saved(folder="sweep"):
    return bool(list(Path(folder).glob("stacks/*/checkpoints/last.json")))


def worker_of_the_stack():
    """The process id of the job that trains the stack: the longest, and so the first."""
    (path,) = Path("sweep").glob(".submitit/*/1.jsonl")
    letters = [json.loads(line) for line in path.read_text().splitlines() if line]
    return next(rest[0] for kind, *rest in letters if kind == "at work")


def test_sweep_has_the_bits_of_one_without_submitit(own, whole, capsys):
    assert local(*WORDS, "hydra.launcher.num_workers=2") == 0
    assert "as 2 jobs of submitit on this machine, each with 1 core for 60 min" in capsys.readouterr().out
    assert same(other=whole)
    assert not Path("sweep/.submitit").exists()
    assert not Path("sweep/stacks").exists()


def test_job_whose_queue_takes_its_place_back_goes_on_to_the_same_bits(own, whole, capsys):
    thread = when(is_saved, lambda: os.kill(worker_of_the_stack(), signal.SIGUSR2))
    assert local(*own, *WORDS, "callback=[slow]", "hydra.launcher.num_workers=2") == 0
    thread.join()
    assert thread.is_done
    assert same(other=whole)
    printed = capsys.readouterr().out
    assert printed.count("is saved, and queued again") == 1
    again = [path for path in members() if run_of(path).get("history")]
    assert len(again) == 3
    for path in again:
        (entry,) = run_of(path)["history"]
        assert entry["status"] == "preempted"
        assert 0 < entry["step"] < 40
        assert any("its queue took its place back" in note for note in result_of(path)["notes"])
    logs = [path.read_text() for path in Path("sweep").glob(".submitit/*/*_log.*")]
    assert sum(text.count("Requeued job") for text in logs) == 1
    assert not list(Path("sweep").rglob("*.pkl"))
    assert not list(Path("sweep").rglob("*.jsonl"))


def test_killed_job_begins_again_and_a_deadly_member_fails_alone(own, whole, capsys):
    words = [ALONE, "seed=0,1,2", "hydra.launcher.num_workers=1", "callback=[slow,deadly]"]
    assert local(*own, *words) == 1
    printed = capsys.readouterr().out
    assert printed.count("its process died; the job goes on from what is saved") == 2
    assert "the last of 2 times (hydra.launcher.max_retries=1); the same command goes on with it" in printed
    found, other = by_seed(), {run_of(path)["config"]["seed"]: path for path in members(whole)[3:]}
    for seed in (0, 2):
        assert result_of(found[seed])["status"] == "completed"
        assert weights(found[seed]) == weights(other[seed])
        assert shown_steps(found[seed]) == list(range(4, 41, 4))
    (entry,) = run_of(found[0])["history"]
    assert entry["step"] >= 16  # it died in the fifth epoch of four steps, and was saved after each
    assert "history" not in run_of(found[2]) or run_of(found[2])["history"] == []


def test_job_whose_time_is_up_too_often_is_given_up_and_can_be_gone_on_with(own, capsys):
    # submitit takes a job of a minute that is told to end for one whose time is up.
    words = [ALONE, "seed=0,1", "hydra.launcher.max_num_timeout=0", "hydra.launcher.timeout_min=1"]
    words += ["hydra.launcher.signal_delay_s=30", "hydra.launcher.num_workers=1"]
    thread = when(
        lambda: list(Path("sweep").glob("0_*/checkpoints/last.json")),
        lambda: os.kill(worker_of_the_stack(), signal.SIGUSR2),
    )
    assert local(*own, *words, "callback=[slow]") == 1
    thread.join()
    assert thread.is_done
    assert "timed-out too many times" in capsys.readouterr().out
    first, second = members()
    assert 0 < result_of(first)["steps"] < 40
    assert not (second / "run.json").exists()
    assert local(*own, *words, "callback=[slow]") == 0
    assert [result_of(path)["status"] for path in members()] == ["completed"] * 2


def test_half_a_message_costs_itself_alone(tmp_path):
    path = tmp_path / "1.jsonl"
    path.write_text('\n["at work", 7]\n["ended", 3, {"cont\n["over"]\n["advan')
    found, offset = read_letters(path, 0)
    assert found == [["at work", 7], ["over"]]
    with path.open("a") as file:
        file.write('ced", 3, 0.5]\n')
    assert read_letters(path, offset)[0] == [["advanced", 3, 0.5]]
    assert read_letters(tmp_path / "none.jsonl", 5) == ([], 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ended_sweep_is_gone_on_with_by_the_same_command(number, own, whole):
    words = [*own, *WORDS, "callback=[slow]", "hydra.launcher.num_workers=2", "hydra.sweep.dir=sweep"]
    command = [sys.executable, "-m", "nnlab", "train", "-m", "hydra/launcher=submitit_local", *COMMON, *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE), str(Path.cwd())])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not is_saved():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        process.wait(LIMIT_S)
    finally:
        process.kill()
        process.stdout.close()
    if number == signal.SIGTERM:
        assert process.returncode == 143
        stopped = [path for path in members() if (path / "result.json").exists()]
        assert "interrupted" in [result_of(path)["status"] for path in stopped]
    # After SIGKILL the jobs go on, as they would in a cluster, until the next command tells them to end.
    assert local(*words) == 0
    assert same(other=whole)


#: what is typed -> what is said, with exit code 2
REFUSED = {
    "hydra.launcher.timeout_min=0": "hydra.launcher.timeout_min: expected at least 1, found 0",
    "hydra.launcher.cpus_per_task=0": "hydra.launcher.cpus_per_task: expected at least 1, found 0",
    "hydra.launcher.gpus_per_node=-1": "hydra.launcher.gpus_per_node: expected at least 0, found -1",
    "hydra.launcher.mem_gb=0": "hydra.launcher.mem_gb: expected GB, above 0, or null, found 0",
    "hydra.launcher.name='a b'": "hydra.launcher.name: expected letters, digits, '-', '_' and '.', found 'a b'",
    "hydra.launcher.num_workers=0": "hydra.launcher.num_workers: expected at least 1, found 0",
    "hydra.launcher.max_num_timeout=-1": "hydra.launcher.max_num_timeout: expected at least 0, found -1",
    "hydra.launcher.signal_delay_s=3600": "hydra.launcher.signal_delay_s: expected less than the 3600 seconds",
    "hydra.launcher.max_retries=-1": "hydra.launcher.max_retries: expected at least 0, found -1",
    "hydra.launcher.partition=gpu": "partition",
}


@pytest.mark.parametrize("word", REFUSED)
def test_values_that_mean_nothing_are_refused(word, own, capsys):
    assert local("seed=0,1", word) == 2
    assert REFUSED[word] in capsys.readouterr().err
    assert not Path("sweep").exists()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra.launcher.setup=module", "hydra.launcher.setup: expected lines of shell"),
        ("hydra.launcher.additional_parameters=[1]", "hydra.launcher.additional_parameters: expected sbatch's own"),
        ("hydra.launcher.additional_parameters={a:[1]}", "hydra.launcher.additional_parameters: a: expected a text"),
    ],
)
def test_values_of_slurm_that_mean_nothing_are_refused(word, said, own, capsys):
    assert local("hydra/launcher=submitit_slurm", "seed=0,1", word) == 2
    assert said in capsys.readouterr().err
    assert not Path("sweep").exists()


def test_absent_submitit_is_named_with_its_extra(own, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert local("seed=0,1") == 2
    assert "hydra/launcher=submitit_local needs submitit: pip install 'nnlab[slurm]'" in capsys.readouterr().err


def test_machine_without_slurm_is_named(own, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert local("hydra/launcher=submitit_slurm", "seed=0,1") == 2
    assert "this machine has no sbatch, a command of SLURM" in capsys.readouterr().err


def test_plan_and_python_take_it(own, capsys):
    assert local("--plan", "seed=range(12)", "hydra.launcher.num_workers=3") == 0
    printed = capsys.readouterr().out
    assert "12 members in 3 stacks of 4" in printed
    assert "as 3 jobs of submitit on this machine" in printed
    assert not Path("sweep").exists()
    found = nnlab.sweep(["hydra/launcher=submitit_local", *COMMON, "seed=0,1"], folder="sweep")
    assert [result.status for result in found] == ["completed"] * 2


@pytest.fixture(scope="module")
def slurm():
    reason = slurm_cluster.why_not()
    if reason is not None:
        pytest.skip(reason)
    with slurm_cluster.slurm() as config:
        yield config


def on_slurm(*words):
    launcher = ["hydra/launcher=submitit_slurm", "hydra.launcher.num_workers=2", "hydra.launcher.signal_delay_s=30"]
    return main(["train", "-m", *launcher, *COMMON, "hydra.sweep.dir=sweep", *words])


def first_of_array():
    """The id of the job of SLURM that trains the stack."""
    (path,) = Path("sweep").glob(".submitit/*/*_0_submitted.pkl")
    return path.name.removesuffix("_submitted.pkl")


@pytest.fixture
def in_queue(own, slurm, monkeypatch):
    """SLURM's own words for what it does with jobs, as long as the sweep lasts."""
    monkeypatch.setattr("nnlab.sweep.slurm_queue.LOOK_S", 0.5)
    monkeypatch.setattr("nnlab.sweep.by_submitit.PATIENCE_S", 1.0)
    return lambda *command: subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S)


def test_jobs_of_slurm_have_the_bits_of_processes(in_queue, own, whole, capsys):
    words = [
        "hydra.launcher.partition=low",
        "hydra.launcher.setup=['export FROM_SETUP=1']",
        "hydra.launcher.mem_gb=0.2",
    ]
    assert on_slurm(*WORDS, *words, "hydra.launcher.additional_parameters={comment: tests}") == 0
    assert "as 2 jobs of SLURM, each with 1 core, 0.2 GB for 60 min, partition low" in capsys.readouterr().out
    assert same(other=whole)
    assert not Path("sweep/.submitit").exists()


@pytest.mark.parametrize("way", ["USR2", "TERM and what is queued with priority", "KILL"])
def test_slurm_takes_a_place_back_and_gives_another(way, in_queue, own, whole, capsys):
    def disturb():
        job = first_of_array()
        if way == "USR2":
            in_queue("scancel", "--signal=USR2", job)
        elif way == "KILL":
            os.kill(worker_of_the_stack(), signal.SIGKILL)
        else:
            in_queue("srun", "--partition=high", "--ntasks=2", "sleep", "0.1")
        if way != "KILL":  # SLURM lets a job that is queued again wait for two minutes
            waiting = []
            while job not in waiting:
                time.sleep(0.1)
                found = in_queue("squeue", "--array", "--noheader", "--states=PENDING", "--format=%i")
                waiting = found.stdout.split()
            time.sleep(3)  # a node starts no job within a second of having ended it
            for each in waiting:
                in_queue("scontrol", "update", "StartTime=now", f"JobId={each}")

    thread = when(is_saved, disturb)
    assert on_slurm(*own, *WORDS, "callback=[slow]") == 0
    thread.join()
    assert thread.is_done
    assert same(other=whole)
    again = [path for path in members() if run_of(path).get("history")]
    assert len(again) >= 3
    printed = capsys.readouterr().out
    assert ("is saved, and queued again" in printed) == (way == "USR2")
    assert ("of SLURM ended: FAILED; the job goes on from what is saved" in printed) == (way == "KILL")


def test_cancelled_job_is_given_up(in_queue, own, capsys):
    thread = when(is_saved, lambda: in_queue("scancel", first_of_array()))
    assert on_slurm(*own, *WORDS, "callback=[slow]") == 1
    thread.join()
    assert thread.is_done
    assert "of SLURM ended: CANCELLED; the same command goes on with it" in capsys.readouterr().out
    statuses = [result_of(path)["status"] for path in members() if (path / "result.json").exists()]
    assert statuses.count("completed") >= 1
    assert on_slurm(*own, *WORDS, "callback=[slow]") == 0
    assert [result_of(path)["status"] for path in members()] == ["completed"] * 6


def test_what_slurm_refuses_is_said_in_its_words(in_queue, own, capsys):
    assert on_slurm("seed=0,1", "hydra.launcher.partition=moon") == 2
    assert "SLURM refuses the jobs: sbatch: error: invalid partition specified: moon" in capsys.readouterr().err
    assert not Path("sweep/.submitit").exists()
