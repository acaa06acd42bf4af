"""Whether a folder is a run, or holds runs: the members of a sweep, or the runs of one name."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from nnlab.folder import RUN_FILE, FolderError
from nnlab.manifest import MANIFEST_FILE

#: any of them makes a folder a run's
MARKS = (RUN_FILE, MANIFEST_FILE)

#: folders below the one that is named, in which runs are looked for: outputs/<name>/<sweep>/<member>
_DEPTH = 3


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
    members = [path for path in _folders_in(folder) if is_run(path, marks)]
    if not members:
        raise FolderError(
            f"{folder} is neither a run nor a sweep: it holds no {RUN_FILE}, and no folder in it does; "
            "runs are in outputs/<name>/<date>_<time>/"
        )
    return members


def find_runs(folders: Sequence[Path], marks: Collection[str] = MARKS) -> list[Path]:
    """The runs in some folders: these themselves, members of sweeps, or what lies below `outputs/` as deep as that.

    Args:
        folders: what was named.
        marks: the files of which one must be in a run's folder.

    Returns:
        Each run once.

    Raises:
        FolderError: for a folder that is missing or holds no run.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        inside = _runs_in(folder, marks, _DEPTH)
        if not inside:
            raise FolderError(f"{folder} holds no run: there is no {RUN_FILE} in it, nor in the folders in it")
        for path in inside:
            found.setdefault(path.absolute(), path)
    return list(found.values())


def _runs_in(folder: Path, marks: Collection[str], depth: int) -> list[Path]:
    if is_run(folder, marks):
        return [folder]
    inside = _folders_in(folder) if depth else []
    return [run for path in inside for run in _runs_in(path, marks, depth - 1)]


def _folders_in(folder: Path) -> list[Path]:
    """The folders directly inside a folder, in the order of their numbers; links are not followed."""
    try:
        with os.scandir(folder) as found:
            inside = [Path(entry.path) for entry in found if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise FolderError(f"there is no folder {folder} that can be read ({error.strerror})") from None
    return sorted(inside, key=lambda path: (_number(path.name), path.name))


def _number(name: str) -> int:
    """What a member's name begins with; those without a number come last."""
    digits = name.partition("_")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 10**10
