"""Files that are whole or absent, whatever happens while they are written."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: how a file of a run folder is opened: no link is followed, no pipe waited for, nothing left open in children
OPEN_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def write_atomic(path: Path, payload: bytes) -> None:
    """Replace a file in one step: whoever reads sees the old content or the new one, whole.

    Args:
        path: the file.
        payload: its new content.

    Raises:
        OSError: as from the file system; the old content and no temporary file remain.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        # A new file, never what a stranger has put under that name: a link would lead the payload elsewhere.
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN_PLAIN, 0o666), "wb") as file:
            file.write(payload)
            file.flush()
            sync_file(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if _together:
        return
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


#: entered ``durable_together``
_together: list[Path] = []


@contextmanager
def durable_together(folder: Path) -> Iterator[None]:
    """While it lasts, written files are whole to every reader, but only at its end, all at once, safe from power cuts.

    Waiting for the disk forty times for each of hundreds of small runs takes longer than to train them.

    Args:
        folder: in which everything is written.
    """
    _together.append(folder)
    try:
        yield
    finally:
        _together.pop()
        sync_file_system(folder)


def sync_file(descriptor: int) -> None:
    """Wait until an open file would survive a power failure, unless that is waited for together with others.

    Args:
        descriptor: the file's.
    """
    if not _together:
        os.fsync(descriptor)


def sync_file_system(folder: Path) -> None:
    """Wait until everything written so far to the file system of a folder would survive a power failure.

    Args:
        folder: any on it.
    """
    if sys.platform == "linux":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            ctypes.CDLL(None).syncfs(descriptor)
        finally:
            os.close(descriptor)
    elif hasattr(os, "sync"):
        os.sync()


def make_room_for_files(number: int) -> None:
    """Let this process have more files open at a time, as far as the system allows it.

    Args:
        number: how many it is going to need beside what it has open already.
    """
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
