"""The arrays of a run folder, which may come from a stranger: no pickle, and no more memory than the file has bytes."""

import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from nnlab.folder import FolderError, open_plain

#: bytes; nnlab writes nothing near this
LIMIT = 2**26
_ENDING = ".npy"


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an ``.npz`` file that nnlab wrote.

    Args:
        path: the file.

    Returns:
        The arrays by name; they hold numbers, truth values or text.

    Raises:
        FolderError: if it is damaged, too large, compressed or holds objects.
        FileNotFoundError: if there is none.
    """
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LIMIT:
                raise FolderError(f"{path} has {size:,} bytes; nnlab writes no arrays above {LIMIT:,}")
            with zipfile.ZipFile(file) as archive:
                return {entry.filename.removesuffix(_ENDING): _array(archive, entry) for entry in archive.infolist()}
    except (FolderError, FileNotFoundError):
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise FolderError(f"{path} cannot be read: {error}") from None


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > LIMIT:
        raise ValueError(f"{entry.filename} is compressed, and nnlab compresses none")
    with archive.open(entry) as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{entry.filename} has the unknown version {version}")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
        content = file.read(LIMIT)
    if dtype.hasobject or dtype.kind not in "biufU":
        raise ValueError(f"{entry.filename} holds {dtype}, expected numbers or text")
    if any(size < 0 for size in shape) or np.prod(shape, dtype=object) * dtype.itemsize != len(content):
        raise ValueError(
            f"{entry.filename} says that it has the shape {shape}, which its {len(content):,} bytes have not"
        )
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")
