"""Overrides as Hydra's own parser reads them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from nnlab.config import ConfigError, Library


@dataclass(frozen=True)
class Typed:
    """An override as typed, and as Hydra's parser reads it."""

    text: str
    parsed: Override

    @property
    def key(self) -> str:
        """The group, or the key with its dots."""
        return str(self.parsed.key_or_group)

    @property
    def is_sweep(self) -> bool:
        """Whether it has several values."""
        return bool(self.parsed.is_sweep_override())

    @property
    def is_interval(self) -> bool:
        """Whether it has a range of real numbers, which only a search can use."""
        return bool(self.parsed.is_interval_sweep())

    @property
    def is_delete(self) -> bool:
        """Whether it begins with ``~``."""
        return bool(self.parsed.is_delete())

    @property
    def is_addition(self) -> bool:
        """Whether it begins with ``+`` or ``++``."""
        return bool(self.parsed.is_add() or self.parsed.is_force_add())

    @property
    def is_repackaged(self) -> bool:
        """Whether it says ``group@package``."""
        return self.parsed.package is not None

    @property
    def is_hydras(self) -> bool:
        """Whether it is about Hydra itself: ``hydra.run.dir``, ``hydra/launcher``."""
        return re.split(r"[./]", self.key)[0] == "hydra"

    @property
    def value(self) -> Any:
        """The value as plain data, of a sweep the first; None for a removal and a glob."""
        if self.is_sweep:
            return next(iter(self.values()), None)
        return None if self.is_delete else self.parsed.value()

    def texts(self, known: Sequence[str] = ()) -> list[str]:
        """The value as typed, or each one of a sweep; the two ends of an interval.

        Args:
            known: what a glob such as ``glob(ada*)`` chooses from.
        """
        if not self.is_sweep:
            return [self.text.partition("=")[2]]
        if isinstance(self.parsed._value, Glob):
            return list(self.parsed._value.filter(list(known)))
        if self.is_interval:
            return [str(self.parsed._value.start), str(self.parsed._value.end)]
        return [str(text) for text in self.parsed.sweep_string_iterator()]

    def values(self, known: Sequence[str] = ()) -> list[Any]:
        """The same as plain data."""
        if not self.is_sweep:
            return [self.value]
        return list(self._swept) if not known else _values(self.texts(known))

    @cached_property
    def _swept(self) -> list[Any]:
        # Asked for once for each choice of groups; a sweep of a thousand values takes a tenth of a second.
        return _values(self.texts())

    def one_each(self, known: Sequence[str] = ()) -> list[str]:
        """The override itself, or an override for each value of a sweep."""
        if not self.is_sweep:
            return [self.text]
        texts = self.texts(known)[:1] if self.is_interval else self.texts(known)
        return [f"{self.parsed.get_key_element()}={text}" for text in texts]


def _values(texts: Sequence[str]) -> list[Any]:
    parser = OverridesParser.create()
    return [parser.parse_override(f"key={text}").value() for text in texts]


def parse(text: str, library: Library) -> Typed:
    """Read one override.

    Args:
        text: as typed.
        library: for hints.

    Returns:
        The override.

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        return Typed(text, OverridesParser.create().parse_override(text))
    except HydraException as error:
        reason = str(error).splitlines()[0].partition(" expecting ")[0]
    if "=" not in text:
        homes = [f"{group}={text}" for group in library.groups if text in library.options(group)]
        hint = f"; did you mean {' or '.join(homes)}?" if homes else ", without spaces"
        raise ConfigError(f"{text.strip() or repr(text)}: expected key=value{hint}")
    key, _, value = text.partition("=")
    hint = "" if value[:1] in ("'", '"') else f"; a value with such characters is quoted: '{key}=\"{value}\"'"
    raise ConfigError(f"{text}: cannot be read ({reason}){hint}")
