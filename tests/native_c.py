"""Parts of the C library by themselves, compiled as it is, with every warning an error."""

import ctypes
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nnlab.native import library

needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler (cc, gcc or clang)")

#: numbers that a row of a tile is filled up to in these tests: whole vectors, however wide the machine's are
LANES = 16
NUMPYS = {torch.float32: np.float32, torch.float64: np.float64}


def build(folder: Path, source: str) -> dict[torch.dtype, ctypes.CDLL]:
    """A library for each data type of functions that include the engine's headers."""
    (folder / "part.c").write_text(source)
    flags = [*library.FLAGS, *library.MACHINE_FLAGS.get(platform.machine(), ())]
    strict = ["-Wall", "-Wextra", "-Werror", f"-I{library.SOURCES}"]
    made = {}
    for dtype, own in library.DTYPES.items():
        path = folder / f"{dtype}.so"
        command = [str(library.compiler()), *flags, *own, *strict, str(folder / "part.c"), "-o", str(path), "-lm"]
        subprocess.run(command, check=True)
        made[dtype] = ctypes.CDLL(str(path))
    return made


def pointers_to(*arrays: np.ndarray | None) -> list[ctypes.c_void_p]:
    """What C is given for arrays that it may change; the arrays live as long as this does."""
    assert all(array is None or array.flags.c_contiguous for array in arrays)
    return [ctypes.c_void_p() if array is None else array.ctypes.data_as(ctypes.c_void_p) for array in arrays]


def function(of: ctypes.CDLL, name: str, result: type | None = None) -> Callable[..., float]:
    """A function of a library, whose arguments say their own types."""
    found = getattr(of, name)
    found.restype = result
    return found
