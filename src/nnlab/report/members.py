"""Whether a folder is a run, or holds runs: the members of a sweep, or the runs of one name."""

import os
from collections.abc import Collection
from pathlib import Path

from nnlab.folder import RUN_FILE, FolderError
from nnlab.manifest import MANIFEST_FILE

#: any of them makes a folder a run's
MARKS = (RUN_FILE, MANIFEST_FILE)


def is_run(folder: Path, marks: Collection[str] = MARKS) -> bool:
    """Whether a folder is that of a run, be its files whole or not.

    Args:
        folder: any folder.
        marks: the files of which one must be there.
    """
    return any(os.path.lexists(folder / mark) for mark in marks)


def members_of(folder: Path, marks: Collection[str] = MARKS) -> list[Path]:
    """The runs directly inside a folder, in the order of their numbers; links are not followed.

    Args:
        folder: that of a sweep, or one above runs.
        marks: the files of which one must be in a run's folder.

    Raises:
        FolderError: if the folder is missing, cannot be read, or holds no run.
    """
    try:
        with os.scandir(folder) as found:
            inside = [Path(entry.path) for entry in found if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise FolderError(f"there is no folder {folder} that can be read ({error.strerror})") from None
    members = [path for path in inside if is_run(path, marks)]
    if not members:
        raise FolderError(
            f"{folder} is neither a run nor a sweep: it holds no {RUN_FILE}, and no folder in it does; "
            "runs are in outputs/<name>/<date>_<time>/"
        )
    return sorted(members, key=lambda path: (_number(path.name), path.name))


def _number(name: str) -> int:
    """What a member's name begins with; those without a number come last."""
    digits = name.partition("_")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 10**10
