"""Run and sweep folders: names, atomic writes, reading. No torch: everything here starts at once."""

import json
import math
import os
import re
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from nnlab.durable import OPEN_PLAIN, write_atomic

#: what run.json and result.json are written as; readers refuse a newer one
SCHEMA_VERSION = 1

RUN_FILE = "run.json"
RESULT_FILE = "result.json"
METRICS_FILE = "metrics.csv"
#: what a run's figures may be written as
FIGURE_FORMATS = ("png", "svg")

#: bytes; no JSON file of a run comes near this, and a larger one is refused before memory is taken for it
JSON_LIMIT = 64 * 2**20


class FolderError(ValueError):
    """A run folder that cannot be used; the message says which, why and what to do."""


def figures_problem(formats: object) -> str | None:
    """What is wrong with the formats that a run's figures are to have, if anything.

    Args:
        formats: the value of the root key ``figures``.
    """
    names = list(formats) if isinstance(formats, list | tuple) else [None]
    if all(name in FIGURE_FORMATS for name in names) and len(set(names)) == len(names):
        return None
    return (
        f"expected a list of {' and '.join(FIGURE_FORMATS)}, each at most once, as in 'figures=[png]', "
        f"or [] for no figures, found {'null' if formats is None else repr(formats)}"
    )


def make_folder(parent: Path, moment: time.struct_time | None = None) -> Path:
    """Make the folder of a new run or sweep, named by the second it starts in.

    Args:
        parent: ``outputs/<name>``; made if it is absent.
        moment: local time; None for now.

    Returns:
        ``<parent>/<YYYY-MM-DD_HH-MM-SS>``, with ``_2``, ``_3``, … where that second is taken.

    Raises:
        FolderError: if the folder cannot be made.
    """
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S", moment or time.localtime())
    number = 1
    while True:
        path = parent / (stamp if number == 1 else f"{stamp}_{number}")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=False)
            return path
        except FileExistsError:
            if not parent.is_dir():
                raise FolderError(f"cannot make a folder in {parent}: a file of that name is in the way") from None
            number += 1
        except OSError as error:
            raise FolderError(_cannot_write(path, error)) from None


def claim_folder(path: Path) -> None:
    """Make or take over the folder that the user chose for a new run.

    Args:
        path: the folder, existing or not.

    Raises:
        FolderError: if it already holds a run, or cannot be written.
    """
    if (path / RUN_FILE).exists():
        raise FolderError(
            f"{path} already holds a run, and a run is never overwritten; `nnlab resume {path}` goes on with it, "
            "another hydra.run.dir starts a new one"
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FolderError(_cannot_write(path, error)) from None


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write to {path}: {error.strerror or error}; choose another place with hydra.run.dir=…"


def member_name(number: int, overrides: Iterable[str]) -> str:
    """The folder name of a sweep's member: short and legal however long its overrides are.

    Args:
        number: the member's number, from 0.
        overrides: what distinguishes it, such as ``optim=sgd``.

    Returns:
        Such as ``3_optim=sgd,seed=1``; at most 64 characters.

    Example:
        >>> member_name(3, ["optim=sgd", "seed=1"])
        '3_optim=sgd,seed=1'
    """
    text = re.sub(r"[^\w.,=+-]+", "-", ",".join(overrides)).strip("-.")
    name = f"{number}_{text}" if text else str(number)
    return name[:64].rstrip("-.,=")


def plain(value: Any) -> Any:
    """A value as JSON can hold it: non-finite numbers become null, keys strings, tuples lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file atomically.

    Args:
        path: the file.
        content: plain values; NaN and infinities become null.
    """
    write_atomic(path, (json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n").encode())


def open_plain(path: Path) -> BinaryIO:
    """Open a file of a run folder for reading, if it is a plain one; the folder may come from a stranger.

    Args:
        path: the file.

    Raises:
        FolderError: if a link, a pipe, a device or a folder has that name.
        OSError: as from the file system.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise FolderError(f"{path} is not a plain file, and links are not followed")
    descriptor = os.open(path, os.O_RDONLY | OPEN_PLAIN)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FolderError(f"{path} was replaced by something that is not a plain file")
    return open(descriptor, "rb")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that nnlab wrote.

    Args:
        path: the file; at most ``JSON_LIMIT`` bytes, and no link.

    Raises:
        FolderError: if it is missing, damaged, too large or not a plain file, naming the file.
    """
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > JSON_LIMIT:
                raise FolderError(f"{path} has {size:,} bytes; nnlab writes none above {JSON_LIMIT:,} and reads none")
            content = json.loads(file.read(JSON_LIMIT))
    except FolderError:
        raise
    except FileNotFoundError:
        raise FolderError(f"{path} is missing: is {path.parent} a run folder?") from None
    except RecursionError:
        raise FolderError(f"{path} cannot be read: its lists and objects are nested too deeply") from None
    except (OSError, ValueError) as error:
        raise FolderError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise FolderError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content
