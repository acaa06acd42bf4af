"""``.hydra/`` of a sweep's members, loading equal to what Hydra writes; what members share becomes text once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import yaml
from omegaconf._utils import OmegaConfDumper

from nnlab.sweep.composing import Composed

_PLAIN_KEY = re.compile(r"[A-Za-z_]\w+", re.ASCII)
#: what YAML takes for something else than a text
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off"})


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes as OmegaConf does, in C where YAML was built with it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(str, OmegaConfDumper.str_representer)


@final
class HydraFiles:
    """Writes what Hydra leaves in the folder of each job."""

    def __init__(self) -> None:
        self._texts: dict[tuple[int, tuple[str, ...]], str] = {}
        #: a text is found again by where it comes from, which must not be another object by then
        self._kept: dict[int, Composed] = {}

    def write(self, member: Composed, folder: Path) -> None:
        """Write ``config.yaml``, ``hydra.yaml`` and ``overrides.yaml``.

        Args:
            member: whose they are.
            folder: the member's; made if it is absent.

        Raises:
            OSError: as from the file system.
        """
        name = member.hydra["output_subdir"]
        if name is None:  # hydra.output_subdir=null asks for no such files
            folder.mkdir(exist_ok=True)
            return
        inside = folder / str(name)
        inside.mkdir(parents=True, exist_ok=True)
        like = member.like or member
        self._kept[id(like)] = like
        overrides = _dump(member.hydra["overrides"]["task"])
        (inside / "config.yaml").write_text(self._sections((), member.task, like.task, id(like)), encoding="utf-8")
        hydra = {"hydra": member.hydra}
        (inside / "hydra.yaml").write_text(self._sections((), hydra, {"hydra": like.hydra}, id(like)), encoding="utf-8")
        (inside / "overrides.yaml").write_text(overrides, encoding="utf-8")

    def _sections(self, path: tuple[str, ...], values: Mapping[str, Any], like: Mapping[str, Any], origin: int) -> str:
        parts = []
        for key, value in values.items():
            other = like.get(key)
            if value is other:
                place = (origin, (*path, key))
                if place not in self._texts:
                    self._texts[place] = _block((*path, key), value)
                parts.append(self._texts[place])
            elif value and isinstance(value, Mapping) and isinstance(other, Mapping) and _is_plain(key):
                parts.append(f"{'  ' * len(path)}{key}:\n{self._sections((*path, key), value, other, origin)}")
            else:
                parts.append(_block((*path, key), value))
        return "".join(parts)


def _block(path: tuple[str, ...], value: Any) -> str:
    """The lines of a key and what is below it, as they stand in the whole file."""
    for key in reversed(path):
        value = {key: value}
    lines = _dump(value).splitlines(keepends=True)
    return "".join(lines[len(path) - 1 :])


def _dump(value: Any) -> str:
    return str(yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False))


def _is_plain(key: str) -> bool:
    return _PLAIN_KEY.fullmatch(key) is not None and key.lower() not in _WORDS
