"""The pointers of a run's checkpoints, read without torch: which step they name, and the digests of its two files."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from nnlab.folder import FolderError, read_json

CHECKPOINTS = "checkpoints"
#: the files in ``checkpoints/`` whose replacement puts a checkpoint in force
POINTERS = ("last", "previous", "best")


@dataclass(frozen=True)
class Pointer:
    """What a pointer file says.

    Args:
        step: optimizer steps done.
        sha256: the digests of ``<step>.safetensors`` and ``<step>.json``, in hexadecimal, by name.
    """

    step: int
    sha256: dict[str, str]


def read_pointer(path: Path) -> Pointer:
    """Read ``checkpoints/last.json``, ``previous.json`` or ``best.json``.

    Args:
        path: the pointer file.

    Returns:
        What it says; the names in it are those of its own step and lead nowhere else.

    Raises:
        FolderError: if it is missing, damaged or says anything else.
    """
    content = read_json(path)
    step, digests = content.get("step"), content.get("sha256")
    if not is_count(step):
        raise FolderError(f"{path}: step: expected a whole number from 0, found {str(step)[:40]!r}")
    names = {f"{step}.safetensors", f"{step}.json"}
    if not isinstance(digests, dict) or set(digests) != names:
        raise FolderError(f"{path}: sha256: expected digests of {' and '.join(sorted(names))}")
    if not all(is_digest(digest) for digest in digests.values()):
        raise FolderError(f"{path}: sha256: expected 64 hexadecimal digits for each file")
    return Pointer(step, digests)


def is_count(value: object) -> TypeGuard[int]:
    """Whether a value from a JSON file is a whole number from 0 that a file system can count to."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_digest(value: object) -> TypeGuard[str]:
    """Whether a value from a JSON file is a SHA-256 as nnlab writes it."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
