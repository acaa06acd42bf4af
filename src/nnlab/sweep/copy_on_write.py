"""Nested values with a few of them replaced: what is not replaced is shared, and nothing is changed in place."""

from collections.abc import Mapping
from typing import Any


def replaced(values: Mapping[str, Any], changes: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """A copy with other values at some keys.

    Args:
        values: nested mappings.
        changes: by keys, the last of which may be new.

    Returns:
        The copy; mappings in which nothing is replaced are the same objects.

    Example:
        >>> replaced({"optim": {"lr": 1, "eps": 2}, "seed": 0}, {("optim", "lr"): 3})
        {'optim': {'lr': 3, 'eps': 2}, 'seed': 0}
    """
    result = dict(values)
    copied: dict[tuple[str, ...], dict[str, Any]] = {}
    for path, value in changes.items():
        node = result
        for depth, part in enumerate(path[:-1], 1):
            if path[:depth] not in copied:
                copied[path[:depth]] = node[part] = dict(node[part])
            node = node[part]
        node[path[-1]] = value
    return result
