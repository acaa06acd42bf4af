"""The C library: compiled once for a machine by the compiler that is there, kept in the user's cache."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from nnlab.machine import cache_folder, private_folder

log = logging.getLogger("nnlab")

SOURCES = Path(__file__).parent / "c"
MAIN_SOURCE = "step.c"
#: what it can compute in -> what the compiler is told
DTYPES = {torch.float32: (), torch.float64: ("-DNNLAB_DOUBLE",)}
#: no -ffast-math: a NaN has to come through, or a training that diverges would not be noticed
FLAGS = ("-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-pthread")
#: what a machine's own instructions are asked for with, and wide vectors where compilers prefer narrow ones
MACHINE_FLAGS = {"x86_64": ("-march=native", "-mprefer-vector-width=512"), "aarch64": ("-mcpu=native",)}
TIMEOUT_S = 120


class NoCompilerError(RuntimeError):
    """There is no C library, and why, in words."""


def compiler() -> str | None:
    """The C compiler: ``CC`` if it is set, else the first of cc, gcc and clang that is there."""
    wanted = os.environ.get("CC", "").strip()
    return next(
        (path for name in ([wanted] if wanted else ["cc", "gcc", "clang"]) if (path := shutil.which(name))), None
    )


@cache
def load(dtype: torch.dtype) -> ctypes.CDLL:
    """The library for one data type.

    Args:
        dtype: one of ``DTYPES``.

    Returns:
        The library, loaded.

    Raises:
        NoCompilerError: if it is not there and cannot be made.
    """
    if sys.platform == "win32":
        raise NoCompilerError("C programs are made on Linux and macOS only")
    cc = compiler()
    if cc is None:
        raise NoCompilerError("no C compiler was found (cc, gcc or clang; set CC to one)")
    command = [cc, *FLAGS, *MACHINE_FLAGS.get(platform.machine(), ()), *DTYPES[dtype]]
    name = f"step-{_digest(command)}.so"
    try:
        folder = private_folder(cache_folder() / "native")
        if not (folder / name).exists():
            _build(command, folder / name)
        return ctypes.CDLL(str(folder / name))
    except OSError as error:
        log.debug("the cache cannot be used (%s)", error)
    return _load_for_this_process(command)


def _load_for_this_process(command: Sequence[str]) -> ctypes.CDLL:
    """As ``load``, in a folder of this process alone, where the user's cache cannot be written or trusted."""
    try:
        with tempfile.TemporaryDirectory(prefix="nnlab-") as folder:
            path = Path(folder) / MAIN_SOURCE.replace(".c", ".so")
            _build(command, path)
            return ctypes.CDLL(str(path))  # it stays in memory when the file goes
    except OSError as error:
        raise NoCompilerError(f"the C library cannot be loaded: {error}") from None


def _build(command: Sequence[str], path: Path) -> None:
    """Compile into a file that is there whole or not at all, whoever else does the same now."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    try:
        run = subprocess.run(
            [*command, str(SOURCES / MAIN_SOURCE), "-o", temporary, "-lm"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if run.returncode:
            first = next((line for line in run.stderr.splitlines() if "error" in line), run.stderr.strip()[:200])
            raise NoCompilerError(f"{command[0]} failed with exit code {run.returncode}: {first}")
        os.replace(temporary, path)
    except subprocess.TimeoutExpired:
        raise NoCompilerError(f"{command[0]} took longer than {TIMEOUT_S} s") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
    log.debug("compiled %s", path)


def _digest(command: Sequence[str]) -> str:
    """Of everything that decides what the library is: sources, compiler, flags and the machine's instructions."""
    state = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        state.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    state.update("\0".join([*command, _version(command[0]), _instructions()]).encode())
    return state.hexdigest()[:16]


def _version(cc: str) -> str:
    """What a compiler says of itself; its file's size and date where it cannot be asked."""
    path = Path(cc).resolve()
    about = path.stat()
    return f"{path} {about.st_size} {about.st_mtime_ns}"


def _instructions() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
