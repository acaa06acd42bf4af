"""A launcher or sweeper that a chosen file sets, where Hydra passes it over once the file is one of several."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nnlab.config import Library, Option


def launcher_problems(choices: Mapping[str, Sequence[str]], overrides: Sequence[str], library: Library) -> list[str]:
    """What is wrong with chosen files that say how a sweep is launched, if anything.

    Args:
        choices: for each group the options that the command can choose.
        overrides: as typed, for the command that is right.
        library: the configs to choose from.

    Returns:
        A sentence for each such file.
    """
    words = [word for folder in library.folders[1:] for word in ("--config-dir", str(folder))]
    options = (library.options(group).get(name) for group, names in choices.items() for name in names)
    return [
        f"{option.group}={option.name}: {option.path} sets {part}, which is only heard on the command line: take it "
        f"out there, and type nnlab train -m {shlex.join([*words, *overrides, f'{part}={value}'])}"
        for option in options
        if option is not None
        for part, value in _set_by(option)
    ]


def _set_by(option: Option) -> Iterator[tuple[str, str]]:
    """``hydra/launcher`` or ``hydra/sweeper``, and the option that a file chooses for it."""
    defaults = option.content.get("defaults")
    for entry in defaults if isinstance(defaults, list) else []:
        for key, value in entry.items() if isinstance(entry, Mapping) else ():
            name = str(key).split()[-1].lstrip("/")
            if name in ("hydra/launcher", "hydra/sweeper"):
                yield name, str(value)
    nodes: Any = option.content.get("hydra")
    for part in ("launcher", "sweeper"):
        if isinstance(nodes, Mapping) and part in nodes:
            value = nodes[part]
            yield f"hydra/{part}", value if isinstance(value, str) else "…"
