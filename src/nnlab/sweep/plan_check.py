"""Whether what stands in a ``plan.json`` is what a plan says: it may come from a stranger. Nothing is built."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnlab.check.root import MAX_SEED
from nnlab.config import GROUPS
from nnlab.folder import FolderError
from nnlab.run_record import MOST_DEPTH, shown

#: bytes of a folder's name on the usual file systems
_MOST_NAME_BYTES = 255
#: groups that choose for others, and leave nothing of their own in a config
_CHOOSE = ("experiment", "compare")


def checked_members(path: Path, members: Any) -> Sequence[Mapping[str, Any]]:
    """The members of a plan, if each is one.

    Args:
        path: of the plan, in the sweep's folder.
        members: as read.

    Raises:
        FolderError: naming the first key that is not what it has to be, or the member's folder that is a link.
    """
    if not isinstance(members, list) or not members:
        raise _error(path, "members", "a list of members", members)
    for number, member in enumerate(members):
        _check_member(path, number, member)
    names = [member["folder"] for member in members]
    if len(set(names)) < len(names):
        raise _error(path, "members", "a folder for each", sorted({name for name in names if names.count(name) > 1}))
    for name in names:
        folder = path.parent / name
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise FolderError(f"{folder} is no folder, though {path} says so; links are not followed")
    return members


def is_plain_name(name: str) -> bool:
    """Whether a folder of that name lies directly in the one it is looked for in, on every system."""
    fits = re.fullmatch(r'[^/\\:*?"<>|.\s-][^/\\:*?"<>|]*', name) is not None
    return fits and name.isprintable() and len(name.encode(errors="replace")) <= _MOST_NAME_BYTES


def _check_member(path: Path, number: int, member: Any) -> None:
    at = f"members.{number}"
    if not isinstance(member, Mapping):
        raise _error(path, at, "an object", member)
    kinds = {"number": int, "folder": str, "name": str, "overrides": list, "options": Mapping, "config": Mapping}
    for key, kind in kinds.items():
        if not isinstance(member.get(key), kind) or isinstance(member[key], bool):
            raise _error(path, f"{at}.{key}", "what a plan has there", member.get(key))
    if member["number"] != number:
        raise _error(path, f"{at}.number", str(number), member["number"])
    if not is_plain_name(member["folder"]):
        raise _error(path, f"{at}.folder", "the name of a folder in that of the sweep", member["folder"])
    if not member["name"].isprintable():
        raise _error(path, f"{at}.name", "a name that can be printed", member["name"])
    if not all(isinstance(text, str) for text in member["overrides"]):
        raise _error(path, f"{at}.overrides", "texts", member["overrides"])
    for group, option in member["options"].items():
        names = option if isinstance(option, list) else [option]
        if not all(name is None or isinstance(name, str) for name in names):
            raise _error(path, f"{at}.options.{group}", "the name of an option", option)
    _check_config(path, f"{at}.config", member["config"])


def _check_config(path: Path, at: str, config: Mapping[str, Any]) -> None:
    for group in GROUPS:
        if group not in _CHOOSE and not isinstance(config.get(group), Mapping):
            raise _error(path, f"{at}.{group}", "keys and values", config.get(group))
    if not isinstance(config.get("device"), str) or type(config.get("seed")) is not int:
        raise _error(path, at, "device and seed", [config.get("device"), config.get("seed")])
    _check_plain(path, at, config, 1)


def _check_plain(path: Path, key: str, value: Any, depth: int) -> None:
    """A plan holds what interpolations came to; one that is still there was put there, and is never resolved."""
    if depth > MOST_DEPTH:
        raise _error(path, key, f"at most {MOST_DEPTH} levels", value)
    if isinstance(value, str) and "${" in value:
        raise _error(path, key, "a plain value (a plan is written with no interpolation left)", value)
    if isinstance(value, int) and abs(value) > MAX_SEED:
        raise _error(path, key, "a number below 2^63", value)
    if isinstance(value, Mapping):
        for name, item in value.items():
            if "${" in name or not name.isprintable():
                raise _error(path, key, "names of keys", name)
            _check_plain(path, f"{key}.{name}", item, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_plain(path, f"{key}.{number}", item, depth + 1)


def _error(path: Path, key: str, expected: str, found: Any) -> FolderError:
    return FolderError(f"{path}: {key}: expected {expected}, found {shown(found)}")
