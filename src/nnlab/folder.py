"""Run and sweep folders: names, atomic writes, reading. No torch: everything here starts at once."""

import csv
import ctypes
import io
import json
import math
import os
import re
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

#: what run.json and result.json are written as; readers refuse a newer one
SCHEMA_VERSION = 1

RUN_FILE = "run.json"
RESULT_FILE = "result.json"
METRICS_FILE = "metrics.csv"
#: what a run's figures may be written as
FIGURE_FORMATS = ("png", "svg")

#: bytes; no JSON file of a run comes near this, and a larger one is refused before memory is taken for it
JSON_LIMIT = 64 * 2**20

#: bytes; a table of a run is read whole
TABLE_LIMIT = 2**30

#: how a file of a run folder is opened: no link is followed, no pipe waited for, nothing left open in children
OPEN_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class FolderError(ValueError):
    """A run folder that cannot be used; the message says which, why and what to do."""


def figures_problem(formats: object) -> str | None:
    """What is wrong with the formats that a run's figures are to have, if anything.

    Args:
        formats: the value of the root key ``figures``.
    """
    names = list(formats) if isinstance(formats, list | tuple) else [None]
    if all(name in FIGURE_FORMATS for name in names) and len(set(names)) == len(names):
        return None
    return (
        f"expected a list of {' and '.join(FIGURE_FORMATS)}, each at most once, as in 'figures=[png]', "
        f"or [] for no figures, found {'null' if formats is None else repr(formats)}"
    )


def make_folder(parent: Path, moment: time.struct_time | None = None) -> Path:
    """Make the folder of a new run or sweep, named by the second it starts in.

    Args:
        parent: ``outputs/<name>``; made if it is absent.
        moment: local time; None for now.

    Returns:
        ``<parent>/<YYYY-MM-DD_HH-MM-SS>``, with ``_2``, ``_3``, … where that second is taken.

    Raises:
        FolderError: if the folder cannot be made.
    """
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S", moment or time.localtime())
    number = 1
    while True:
        path = parent / (stamp if number == 1 else f"{stamp}_{number}")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=False)
            return path
        except FileExistsError:
            if not parent.is_dir():
                raise FolderError(f"cannot make a folder in {parent}: a file of that name is in the way") from None
            number += 1
        except OSError as error:
            raise FolderError(_cannot_write(path, error)) from None


def claim_folder(path: Path) -> None:
    """Make or take over the folder that the user chose for a new run.

    Args:
        path: the folder, existing or not.

    Raises:
        FolderError: if it already holds a run, or cannot be written.
    """
    if (path / RUN_FILE).exists():
        raise FolderError(
            f"{path} already holds a run, and a run is never overwritten; `nnlab resume {path}` goes on with it, "
            "another hydra.run.dir starts a new one"
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FolderError(_cannot_write(path, error)) from None


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write to {path}: {error.strerror or error}; choose another place with hydra.run.dir=…"


def member_name(number: int, overrides: Iterable[str]) -> str:
    """The folder name of a sweep's member: short and legal however long its overrides are.

    Args:
        number: the member's number, from 0.
        overrides: what distinguishes it, such as ``optim=sgd``.

    Returns:
        Such as ``3_optim=sgd,seed=1``; at most 64 characters.

    Example:
        >>> member_name(3, ["optim=sgd", "seed=1"])
        '3_optim=sgd,seed=1'
    """
    text = re.sub(r"[^\w.,=+-]+", "-", ",".join(overrides)).strip("-.")
    name = f"{number}_{text}" if text else str(number)
    return name[:64].rstrip("-.,=")


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


def plain(value: Any) -> Any:
    """A value as JSON can hold it: non-finite numbers become null, keys strings, tuples lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file atomically.

    Args:
        path: the file.
        content: plain values; NaN and infinities become null.
    """
    write_atomic(path, (json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n").encode())


def open_plain(path: Path) -> BinaryIO:
    """Open a file of a run folder for reading, if it is a plain one; the folder may come from a stranger.

    Args:
        path: the file.

    Raises:
        FolderError: if a link, a pipe, a device or a folder has that name.
        OSError: as from the file system.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise FolderError(f"{path} is not a plain file, and links are not followed")
    descriptor = os.open(path, os.O_RDONLY | OPEN_PLAIN)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FolderError(f"{path} was replaced by something that is not a plain file")
    return open(descriptor, "rb")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that nnlab wrote.

    Args:
        path: the file; at most ``JSON_LIMIT`` bytes, and no link.

    Raises:
        FolderError: if it is missing, damaged, too large or not a plain file, naming the file.
    """
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > JSON_LIMIT:
                raise FolderError(f"{path} has {size:,} bytes; nnlab writes none above {JSON_LIMIT:,} and reads none")
            content = json.loads(file.read(JSON_LIMIT))
    except FolderError:
        raise
    except FileNotFoundError:
        raise FolderError(f"{path} is missing: is {path.parent} a run folder?") from None
    except RecursionError:
        raise FolderError(f"{path} cannot be read: its lists and objects are nested too deeply") from None
    except (OSError, ValueError) as error:
        raise FolderError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise FolderError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


class TableFile:
    """A CSV file that grows row by row, such as ``metrics.csv``: whole lines only.

    Rows that cannot be written (a full disk) are kept and written as soon as there is room again.

    Args:
        path: the file; made with its header at the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_rows = 0
        self._columns: list[str] = []
        self._pending: list[str] = []
        self._size = 0

    def cut(self, num_rows: int) -> None:
        """Go on with a file that is there, after its first rows; what follows them is dropped.

        Args:
            num_rows: rows to keep.

        Raises:
            FolderError: if it has fewer.
            OSError: if it cannot be written.
        """
        if num_rows == 0:
            self.path.unlink(missing_ok=True)
            return
        try:
            lines = _table_bytes(self.path).splitlines(keepends=True)
        except FileNotFoundError:
            lines = []
        whole = [line for line in lines if line.endswith(b"\n")]
        if len(whole) < num_rows + 1:
            raise FolderError(f"{self.path}: expected {num_rows} rows, found {max(0, len(whole) - 1)}")
        self._columns = next(csv.reader([whole[0].decode()]))
        self._size = sum(map(len, whole[: num_rows + 1]))
        self.num_rows = num_rows
        os.truncate(self.path, self._size)

    def append(self, row: Mapping[str, float | int | None]) -> None:
        """Add a row; it is in the file after the next ``flush``.

        Args:
            row: the same columns in the same order every time. Floats are written in the shortest form that reads
                back as the same number, None as an empty cell.
        """
        if not self._columns:
            self._columns = list(row)
            self._pending.append(_csv_line(self._columns))
        assert list(row) == self._columns
        self.num_rows += 1
        cells = [repr(cell) if type(cell) is float else _shortest(cell) for cell in row.values()]
        self._pending.append(f"{','.join(cells)}\n")  # a number needs no quotes

    def flush(self, durably: bool = False) -> None:
        """Try to write what is still held back.

        Args:
            durably: whether to wait until it would survive a power failure.

        Raises:
            OSError: if it could not be written.
        """
        payload = "".join(self._pending).encode()
        if not payload and not (durably and self._size):
            return
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | OPEN_PLAIN, 0o644)
        try:
            written = os.pwrite(descriptor, payload, self._size)
            if durably:
                sync_file(descriptor)
            if written < len(payload):
                # A nearly full disk takes part of a line first and complains at the next write.
                os.ftruncate(descriptor, self._size)
                raise OSError(28, "No space left on device", str(self.path))
        finally:
            os.close(descriptor)
        self._size += written
        self._pending.clear()


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _shortest(value: float | int | None) -> str:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a ``metrics.csv``, numbers as floats; a torn last line is left out.

    Raises:
        FolderError: if the file is missing, too large, or holds anything but numbers below its header.
    """
    try:
        text = _table_bytes(path).decode()
        whole = text[: text.rfind("\n") + 1]
        header, *rows = list(csv.reader(io.StringIO(whole), strict=True)) or [[]]
        return [dict(zip(header, map(float, cells), strict=True)) for cells in rows]
    except FolderError:
        raise
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise FolderError(f"{path} cannot be read: expected a header and rows of numbers ({error})") from None


def check_rows(path: Path, num_rows: int) -> None:
    """Refuse a table that has fewer whole rows than a checkpoint counts.

    Args:
        path: such as ``metrics.csv``.
        num_rows: below the header; 0 for a table that need not be there.

    Raises:
        FolderError: if it is missing, too large or shorter.
    """
    try:
        found = max(0, _table_bytes(path).count(b"\n") - 1) if num_rows else 0
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from None
    if found < num_rows:
        raise FolderError(f"{path}: expected {num_rows:,} rows, found {found:,}")


def _table_bytes(path: Path) -> bytes:
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > TABLE_LIMIT:
            raise FolderError(f"{path} has {size:,} bytes; nnlab reads none above {TABLE_LIMIT:,}")
        return file.read(size)


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
