"""Interpolations that plain values settle: ``${seed}``, ``run_${seed}``. All others are OmegaConf's to resolve."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

#: keys from the root on, apart by what may stand between them
_NODE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\}", re.ASCII)
#: interpolations that lead to one another; more are taken for a circle
_MOST_DEEP = 8

Path = tuple[str, ...]


class UnsureError(Exception):
    """What only OmegaConf resolves as OmegaConf does."""


def interpolations(value: Mapping[str, Any]) -> dict[Path, str]:
    """Where interpolations stand.

    Args:
        value: a config as plain values, unresolved.

    Returns:
        The texts by their keys.

    Raises:
        UnsureError: if one stands in a list.
    """
    return dict(_interpolations((), value))


def resolve(text: str, root: Mapping[str, Any]) -> Any:
    """What an interpolation comes to.

    Args:
        text: one with ``${`` in it.
        root: the config it stands in, unresolved.

    Returns:
        The value that it leads to, as it is; a text if anything stands beside it.

    Raises:
        UnsureError: if it is anything else than keys from the root on that lead to single values.
    """
    return _resolve(text, root, 0)


def _interpolations(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise UnsureError
            yield from _interpolations((*path, key), item)
    elif isinstance(value, list):
        if any(True for item in value for _ in _interpolations((), item)):
            raise UnsureError
    elif isinstance(value, str) and "${" in value:
        yield path, value


def _resolve(text: str, root: Mapping[str, Any], depth: int) -> Any:
    if depth > _MOST_DEEP or "\\" in text or "$" in _NODE.sub("", text):
        raise UnsureError
    whole = _NODE.fullmatch(text)
    if whole:
        return _value(whole.group(1), root, depth)
    return _NODE.sub(lambda found: str(_value(found.group(1), root, depth)), text)


def _value(key: str, root: Mapping[str, Any], depth: int) -> Any:
    node: Any = root
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            raise UnsureError
        node = node[part]
    if node is not None and not isinstance(node, bool | int | float | str):
        raise UnsureError
    if isinstance(node, str) and ("${" in node or node == "???"):
        return _resolve(node, root, depth + 1)
    return node
