"""The command that made a sweep, as its folder has it."""

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from nnlab.folder import FolderError, open_plain

#: what Hydra leaves in a sweep's folder
SWEEP_FILE = "multirun.yaml"
#: bytes; Hydra writes some ten thousand
_LIMIT = 2**20
_OVERRIDES = re.compile(r"^  overrides:\n((?:    .*\n)+)", re.MULTILINE)
#: of Hydra's own overrides, those that somebody typed to change what is run; the others are nnlab's, or say where
_CHOSEN = ("hydra/launcher=", "hydra/sweeper=", "hydra.launcher.", "hydra.sweeper.")


def sweep_command(folder: Path) -> str | None:
    """The command that made a sweep.

    Args:
        folder: any folder.

    Returns:
        Ready for a shell; None if the folder is no sweep's, or what it holds says nothing of a command.
    """
    try:
        with open_plain(folder / SWEEP_FILE) as file:
            text = file.read(_LIMIT).decode()
        # Only these lines, and not by the quick loader in C, which deep nesting brings down with the whole process.
        overrides = yaml.safe_load(_OVERRIDES.findall(text)[0])
        hydras, task = _words(overrides["hydra"]), _words(overrides["task"])
    except (OSError, FolderError, ValueError, yaml.YAMLError, LookupError, TypeError, RecursionError):
        return None
    return shlex.join(["nnlab", "train", "-m", *task, *(word for word in hydras if word.startswith(_CHOSEN))])


def _words(found: Any) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise TypeError
    return found
