"""What lies in a run folder: plain files, things that are none, temporary files; links are never followed."""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from nnlab.folder import RUN_FILE, FolderError

#: bytes; whoever goes on with a run reads its files to their ends
MOST_BYTES = 16 << 30
#: what is written in place, beside run.json
_IN_PLACE = re.compile(r"[^/]+\.csv|train\.log")

#: what ``write_atomic`` and ``claim_folder`` leave behind when they are killed
_TEMPORARY = re.compile(r"\.(.+\.\d+\.tmp|writable-\d+)", re.DOTALL)


@dataclass
class Tree:
    """What lies in a run folder. Names are relative to it, with ``/`` between their parts.

    Args:
        files: the size in bytes of each plain file, by name.
        temporary: the same for those that a killed process left half written.
        odd: what the rest is, in words, by name.
    """

    files: dict[str, int] = field(default_factory=dict)
    temporary: dict[str, int] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)


def read_tree(folder: Path) -> Tree:
    """Look through a run folder and the folders inside it.

    A folder inside that holds a run of its own is left out: it has its own lock and its own manifest.

    Args:
        folder: the run's folder.
    """
    tree, waiting = Tree(), [""]
    while waiting:
        prefix = waiting.pop()
        try:
            with os.scandir(folder / prefix) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            tree.odd[prefix.rstrip("/") or "."] = f"a folder that cannot be read ({error.strerror})"
            continue
        if prefix and any(entry.name == RUN_FILE for entry in entries):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{prefix}{entry.name}/")
            else:
                _note(tree, prefix + entry.name, entry)
    return tree


def _note(tree: Tree, name: str, entry: "os.DirEntry[str]") -> None:
    if entry.is_symlink():
        tree.odd[name] = "a link, which nnlab neither makes nor follows"
    elif not entry.is_file(follow_symlinks=False):
        tree.odd[name] = "neither a file nor a folder"
    else:
        try:
            size = entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            return  # replaced or deleted just now
        (tree.temporary if _TEMPORARY.fullmatch(entry.name) else tree.files)[name] = size


def check_can_be_written(folder: Path) -> None:
    """Refuse to go on in a folder where writing could reach something outside it, or reading never end.

    Args:
        folder: a run's folder, which a stranger may have made.

    Raises:
        FolderError: naming a link, a pipe or a device in it, a file that has another name elsewhere and would be
            changed under both, or one that is too large.
    """
    tree = read_tree(folder)
    for name, what in tree.odd.items():
        raise FolderError(f"{folder / name} is {what}; a run goes on only in a folder of plain files")
    for name, num_bytes in tree.files.items():
        if num_bytes > MOST_BYTES:
            raise FolderError(f"{folder / name} has {num_bytes:,} bytes, more than nnlab writes or reads")
        status = os.lstat(folder / name)
        if _IN_PLACE.fullmatch(name) and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            raise FolderError(
                f"{folder / name} is a file with another name elsewhere (a hard link), which would be changed with it; "
                "put a copy in its place"
            )
