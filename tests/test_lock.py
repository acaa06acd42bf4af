"""One process at a time works on a run: real processes, real locks."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import nnlab
from nnlab import lock
from nnlab.folder import FolderError
from nnlab.lock import RunLock, is_locked

HOLD = """
import sys, time
from pathlib import Path
from nnlab.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
print(sorted(name for name in ("torch", "hydra", "numpy") if name in sys.modules))
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock until its input ends."""
    environment = os.environ | {"PYTHONPATH": str(Path(nnlab.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_second_process_is_refused_naming_the_first(tmp_path, other):
    assert (tmp_path / ".lock").read_text() == f"{other.pid}\n"
    assert is_locked(tmp_path)
    with pytest.raises(FolderError, match=rf"{tmp_path} is in use: process {other.pid} works on it and must end first"):
        RunLock(tmp_path).acquire()
    assert other.poll() is None


def test_process_that_ends_leaves_no_lock_and_needs_no_torch(tmp_path, other):
    answer, _ = other.communicate("")
    assert answer == "[]\n"
    assert os.listdir(tmp_path) == []
    assert not is_locked(tmp_path)


def test_process_that_is_killed_frees_its_lock(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / ".lock").exists()
    assert not is_locked(tmp_path)
    with RunLock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
        assert is_locked(tmp_path)
    assert os.listdir(tmp_path) == []


def test_second_lock_of_the_same_process_is_refused_until_the_first_is_released(tmp_path):
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    assert first.acquire() is None
    with pytest.raises(FolderError, match=rf"process {os.getpid()} \(this one\)"):
        second.acquire()
    first.release()
    first.release()
    assert second.acquire() is None
    second.release()


def test_lock_whose_file_was_deleted_and_made_again_leaves_the_new_file(tmp_path):
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    first.acquire()
    (tmp_path / ".lock").unlink()
    second.acquire()
    first.release()
    assert is_locked(tmp_path)
    second.release()
    assert os.listdir(tmp_path) == []


def test_lock_that_is_released_between_opening_and_locking_is_taken_on_the_new_file(tmp_path, monkeypatch):
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    first.acquire()

    def flock(descriptor, operation, flock=lock.fcntl.flock):
        first.release()
        flock(descriptor, operation)

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    second.acquire()
    monkeypatch.undo()
    assert is_locked(tmp_path)
    second.release()


def test_lock_that_is_fought_over_has_one_holder_at_a_time(tmp_path):
    """Taking, deleting and making the file again leaves no moment in which two hold it."""
    holders, seen = [], []

    def work():
        for _ in range(40):
            try:
                with RunLock(tmp_path):
                    holders.append(1)
                    seen.append(len(holders))
                    holders.pop()
            except FolderError:
                seen.append(0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) <= {0, 1}
    assert seen.count(1) > 100
    assert os.listdir(tmp_path) == []


def test_looking_again_and_again_never_keeps_the_lock_from_who_wants_it(tmp_path):
    (tmp_path / ".lock").touch()
    stop = threading.Event()

    def look():
        while not stop.is_set():
            is_locked(tmp_path)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            with RunLock(tmp_path):
                pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_looking_writes_nothing(tmp_path):
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "nothing")
    assert os.listdir(tmp_path) == []


def test_children_do_not_inherit_the_lock(tmp_path):
    with RunLock(tmp_path) as held:
        assert not os.get_inheritable(held._descriptor)
        started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
        forked = os.fork()
        if forked == 0:
            signal.pause()
            os._exit(0)
    try:
        assert not is_locked(tmp_path)
        with RunLock(tmp_path):
            pass
    finally:
        os.kill(forked, signal.SIGKILL)
        os.waitpid(forked, 0)
        started.communicate(b"\n")


def test_forked_child_that_leaves_the_block_keeps_its_parents_lock(tmp_path):
    with RunLock(tmp_path) as held:
        forked = os.fork()
        if forked == 0:
            held.release()
            os._exit(0)
        assert os.waitpid(forked, 0)[1] == 0
        assert is_locked(tmp_path)


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "pipe", "folder"])
def test_lock_file_that_is_not_a_plain_file_is_refused(kind, tmp_path):
    folder, victim = tmp_path / "run", tmp_path / "victim"
    folder.mkdir()
    path = folder / ".lock"
    if kind != "dangling link":
        victim.write_text("precious")
    if "hard" in kind:
        path.hardlink_to(victim)
    elif "link" in kind:
        path.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    for use in (RunLock(folder).acquire, lambda: is_locked(folder)):
        with pytest.raises(FolderError, match=r"\.lock"):
            use()
    assert victim.exists() == (kind != "dangling link")
    assert kind == "dangling link" or victim.read_text() == "precious"


def test_folder_that_does_not_exist_is_refused_and_not_made(tmp_path):
    with pytest.raises(FolderError, match="is not a folder"):
        RunLock(tmp_path / "nothing").acquire()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FolderError, match=r"\.lock cannot be opened: Permission denied"):
        RunLock(tmp_path).acquire()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_file_system_without_locks_is_said_and_no_failure(code, tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    held = RunLock(tmp_path)
    note = held.acquire()
    assert note == held.note
    assert "its file system has no locks" in note
    assert not is_locked(tmp_path)
    held.release()
    assert os.listdir(tmp_path) == []


def test_system_without_file_locks_is_said_and_no_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    held = RunLock(tmp_path)
    assert "this system has no file locks" in held.acquire()
    assert not is_locked(tmp_path)
    held.release()


@pytest.mark.parametrize("content", [b"", b"\x1b[31m", b"12 34", b"9" * 5000])
def test_lock_that_says_something_else_names_no_process(content, tmp_path):
    first = RunLock(tmp_path)
    first.acquire()
    (tmp_path / ".lock").write_bytes(content)
    with pytest.raises(FolderError) as caught:
        RunLock(tmp_path).acquire()
    assert "\x1b" not in str(caught.value)
    assert "another process works" in str(caught.value) or content.isdigit()
    first.release()
