"""The cache of rows on disk: one folder for each table and what was made of it, found by content."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nnlab.durable import write_atomic
from nnlab.machine import cache_folder

#: of the files in a folder; another number makes everything anew
FORMAT = 1
META_FILE = "meta.json"
_MAKING = ".making-"
#: seconds after which a folder that somebody began to make is nobody's
_STALE_S = 86_400
#: seconds that a file must have been left alone for its date to tell whether it is the same
_SETTLED_S = 2.0
_BLOCK = 1 << 22


def rows_folder() -> Path:
    """Where the folders are: ``rows`` in nnlab's cache."""
    return cache_folder() / "rows"


def key_of(files: Sequence[Path], choices: Mapping[str, Any]) -> str:
    """The name of a folder: a hash of the content of files and of everything that decides what is made of them.

    Args:
        files: of the table.
        choices: plain values.

    Raises:
        OSError: if a file cannot be read.
    """
    content = {"format": FORMAT, "files": [digest_of(file) for file in files], "choices": choices}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


def digest_of(file: Path) -> str:
    """The SHA-256 of a file, remembered for as long as its size, its date and its place on the disk are the same.

    Args:
        file: any.

    Raises:
        OSError: if it cannot be read.
    """
    about = file.stat()
    signs = [about.st_size, about.st_mtime_ns, about.st_ino, about.st_dev]
    note = rows_folder() / "digests" / f"{hashlib.sha256(os.fsencode(file.absolute())).hexdigest()[:32]}.json"
    try:
        known = json.loads(note.read_text())
        if known["signs"] == signs:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = hashlib.sha256()
    with open(file, "rb", buffering=0) as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    # A file that is written right now may change without another date.
    if time.time() - about.st_mtime > _SETTLED_S:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(note, json.dumps({"signs": signs, "sha256": digest.hexdigest()}).encode())
    return digest.hexdigest()


def found(key: str) -> tuple[Path, dict[str, Any]] | None:
    """The folder with a name and what its ``meta.json`` says; None if there is none, or none of this format.

    Args:
        key: from ``key_of``.
    """
    folder = rows_folder() / key
    try:
        meta = json.loads((folder / META_FILE).read_text())
    except (OSError, ValueError):
        return None
    is_whole = isinstance(meta, dict) and all(
        isinstance(size, int) and (folder / name).is_file() and (folder / name).stat().st_size == size
        for name, size in meta.get("files", {"": None}).items()
    )
    return (folder, meta) if is_whole else None


def make(key: str, fill: Callable[[Path], dict[str, Any]]) -> None:
    """Make a folder that is there whole or not at all, whoever else makes the same one now.

    Args:
        key: its name.
        fill: writes files into a folder, and returns what ``meta.json`` shall say beside their sizes.

    Raises:
        OSError: if it cannot be written; nothing of it is left.
    """
    home = rows_folder()
    home.mkdir(parents=True, exist_ok=True)
    _sweep(home)
    with _temporary(home) as folder:
        meta = fill(folder)
        sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()}
        write_atomic(folder / META_FILE, json.dumps(meta | {"files": sizes}).encode())
        place = home / key
        if place.exists() and found(key) is None:
            shutil.rmtree(place, ignore_errors=True)  # damaged, or of another format
        try:
            os.rename(folder, place)
        except OSError:
            if found(key) is None:  # else somebody else was faster
                raise


@contextmanager
def _temporary(home: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=_MAKING, dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Delete what killed processes have left half made."""
    for folder in home.glob(f"{_MAKING}*"):
        try:
            if time.time() - folder.stat().st_mtime > _STALE_S:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
