"""Finds the mistakes in a command before Hydra composes anything, all of them at once."""

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from nnlab.config import LIST_GROUPS, ConfigError, Library, choices_of, nearest

_NEEDS_MULTIRUN = "several values make a sweep; add -m"


@dataclass
class Command:
    """A checked command.

    Args:
        overrides: as typed.
        choices: for each group the options that the command can choose (several where it sweeps over them).
        problems: one sentence for each mistake.
        values: keys that are set, with the values as typed.
        swept: the overrides that a sweep varies.
        fixed: keys that it does not vary.
    """

    overrides: list[str]
    choices: dict[str, list[str]]
    problems: list[str] = field(default_factory=list)
    bad_groups: bool = False
    good: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The run's name: as set, else the experiment's, else the data set's."""
        chosen = self.values.get("name") or next(iter(self.choices.get("experiment", [])), None)
        return str(chosen or next(iter(self.choices.get("data", [])), "run"))


def check(overrides: Sequence[str], library: Library, multirun: bool) -> Command:
    """Check a command's overrides against groups, keys, types and the targets' signatures.

    Args:
        overrides: as typed.
        library: the configs to choose from.
        multirun: whether several values for one key are a sweep.

    Returns:
        The command, with its problems.
    """
    command = Command(list(overrides), library.default_choices())
    parsed = _parse(command)
    groups = [(text, one) for text, one in parsed if _is_group(one, library)]
    _choose_groups(command, groups, library, multirun)
    for text, override in parsed:
        if (text, override) in groups or _is_hydras(override):
            continue
        problem = _value_problem(override, command, library, multirun)
        if problem:
            command.problems.append(f"{text}: {problem}")
        else:
            command.good.append(text)
    command.problems += _conflicts(command)
    return command


def _parse(command: Command) -> list[tuple[str, Override]]:
    parser, parsed = OverridesParser.create(), []
    for text in command.overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            first = str(error).splitlines()[0]
            hint = "" if "=" in text else "; expected key=value"
            command.problems.append(f"{text}: cannot be read ({first}){hint}")
            continue
        parsed.append((text, override))
        if _is_hydras(override):
            command.good.append(text)
            command.values[override.key_or_group] = None if override.is_delete() else override._value
    return parsed


def _is_hydras(override: Override) -> bool:
    return bool(override.key_or_group.split(".")[0].split("/")[0] == "hydra")


def _is_group(override: Override, library: Library) -> bool:
    key = override.key_or_group
    return bool(key in library.groups and not isinstance(override._value, dict))


def _choose_groups(command: Command, groups: Sequence[tuple[str, Override]], library: Library, multirun: bool) -> None:
    asked: dict[str, list[str]] = {}
    for text, override in groups:
        group = override.key_or_group
        if override.is_delete():
            asked[group] = []
            command.good.append(text)
            continue
        if override.is_sweep_override() and not multirun:
            command.problems.append(f"{text}: {_NEEDS_MULTIRUN}")
            command.bad_groups = True
            continue
        wanted = _wanted(override, list(library.options(group)), multirun)
        unknown = [name for name in wanted if name not in library.options(group)]
        for name in unknown:
            known = list(library.options(group))
            hint = nearest(name, known) or f"; there are {', '.join(known)}"
            command.problems.append(f"{text}: {group} has no option {name!r}{hint}")
        command.bad_groups |= bool(unknown)
        if not unknown:
            asked[group] = wanted
            command.good.append(text)
            if not override.is_sweep_override():
                command.fixed.append(group)
    for name in asked.get("experiment", []):
        command.choices |= choices_of(library.options("experiment")[name].content.get("defaults", []))
    command.choices |= asked


def _wanted(override: Override, known: list[str], multirun: bool) -> list[str]:
    value = override._value
    if isinstance(value, Glob):
        return list(value.filter(known))
    if multirun and override.is_sweep_override():
        choices = [text.strip() for text in override.sweep_string_iterator()]
        return [name for choice in choices for name in choice.strip("[]").split(",") if name not in ("null", "")]
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(override.value())]


def _value_problem(override: Override, command: Command, library: Library, multirun: bool) -> str | None:
    key = override.key_or_group
    group, _, rest = key.partition(".")
    if override.is_sweep_override() and not multirun:
        return _NEEDS_MULTIRUN
    if group == key and key not in library.root:
        return f"there is no group or key {key!r}{nearest(key, [*library.groups, *_root_keys(library)])}"
    if group in library.groups and rest:
        return _component_problem(override, group, rest, command, library)
    if key not in library.root or group in ("defaults", "hydra"):
        return f"there is no key {key!r}{nearest(key, [*library.groups, *_root_keys(library)])}"
    command.values[key] = None if override.is_delete() else override._value
    if not override.is_sweep_override():
        command.fixed.append(key)
    allowed: dict[str, Any] = {"name": str | None, "seed": int, "device": str, "plugins": list}
    return _type_problem(override, library.root[key], allowed.get(key, Any))


def _component_problem(override: Override, group: str, rest: str, command: Command, library: Library) -> str | None:
    options = [library.options(group)[name] for name in command.choices.get(group, [])]
    if not options:
        return f"no {group} is chosen, so {group}.{rest} has no meaning; add {group}=…"
    for option in options:
        if option.content.get("defaults"):
            continue  # an option that inherits keys is checked when it is composed
        problem = _option_problem(override, option.content, group, rest, option.name, library)
        # In a list group, the key belongs to one of the options.
        if problem and not (group in LIST_GROUPS and _has_other(options, rest)):
            return problem
    command.values[override.key_or_group] = override._value
    if not override.is_sweep_override():
        command.fixed.append(override.key_or_group)
    return None


def _has_other(options: Sequence[Any], rest: str) -> bool:
    name, _, key = rest.partition(".")
    return any(key in option.content.get(name, {}) for option in options)


def _option_problem(
    override: Override, content: Mapping[str, Any], group: str, rest: str, option: str, library: Library
) -> str | None:
    node: Any = content
    parts = rest.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(node, Mapping):
            # Inside a value such as {_target_: …}, which was given whole before.
            return None
        if part in node:
            parent, node = node, node[part]
            continue
        if override.is_add() or override.is_force_add():
            return _addition_problem(node, part, group, option)
        owner = f"{group}={option}" if depth == 0 else f"{group}.{'.'.join(parts[:depth])}"
        known = [str(name) for name in node if name != "_target_"]
        hint = nearest(part, known) or f"; it has {', '.join(known)}" if known else ""
        return f"{owner} has no key {part!r}{hint}"
    if override.is_delete():
        return f"{group}.{rest} cannot be removed; set a value"
    return _type_problem(override, node, _annotation(parent, parts[-1], group))


def _addition_problem(node: Mapping[str, Any], name: str, group: str, option: str) -> str | None:
    if "_target_" not in node:
        return f"{group}={option} has no place for {name!r}"
    parameters = _parameters(node, group)
    if parameters is None or name in parameters:
        return None
    return f"{node['_target_']} takes no {name!r}{nearest(name, list(parameters))}"


def _parameters(node: Mapping[str, Any], group: str) -> Mapping[str, Any] | None:
    from nnlab.target import parameters_of, resolve

    try:
        return parameters_of(resolve(str(node["_target_"]), f"{group}._target_"))
    except (ConfigError, ValueError, TypeError):
        return None  # the target itself is refused where it is built, with its own message


def _annotation(node: Mapping[str, Any], name: str, group: str) -> Any:
    """A function that gives the annotation only if it is needed: importing a target costs a second."""

    def find() -> Any:
        if "_target_" not in node:
            return Any
        parameters = _parameters(node, group)
        return Any if parameters is None else parameters.get(name, Any)

    return find


def _type_problem(override: Override, default: Any, annotation: Any) -> str | None:
    if override.is_delete():
        return None
    for value in _values(override):
        if isinstance(value, str) and "${" in value:
            continue
        if default is not None and _is_like(value, default):
            continue
        wanted = annotation() if callable(annotation) and isinstance(annotation, types.FunctionType) else annotation
        if (default is not None and wanted is Any) or not _accepts(wanted, value):
            names = [_name_of(type(default))] * (default is not None) + _names_of(wanted)
            return f"expected {' or '.join(dict.fromkeys(names))}, found {_shown(value)}"
    return None


def _values(override: Override) -> Iterable[Any]:
    if not override.is_sweep_override():
        return [override.value()]
    if override.is_interval_sweep() or isinstance(override._value, Glob):
        return []
    parser = OverridesParser.create()
    return [parser.parse_override(f"key={text}").value() for text in override.sweep_string_iterator()]


def _is_like(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, str):
        return isinstance(value, str)
    return isinstance(value, type(default))


def _accepts(annotation: Any, value: Any) -> bool:
    """Whether an annotation admits a plain value; annotations that say nothing of plain values admit all."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_accepts(part, value) for part in typing.get_args(annotation))
    if origin is typing.Literal:
        return value in typing.get_args(annotation)
    if annotation is None or annotation is type(None):
        return value is None
    kind = origin or annotation
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (str, bool):
        return isinstance(value, kind)
    if isinstance(kind, type) and issubclass(kind, list | tuple | Sequence):
        inner = typing.get_args(annotation)
        return isinstance(value, list) and all(_accepts(inner[0], item) for item in value if inner)
    if kind is typing.get_origin(typing.Callable[..., Any]):
        return isinstance(value, dict) and "_target_" in value
    return kind is Any or not isinstance(kind, type) or kind is object


_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    list: "a list",
    dict: "keys and values",
}


def _name_of(kind: type) -> str:
    return _NAMES.get(kind, kind.__name__)


def _names_of(annotation: Any) -> list[str]:
    """What may be typed for an annotation, in words; kinds that cannot be typed (a tensor) are left out."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return [name for part in typing.get_args(annotation) for name in _names_of(part)]
    if origin is typing.Literal:
        return [str(item) for item in typing.get_args(annotation)]
    if annotation is type(None):
        return ["null"]
    if isinstance(annotation, type) and annotation in _NAMES:
        return [_NAMES[annotation]]
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return ["a list"]
    return ["a component {_target_: …}"] if origin is typing.get_origin(typing.Callable[..., Any]) else []


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _root_keys(library: Library) -> list[str]:
    return [key for key in library.root if key not in ("defaults", "hydra") and key not in library.groups]


def _conflicts(command: Command) -> list[str]:
    both = [key for key in ("model.depth", "model.width") if key in command.values]
    if "model.widths" in command.values and both:
        return [f"model.widths beside {' and '.join(both)}: widths already says how many layers there are and how wide"]
    return []
