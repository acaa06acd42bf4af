"""Worker processes: real ones, and real signals."""

import atexit
import io
import logging
import logging.handlers
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import defaultdict
from contextlib import suppress

import pytest
import torch

import worker_jobs
from nnlab import collector
from nnlab.sweep import workers
from nnlab.sweep.workers import default_method, run_jobs
from nnlab.trainer.interrupt import Interrupt

#: seconds for which anything is waited for; nothing is asserted on how long it took
LIMIT_S = 60
linux = pytest.mark.skipif(sys.platform != "linux", reason="fork is used on Linux alone")


def run(jobs, num_workers, work, method=None):
    """What became of the jobs that ended badly, and each job's messages."""
    heard = defaultdict(list)
    lost = run_jobs(jobs, num_workers, work, lambda index, message: heard[index].append(message), method=method)
    return lost, heard


class Parent:
    """A process of its own group, forked from this one, that runs jobs.

    Args:
        body: what it does; its exit code is what that returns.
        output: where it and its workers print.
    """

    def __init__(self, body, output):
        self.output = output
        self._all_dead, alive = os.pipe()  # at its end once nobody holds ``alive``
        self.pid = os.fork()
        if self.pid == 0:
            self._be(body)
        os.close(alive)
        with suppress(OSError):
            os.setpgid(self.pid, self.pid)

    def _be(self, body):
        code = 99
        try:
            os.setpgid(0, 0)
            written = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(written, 1)
            os.dup2(written, 2)
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
            collector.claim_process()  # as the command does
            code = body() or 0
        except SystemExit as ending:
            code = ending.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def lines(self):
        return self.output.read_text().splitlines() if self.output.exists() else []

    def wait_for(self, line, count):
        deadline = time.monotonic() + LIMIT_S
        while sum(one.endswith(line) for one in self.lines()) < count:
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.01)

    def exit_code(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def wait_until_all_are_dead(self):
        assert select.select([self._all_dead], [], [], LIMIT_S)[0], "somebody lives"
        assert os.read(self._all_dead, 1) == b""

    def close(self):
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self._all_dead)


@pytest.fixture
def parent_of(tmp_path):
    """Starts a parent of jobs, whose lines are ``index message``."""
    parents = []

    def start(jobs, work, method="fork"):
        def body():
            with Interrupt() as interrupt:
                lost = run_jobs(jobs, 2, work, lambda index, text: print(index, text[:20], flush=True), method=method)
                print(f"lost {lost}", flush=True)
            interrupt.obey()

        return started(body)

    def started(body):
        parents.append(Parent(body, tmp_path / "output.txt"))
        return parents[-1]

    start.body = started
    yield start
    for parent in parents:
        parent.close()


def test_no_jobs_need_no_process_and_no_work():
    assert run([], 4, worker_jobs.pid) == ({}, {})


@pytest.mark.parametrize(("num_jobs", "num_workers"), [(3, 1), (1, 3)])
def test_one_worker_or_one_job_works_in_this_process(num_jobs, num_workers):
    lost, heard = run(range(num_jobs), num_workers, worker_jobs.pid)
    assert (lost, heard) == ({}, {index: [os.getpid()] for index in range(num_jobs)})


@linux
def test_jobs_are_taken_in_order_and_a_process_takes_job_after_job(tmp_path):
    begun = []
    jobs = [(index, 6, tmp_path) for index in range(6)]
    lost = run_jobs(jobs, 2, worker_jobs.first_waits_for_last, lambda index, text: begun.append((index, *text)))
    assert lost == {}
    # Job 0 keeps the first process; the second one has all the others.
    others = [(index, word) for index, word, _ in begun if index > 0]
    assert others == [(index, word) for index in range(1, 6) for word in ("began", "ended")]
    pids = [{pid for index, _, pid in begun if (index == 0) == is_first} for is_first in (True, False)]
    assert [len(one) for one in pids] == [1, 1]
    assert len(set.union(*pids) | {os.getpid()}) == 3


@linux
def test_bursts_of_messages_arrive_whole_and_in_order():
    lost, heard = run([10_000, 10_000, 0], 2, worker_jobs.burst)
    assert lost == {}
    for index, count in enumerate([10_000, 10_000, 0]):
        assert heard[index] == [(number, "x" * 100) for number in range(count)] + ["y" * 5_000_000]


ENDS = {
    "raises": "ValueError: first line; second line",
    "says nothing": "KeyError",
    "leaves": "it left with exit code 3",
    "cannot be sent": "TypeError: cannot pickle '_thread.lock' object",
    "segfaults": "its process was killed by SIGSEGV",
    "exits": "its process ended with exit code 3",
    "is killed": "its process was killed by SIGKILL, as the system does when memory runs out",
}


@linux
def test_jobs_that_end_badly_are_named_and_end_no_other(caplog):
    caplog.set_level(logging.INFO, "nnlab")
    jobs = ["good", *ENDS, "leaves in peace", "good", "good"]
    lost, heard = run(jobs, 2, worker_jobs.end_badly)
    assert {jobs[index] for index in lost} == set(ENDS)
    for index, sentence in lost.items():
        assert sentence.startswith(ENDS[jobs[index]])
    assert heard == {index: [job] for index, job in enumerate(jobs)}  # each was begun, and none was begun twice
    assert f"job {jobs.index('raises')}: Traceback" in caplog.text
    assert 'raise ValueError("first line' in caplog.text


@pytest.mark.parametrize("end", ["raises", "says nothing", "leaves"])
def test_a_job_that_ends_badly_in_this_process_ends_no_other(end):
    lost, heard = run(["good", end, "leaves in peace", "good"], 1, worker_jobs.end_badly)
    assert (lost, sorted(heard)) == ({1: ENDS[end]}, [0, 1, 2, 3])


@linux
def test_a_worker_that_is_killed_costs_its_job_and_a_fresh_one_takes_its_place():
    heard = {}

    def kill(index, pid):
        heard[index] = pid
        if index in (0, 1):
            os.kill(pid, signal.SIGKILL)

    lost = run_jobs(["wait", "wait", "", ""], 2, worker_jobs.wait_to_be_killed, kill)
    assert lost == dict.fromkeys([0, 1], ENDS["is killed"])
    assert sorted(heard) == [0, 1, 2, 3]
    assert not {heard[0], heard[1]} & {heard[2], heard[3]}


@linux
def test_a_worker_whose_own_child_outlives_it_is_found_dead():
    lost, heard = run(["is killed, a child lives", "good"], 2, worker_jobs.end_badly)
    os.kill(heard[0][1], signal.SIGKILL)
    assert lost == {0: ENDS["is killed"]}


@linux
def test_an_error_of_who_listens_ends_the_workers(parent_of):
    def body():
        def refuse(index, message):
            raise RuntimeError("refused")

        try:
            run_jobs(["sleeps", "sleeps"], 2, worker_jobs.work_for_ever, refuse)
        except RuntimeError:
            print("raised", multiprocessing.active_children(), flush=True)

    parent = parent_of.body(body)
    assert parent.exit_code() == 0
    assert parent.lines() == ["raised []"]
    parent.wait_until_all_are_dead()


@linux
@pytest.mark.parametrize("job", ["sleeps", "sends"])
def test_a_parent_that_is_killed_leaves_no_worker_behind(parent_of, job):
    parent = parent_of([job, job], worker_jobs.work_for_ever)
    parent.wait_for(" began", 2)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait_until_all_are_dead()
    assert "Traceback" not in parent.output.read_text()


CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 75), (signal.SIGUSR2, 75)]


@linux
@pytest.mark.parametrize(
    ("number", "code", "is_for_all"), [*((*pair, True) for pair in CODES), (signal.SIGINT, 130, False)]
)
def test_a_signal_lets_jobs_save_and_no_further_one_begin(parent_of, number, code, is_for_all):
    parent = parent_of(["one", "two", "three"], worker_jobs.save_when_told)
    parent.wait_for(" began", 2)
    (os.killpg if is_for_all else os.kill)(parent.pid, number)
    assert parent.exit_code() == code
    told = [line for line in parent.lines() if "a second signal ends at once" not in line]
    assert sorted(told[:-1]) == ["0 began", f"0 saved {number.name}", "1 began", f"1 saved {number.name}"]
    assert told[-1] == "lost {}"
    parent.wait_until_all_are_dead()


@linux
def test_a_signal_is_acknowledged_once_and_not_by_every_worker(parent_of):
    parent = parent_of(["one", "two"], worker_jobs.save_when_told)
    parent.wait_for(" began", 2)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.exit_code() == 130
    assert sum("a second signal ends at once" in line for line in parent.lines()) == 1


@linux
def test_a_second_signal_ends_everything_at_once(parent_of):
    parent = parent_of(["told", "told"], worker_jobs.work_for_ever)
    parent.wait_for(" began", 2)
    os.killpg(parent.pid, signal.SIGTERM)
    parent.wait_for(" heard", 2)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.exit_code() == 130
    parent.wait_until_all_are_dead()
    assert "Traceback" not in parent.output.read_text()


def test_a_signal_in_this_process_keeps_the_next_job_from_beginning(tmp_path):
    heard = []
    with Interrupt() as interrupt:
        lost = run_jobs([tmp_path, tmp_path], 1, worker_jobs.be_told_to_end, lambda *news: heard.append(news))
    assert (lost, heard, interrupt.received) == ({}, [(0, "began")], signal.SIGTERM)
    assert (tmp_path / "done").exists()


def test_a_spawned_worker_hears_no_signal_but_its_parents_even_while_it_starts(monkeypatch):
    monkeypatch.setenv("STRIKE_AT_IMPORT", "1")
    lost, heard = run(["a", "b", "c"], 2, worker_jobs.pid, method="spawn")
    assert (lost, sorted(heard)) == ({}, [0, 1, 2])
    assert os.getpid() not in {pid for pids in heard.values() for pid in pids}


@linux
def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(workers, "num_cores", lambda: 7)
    _, heard = run(range(2), 2, worker_jobs.threads, method="fork")
    assert heard == {index: [(3, "3", min(3, os.cpu_count()))] for index in range(2)}
    _, heard = run(range(8), 8, worker_jobs.threads)
    assert heard == {index: [(1, "1", 1)] for index in range(8)}


def test_default_method_forks_only_where_that_is_safe(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [default_method(num_threads) for num_threads in (1, 2)] == ["fork", "spawn"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_method(1) == "spawn"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_method(1) == "spawn"


def test_default_method_forks_no_program_of_somebody_else_with_threads(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    found = []
    for is_ours in (True, False):
        monkeypatch.setattr(collector, "is_sole_user", lambda is_ours=is_ours: is_ours)
        found.append(default_method(1))
    assert found == ["fork", "spawn"]


UNGUARDED = """
import worker_jobs
from nnlab.sweep.workers import run_jobs

print("whole program")
run_jobs([0, 1], 2, worker_jobs.pid, lambda index, message: print("did", index), method="spawn")
"""


def test_spawned_workers_do_not_run_the_program_again(tmp_path):
    (tmp_path / "unguarded.py").write_text(UNGUARDED)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [sys.executable, str(tmp_path / "unguarded.py")]
    answer = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert (sorted(answer.stdout.splitlines()), answer.stderr) == (["did 0", "did 1", "whole program"], "")


MANY_THREADS = """
import torch, worker_jobs
from nnlab.sweep.workers import run_jobs

torch.set_num_threads(2)
worker_jobs.multiply(None, print)
said = lambda index, text: print(index, text, flush=True)
print("lost", run_jobs("ab", 2, worker_jobs.multiply, said, method="fork"))
"""


@linux
@pytest.mark.skipif(torch.cuda.is_available(), reason="workers are forked only where there is no CUDA")
def test_forked_workers_compute_although_their_parent_used_many_threads():
    # A new process: one forked from this one, which may have used many threads, must not use many.
    paths = os.pathsep.join(path for path in sys.path if path)
    answer = subprocess.run(
        [sys.executable, "-c", MANY_THREADS],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "2"},
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    expected = ["0 multiplied", "1 multiplied", "lost {}", "multiplied"]
    assert sorted(answer.stdout.splitlines()) == expected, answer.stderr


@linux
def test_workers_print_nothing_but_errors_and_repeat_nothing_of_their_parent(parent_of, tmp_path):
    def body():
        atexit.register(os.write, 2, b"exit handler\n")
        buffered = logging.handlers.MemoryHandler(10, target=logging.FileHandler(tmp_path / "log.txt"))
        logging.getLogger().addHandler(buffered)
        logging.getLogger().warning("logged")
        sys.stderr = io.StringIO()  # as a live line replaces it
        print("half a line")
        run_jobs("ab", 2, worker_jobs.chatter, print, method="fork")
        print("the other half")

    parent = parent_of.body(body)
    assert parent.exit_code() == 0
    assert sorted(parent.lines()) == ["an error of a worker"] * 4 + ["half a line", "the other half"]
    assert (tmp_path / "log.txt").read_text() == "logged\n"


def test_work_that_no_other_process_can_find_is_refused_even_where_none_has_to():
    with pytest.raises(AttributeError, match="local object"):
        run_jobs([1], 1, lambda job, send: None, print)
