"""run.json and result.json as reports read them: every key of theirs is there and has its type."""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from nnlab.folder import RESULT_FILE, RUN_FILE, SCHEMA_VERSION, FolderError, read_json

_Types = tuple[type, ...]
_NUMBER: _Types = (int, float)

_RUN: dict[str, _Types] = {
    "schema_version": (int,),
    "name": (str,),
    "created": (str,),
    "config": (dict,),
    "options": (dict,),
    "overrides": (list,),
    "seed": (int,),
    "data_fingerprint": (str,),
    "plugins": (list,),
    "choices": (dict,),
    "versions": (dict,),
    "git_commit": (str, NoneType),
    "history": (list,),
}
_RESULT: dict[str, _Types] = {
    "name": (str,),
    "status": (str,),
    "reason": (str,),
    "epochs": (int,),
    "steps": (int,),
    "seconds": _NUMBER,
    "final": (dict,),
    "best": (dict,),
    "test": (dict,),
    "greater_is_better": (list,),
    "notes": (list,),
    "error": (str, NoneType),
}
#: lists and objects whose items all have one type
_ITEMS: dict[str, _Types] = {
    "overrides": (str,),
    "plugins": (str,),
    "greater_is_better": (str,),
    "notes": (str,),
    "history": (dict,),
    "final": (int, float, NoneType),
    "test": (int, float, NoneType),
    "best": (int, float, str, NoneType),
}
_WORDS = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    NoneType: "null",
}


def read_run(folder: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Args:
        folder: the run's folder.

    Returns:
        Its content; every key of schema version 1 is there and has its type. The values of ``config``, ``options``,
        ``choices`` and ``versions`` are any plain values.

    Raises:
        FolderError: if it is missing, damaged, of a newer nnlab or has other types, naming the key.
    """
    path = folder / RUN_FILE
    content = read_json(path)
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise FolderError(f"{path} was written by a newer nnlab (schema {version}, known: {SCHEMA_VERSION}); update it")
    _check(path, content, _RUN)
    return content


def read_result(folder: Path) -> dict[str, Any] | None:
    """Read ``result.json``.

    Args:
        folder: the run's folder.

    Returns:
        Its content, checked likewise, with an empty ``greater_is_better`` where there is none; None if the run has not
        come to its first checkpoint.

    Raises:
        FolderError: if it is damaged or has other types, naming the key.
    """
    path = folder / RESULT_FILE
    if not path.is_symlink() and not path.exists():
        return None
    content = {"greater_is_better": []} | read_json(path)
    _check(path, content, _RESULT)
    return content


def _check(path: Path, content: Mapping[str, Any], types: Mapping[str, _Types]) -> None:
    for key, expected in types.items():
        if key not in content:
            raise FolderError(f"{path}: {key} is missing; it is damaged or not nnlab's")
        _check_type(path, key, content[key], expected)
        if key in _ITEMS:
            value = content[key]
            for item in value.values() if isinstance(value, dict) else value:
                _check_type(path, f"an item of {key}", item, _ITEMS[key])


def _check_type(path: Path, where: str, value: Any, expected: _Types) -> None:
    # type() rather than isinstance(): true and false are no numbers here.
    if type(value) not in expected:
        wanted = " or ".join(_WORDS[kind] for kind in expected)
        raise FolderError(
            f"{path}: {where}: expected {wanted}, found {_WORDS[type(value)]}; it is damaged or not nnlab's"
        )
