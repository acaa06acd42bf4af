"""The lock of a run folder: one process at a time works on a run."""

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType, TracebackType
from typing import final

from nnlab.durable import OPEN_PLAIN
from nnlab.folder import FolderError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

LOCK_FILE = ".lock"

#: seconds for which a lock is tried for: ``is_locked`` of another process holds a shared one for a moment
PATIENCE_S = 0.3

#: what file systems without locks answer, some network ones among them
_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


@final
class RunLock:
    """Keeps every other process away from a run folder.

    The lock is the kernel's (flock) and ends with the process, however that ends; ``.lock`` holds the process id for
    people. Children neither inherit it when they start another program nor keep it when they are forked.

    Args:
        folder: the run's folder, which exists.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with RunLock(folder):
        ...     is_locked(folder)
        True
        >>> is_locked(folder)
        False
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: why the folder is not locked all the same, one sentence; None where it is
        self.note: str | None = None
        self._descriptor: int | None = None

    def acquire(self) -> str | None:
        """Take the lock.

        Returns:
            None, or one sentence for the log and the notes where the system or the file system has no locks: the run
            goes on without.

        Raises:
            FolderError: if another process works on the run, naming it; if ``.lock`` is not a plain file; if the
                folder cannot be written.
        """
        assert self._descriptor is None
        deadline = time.monotonic() + PATIENCE_S
        while (descriptor := self._attempt(last=time.monotonic() >= deadline)) is None:
            time.sleep(0.01)
        self._descriptor = descriptor
        _held.add(self)
        with suppress(OSError):  # on a full disk the lock holds without its number, too
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return self.note

    def release(self) -> None:
        """Give the lock back; without effect where it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        _held.discard(self)
        if descriptor is None:
            return
        # While it is still held: whoever opened the old file finds, once it has its lock, that it has lost its name.
        with suppress(OSError):
            if _is_named(descriptor, self.folder / LOCK_FILE):
                (self.folder / LOCK_FILE).unlink()
        os.close(descriptor)

    def __enter__(self) -> "RunLock":
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _attempt(self, last: bool) -> int | None:
        """A descriptor with the lock on it, or None if it may be worth another try."""
        descriptor = _open(self.folder, os.O_RDWR | os.O_CREAT)
        assert descriptor is not None
        try:
            if fcntl is None:
                self.note = f"{self.folder} is not locked: this system has no file locks; start no second process on it"
                return descriptor
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(descriptor, self.folder / LOCK_FILE):
                return descriptor
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                self.note = (
                    f"{self.folder} is not locked: its file system has no locks ({error.strerror}); start no second "
                    "process on it"
                )
                return descriptor
            if error.errno not in _TAKEN:
                os.close(descriptor)
                raise FolderError(f"{self.folder / LOCK_FILE} cannot be locked: {error.strerror}") from None
            if last:
                holder = _holder(descriptor)
                os.close(descriptor)
                raise FolderError(f"{self.folder} is in use: {holder} works on it and must end first") from None
        os.close(descriptor)
        return None


def is_locked(folder: Path) -> bool:
    """Whether a process works on a run; the lock is not taken, and nothing is written.

    Args:
        folder: the run's folder.

    Returns:
        True if it is locked; False also where the system or the file system has no locks.

    Raises:
        FolderError: if ``.lock`` is not a plain file or cannot be opened.
    """
    descriptor = _open(folder, os.O_RDONLY)
    if descriptor is None or fcntl is None:
        return False
    try:
        # A shared lock, for a moment: those who look do not disturb each other, and acquire tries more than once.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError as error:
        return error.errno in _TAKEN
    finally:
        os.close(descriptor)


def _open(folder: Path, flags: int) -> int | None:
    """A descriptor of ``.lock``, or None if there is none and it is not to be made."""
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, flags | OPEN_PLAIN, 0o644)
    except FileNotFoundError:
        if flags & os.O_CREAT:
            raise FolderError(f"{folder} is not a folder: there is no run to lock") from None
        return None
    except OSError as error:
        if os.path.islink(path):
            raise FolderError(f"{path} is a link, which nnlab neither makes nor follows; delete it") from None
        raise FolderError(f"{path} cannot be opened: {error.strerror}") from None
    found = os.fstat(descriptor)
    # The process id is written into it, which must not go into a file that somebody has linked to this name.
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise FolderError(f"{path} is not a plain file of its own; delete it")
    return descriptor


def _is_named(descriptor: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False


def _holder(descriptor: int) -> str:
    """Who holds the lock, as far as its file says."""
    text = os.pread(descriptor, 32, 0).strip()
    if not text.isdigit():
        return "another process"
    return f"process {int(text)}" + (" (this one)" if int(text) == os.getpid() else "")


#: the locks that this process holds
_held: set[RunLock] = set()


def _let_go_after_fork() -> None:
    """Close a forked child's copies: the lock is its parent's, and ends with it."""
    for lock in list(_held):
        if lock._descriptor is not None:
            os.close(lock._descriptor)
            lock._descriptor = None
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_after_fork)
