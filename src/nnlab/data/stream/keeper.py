"""Where a reader puts the cells of a column that come piece by piece: into memory, or into a file."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import BinaryIO, final

import numpy as np


class Pieces(ABC):
    """The cells of one column, as they come."""

    @abstractmethod
    def add(self, cells: np.ndarray) -> None:
        """Take the next cells.

        Args:
            cells: shape [M], of the column's dtype.
        """

    @abstractmethod
    def joined(self) -> np.ndarray:
        """All cells, shape [N]; nothing is added afterwards."""


class Keeper(ABC):
    """Makes room for the columns of a table."""

    #: whether columns stay on disk, so that a table may be larger than memory
    is_on_disk: bool

    @abstractmethod
    def pieces(self, dtype: str) -> Pieces:
        """Room for one column.

        Args:
            dtype: of its cells, as NumPy names it.
        """


@final
class InMemory(Keeper):
    """Columns are ordinary arrays."""

    is_on_disk = False

    def pieces(self, dtype: str) -> Pieces:
        """See ``Keeper``."""
        return _Listed(dtype)


@final
class OnDisk(Keeper):
    """Columns are files of a folder, mapped into memory: what is not looked at takes none.

    Args:
        folder: which exists, and is somebody else's to delete.
    """

    is_on_disk = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def pieces(self, dtype: str) -> Pieces:
        """See ``Keeper``."""
        self._number += 1
        return _Written(self._folder / f"column-{self._number}", dtype)


@final
class _Listed(Pieces):
    def __init__(self, dtype: str) -> None:
        self._all = [np.empty(0, dtype)]

    def add(self, cells: np.ndarray) -> None:
        self._all.append(cells)

    def joined(self) -> np.ndarray:
        return self._all[1] if len(self._all) == 2 else np.concatenate(self._all)


@final
class _Written(Pieces):
    def __init__(self, path: Path, dtype: str) -> None:
        self._path = path
        self._dtype = np.dtype(dtype)
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115 - until ``joined``

    def add(self, cells: np.ndarray) -> None:
        cells.astype(self._dtype, copy=False).tofile(self._file)

    def joined(self) -> np.ndarray:
        self._file.close()
        # An empty file cannot be mapped.
        return np.memmap(self._path, self._dtype, "r") if self._path.stat().st_size else np.empty(0, self._dtype)
