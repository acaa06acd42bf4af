"""The keys that belong to no group: their types and ranges."""

import importlib.util
import re
from collections.abc import Mapping
from typing import Any

from nnlab.check.override import Typed
from nnlab.check.value_type import type_problem
from nnlab.config import ConfigError, Library
from nnlab.folder import figures_problem

ROOT_TYPES: dict[str, Any] = {
    "name": str | None,
    "seed": int,
    "device": str,
    "figures": list[str],
    "plugins": list[str],
}
#: keys that nnlab reads itself, so that a data set of the user's own needs them too
NEEDED = {"data": ("batch_size", "shuffle"), "trainer": ("on_divergence",)}
MAX_SEED = 2**63 - 1
MAX_NAME_BYTES = 100


def root_problem(one: Typed, library: Library) -> str | None:
    """What is wrong with an override of a root key, if anything."""
    if one.key not in ROOT_TYPES or one.is_delete:
        return f"{one.key} cannot be removed or taken apart; set a value"
    for value in one.values():
        if isinstance(value, str) and "${" in value and one.key != "plugins":
            continue
        problem = root_value_problem(one.key, value, library)
        if problem:
            return problem
    return None


def refuse_files(config: Mapping[str, Any]) -> None:
    """Refuse what files may not do: grant packages, and lack what nnlab reads.

    Args:
        config: what the chosen files compose to, without the values of the command line.

    Raises:
        ConfigError: if ``plugins`` is not empty, or a key is missing.
    """
    if config.get("plugins") != []:
        raise ConfigError(
            f"plugins: a file sets it to {config.get('plugins')}, but packages are granted on the command line only, "
            "where you see them: plugins=[my_package]"
        )
    keys = [(group, name) for group, names in NEEDED.items() for name in names]
    missing = [f"{group}.{name}" for group, name in keys if name not in (config.get(group) or {})]
    if missing:
        raise ConfigError(*(f"{key}: missing in the chosen file; nnlab itself reads it" for key in missing))


def composed_root_problems(config: Mapping[str, Any], library: Library) -> list[str]:
    """What is wrong with the root of a composed config, which files and interpolations may have set.

    Args:
        config: resolved, plain values.
        library: where it was composed from.

    Returns:
        One sentence for each mistake.
    """
    known = {*library.groups, *ROOT_TYPES}
    problems = [f"{key}: there is no such key, so setting it would do nothing" for key in config if key not in known]
    for key in ("name", "seed", "device", "figures"):
        problem = root_value_problem(key, config.get(key), library)
        problems += [f"{key}: {problem}"] if problem else []
    return problems


def root_value_problem(key: str, value: Any, library: Library) -> str | None:
    """What is wrong with a value of ``name``, ``seed``, ``device``, ``figures`` or ``plugins``, if anything."""
    if key == "figures":
        return figures_problem(value)
    problem = type_problem(value, library.root[key], lambda: ROOT_TYPES[key])
    if problem:
        return problem
    if key == "seed" and not 0 <= value <= MAX_SEED:
        return f"expected a whole number from 0 to 2^63 - 1, found {value}"
    if key == "name" and value is not None and not _is_folder_name(value):
        return f"expected the name of a folder: no / and not over {MAX_NAME_BYTES} bytes, found {value!r}"
    if key == "plugins":
        return next(filter(None, map(_plugin_problem, value)), None)
    return None


def _is_folder_name(name: str) -> bool:
    # What one of the usual file systems refuses, and what a shell takes for a flag or hides.
    refused = re.search(r'[/\\:*?"<>|\x00-\x1f]|^[.\s-]|[.\s]$', name)
    return 0 < len(name.encode()) <= MAX_NAME_BYTES and refused is None


def _plugin_problem(name: str) -> str | None:
    if re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", name) is None:
        return f"expected names of packages, as in plugins=[my_package], found {name!r}"
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        return f"there is no package {name!r}; install it, or put its folder on PYTHONPATH"
    return None
