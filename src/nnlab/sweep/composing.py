"""The configs of a sweep's members: Hydra composes one for each choice of groups, values are set on copies of it.

Hydra takes about 100 ms for a member. What only it composes for certain, it does compose, member by member.
"""

import copy
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import env_override
from hydra.errors import HydraException
from omegaconf import AnyNode, DictConfig, ListConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from nnlab.check.composition import in_one_line
from nnlab.config import ConfigError
from nnlab.folder import member_name
from nnlab.sweep.copy_on_write import replaced
from nnlab.sweep.interpolation import UnsureError, interpolations, resolve

#: configs/config.yaml's own name for a member's folder
_SUBDIR = "${nnlab.member:${hydra.job.num},${hydra.job.override_dirname}}"
_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)

Path = tuple[str, ...]


@final
@dataclass(frozen=True)
class Composed:
    """One member as Hydra's own launcher would compose it.

    Args:
        number: its place in the sweep.
        overrides: its own, those of Hydra left out.
        config: resolved.
        task: the same with its interpolations.
        hydra: the node ``hydra`` with its interpolations.
        subdir: its folder's name.
        like: another one that most of ``task`` and ``hydra`` is shared with, or itself.
    """

    number: int
    overrides: tuple[str, ...]
    config: Mapping[str, Any]
    task: Mapping[str, Any]
    hydra: Mapping[str, Any]
    subdir: str
    like: "Composed | None" = field(default=None, repr=False)

    @property
    def choices(self) -> Mapping[str, Any]:
        """The option of each group, Hydra's own included."""
        choices: Mapping[str, Any] = self.hydra["runtime"]["choices"]
        return choices


@final
class Composer:
    """Composes the members of one sweep.

    Args:
        loader: Hydra's.
        master: the sweep's own config, with ``hydra``.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader = loader
        self.master = master
        self._parser = OverridesParser.create()
        self._parsed: dict[str, Override] = {}
        self._is_group: dict[str, bool] = {}

    def compose(self, batch: Sequence[Sequence[str]], first: int = 0) -> list[Composed]:
        """Compose all members.

        Args:
            batch: the overrides of each.
            first: the number of the first of them.

        Returns:
            The members in this order, numbered from ``first``.

        Raises:
            ConfigError: for the first member that cannot be composed or resolved.
        """
        members: dict[int, Composed] = {}
        for places, keys in self._groups(batch):
            one, *others = places
            template = _Template(self, first + one, batch[one], keys)
            members[one] = template.member
            for place in others:
                number, overrides = first + place, batch[place]
                members[place] = template.with_values(number, overrides) or self.slowly(number, overrides)[0]
        return [members[place] for place in sorted(members)]

    def one_of_each(self, batch: Sequence[Sequence[str]]) -> list[Sequence[str]]:
        """The overrides of one member for each choice of groups: what has to be composed to validate all of them."""
        return [batch[numbers[0]] for numbers, _ in self._groups(batch)]

    def parsed(self, text: str) -> Override:
        """An override as Hydra reads it."""
        if text not in self._parsed:
            self._parsed[text] = self._parser.parse_override(text)
        return self._parsed[text]

    def slowly(self, number: int, overrides: Sequence[str]) -> tuple[Composed, DictConfig]:
        """Compose a member as Hydra's basic launcher does; gives Hydra's config as well.

        Raises:
            ConfigError: in Hydra's words.
        """
        before = HydraConfig.instance().cfg
        try:
            return self._slowly(number, overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(f"member {number} ({' '.join(overrides)}): {in_one_line(error)}") from error
        finally:
            HydraConfig.instance().cfg = before

    def _slowly(self, number: int, overrides: Sequence[str]) -> tuple[Composed, DictConfig]:
        config = self.loader.load_sweep_config(self.master, list(overrides))
        with open_dict(config):
            config.hydra.job.id = number
            config.hydra.job.num = number
        HydraConfig.instance().set_config(config)
        folder, subdir = str(OmegaConf.select(config, "hydra.sweep.dir")), str(config.hydra.sweep.subdir)
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = os.path.abspath(os.path.join(folder, subdir))
        HydraConfig.instance().set_config(config)
        task = copy.deepcopy(config)
        with read_write(task), open_dict(task):
            del task["hydra"]
        with env_override(HydraConfig.get().job.env_set):
            resolved: Any = OmegaConf.to_container(task, resolve=True)
        plain: Any = OmegaConf.to_container(task, enum_to_str=True)
        hydra: Any = OmegaConf.to_container(config.hydra, enum_to_str=True)
        typed = tuple(hydra["overrides"]["task"])
        return Composed(number, typed, {str(k): v for k, v in resolved.items()}, plain, hydra, subdir), config

    def _groups(self, batch: Sequence[Sequence[str]]) -> list[tuple[list[int], frozenset[str]]]:
        """Members that differ in single values only, and the keys of these values."""
        seen: dict[str, set[str]] = {}
        for overrides in batch:
            for text in overrides:
                seen.setdefault(text.partition("=")[0], set()).add(text)
        varying = frozenset(key for key, texts in seen.items() if len(texts) > 1)
        groups: dict[tuple[Any, ...], tuple[list[int], frozenset[str]]] = {}
        for number, overrides in enumerate(batch):
            keys = self._settable(overrides, varying)
            rest = tuple(None if text.partition("=")[0] in keys else text for text in overrides)
            groups.setdefault((rest, keys), ([], keys))[0].append(number)
        return list(groups.values())

    def _settable(self, overrides: Sequence[str], varying: frozenset[str]) -> frozenset[str]:
        """What stands before the ``=`` of those overrides that nothing but one value depends on."""
        found = {text.partition("=")[0]: text for text in overrides}
        # Options are chosen before any value is set, so that only values can stand in each other's way.
        keys = [text.partition("=")[0].lstrip("+~") for text in overrides if not self._chooses(text)]
        paths = [tuple(key.split(".")) for key in keys]
        return frozenset(
            name
            for name, text in found.items()
            if name in varying and not _overlaps(name.lstrip("+~"), paths) and self._sets_one_value(text)
        )

    def _chooses(self, text: str) -> bool:
        """Whether an override chooses an option, rather than set a value."""
        key = text.partition("=")[0].lstrip("+~").partition("@")[0]
        if key not in self._is_group:
            known = self.loader.list_groups("")
            self._is_group[key] = key in known or bool(self.loader.get_group_options(key))
        return self._is_group[key] and not isinstance(self.parsed(text).value(), dict)

    def _sets_one_value(self, text: str) -> bool:
        override = self.parsed(text)
        if override.is_delete() or override.package is not None or override.is_sweep_override():
            return False
        if _KEY.fullmatch(str(override.key_or_group)) is None or override.is_hydra_override():
            return False
        return not self._chooses(text) and _is_single(override.value())


class _Template:
    """A member that Hydra composed, and others that differ from it in the values of some keys.

    Args:
        composer: the sweep's.
        number: the first member's.
        overrides: the same member's.
        keys: what stands before the ``=`` of the overrides that differ.
    """

    def __init__(self, composer: Composer, number: int, overrides: Sequence[str], keys: frozenset[str]) -> None:
        self.composer = composer
        self.keys = keys
        self.member, config = composer.slowly(number, overrides)
        self.is_sure = all(_is_plain_at(config, key.lstrip("+").split(".")) for key in keys)
        self.naming = self.member.hydra["job"]["config"]["override_dirname"]

    @cached_property
    def interpolations(self) -> Mapping[Path, str]:
        """Those of the first member."""
        return interpolations(self.member.task)

    def with_values(self, number: int, overrides: Sequence[str]) -> Composed | None:
        """Another member, or None where only Hydra composes it for certain."""
        if not self.is_sure:
            return None
        values = {}
        for text in overrides:
            name = text.partition("=")[0]
            if name in self.keys:
                values[tuple(name.lstrip("+").split("."))] = self.composer.parsed(text).value()
        try:
            return self._with_values(number, overrides, values)
        except UnsureError:
            return None

    def _with_values(self, number: int, overrides: Sequence[str], values: Mapping[Path, Any]) -> Composed:
        first = self.member
        task = replaced(first.task, values)
        texts = {path: text for path, text in self.interpolations.items() if path not in values}
        texts |= {path: value for path, value in values.items() if isinstance(value, str) and "${" in value}
        config = replaced(first.config, {**values, **{path: resolve(text, task) for path, text in texts.items()}})
        dirname = self._dirname(overrides)
        changes: dict[Path, Any] = {
            ("overrides", "task"): list(overrides),
            ("job", "override_dirname"): dirname,
            ("job", "id"): str(number),
            ("job", "num"): number,
        }
        hydra = replaced(first.hydra, changes)
        subdir = self._subdir(number, dirname, {**task, "hydra": hydra})
        folder = os.path.dirname(first.hydra["runtime"]["output_dir"])
        hydra = replaced(hydra, {("runtime", "output_dir"): os.path.join(folder, subdir)})
        return Composed(number, tuple(overrides), config, task, hydra, subdir, first)

    def _dirname(self, overrides: Sequence[str]) -> str:
        """As ``hydra._internal.config_loader_impl.get_overrides_dirname``."""
        excluded = self.naming["exclude_keys"]
        shown = sorted(text for text in overrides if text.partition("=")[0].lstrip("+~") not in excluded)
        dirname = str(self.naming["item_sep"]).join(shown).replace("=", self.naming["kv_sep"])
        if "${" in dirname or any("@" in text for text in overrides):
            raise UnsureError
        return dirname

    def _subdir(self, number: int, dirname: str, root: Mapping[str, Any]) -> str:
        text = self.member.hydra["sweep"]["subdir"]
        if text == _SUBDIR:
            return member_name(number, [dirname] if dirname else [])
        subdir = str(resolve(text, root))
        if "/" in subdir or os.sep in subdir:
            raise UnsureError
        return subdir


def _overlaps(key: str, paths: Sequence[Path]) -> bool:
    """Whether another override sets the same value, or something around or inside it."""
    own = tuple(key.split("."))
    return sum(path[: len(own)] == own[: len(path)] for path in paths) > 1


def _is_single(value: Any) -> bool:
    """Whether a value replaces what was there whole, whatever that was, and stays as it is."""
    if isinstance(value, list):
        return all(_is_single(item) and not (isinstance(item, str) and "${" in item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def _is_plain_at(config: DictConfig, path: Sequence[str]) -> bool:
    """Whether a key is there, without a type that would convert what is set, and not behind an interpolation."""
    node: Any = config
    for part in path:
        # Of a node that is an interpolation, null or missing, the content is no mapping.
        if not isinstance(node, DictConfig) or not isinstance(node._content, dict) or part not in node._content:
            return False
        node = node._content[part]
    is_plain_list = isinstance(node, ListConfig) and node._metadata.element_type is Any
    return isinstance(node, AnyNode) or is_plain_list
