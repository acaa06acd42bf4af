"""Tables of a run, such as ``metrics.csv``: they grow row by row, and are read whole."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnlab.durable import OPEN_PLAIN, sync_file
from nnlab.folder import FolderError, open_plain

#: bytes; a table of a run is read whole
TABLE_LIMIT = 2**30


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
