"""Whether a config that came from a file may be built: its targets, keys, types and sizes. Nothing is called."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nnlab.build import ALLOWED, OWN_KEYS, TORCH_LOSS
from nnlab.check.value_type import type_problem
from nnlab.config import LIST_GROUPS, ConfigError
from nnlab.target import Allowed, Node, bind, check_target, parameters_of

#: sizes that a small model may name without having them, such as a width beside widths
MOST_UNUSED_SIZE = 10_000


def check_config(config: Node, plugins: Sequence[str]) -> None:
    """Refuse a config that would build something else than what nnlab trains.

    Args:
        config: a run's config as plain values.
        plugins: packages granted by whoever runs this; what the config itself names counts for nothing.

    Raises:
        ConfigError: for a target outside the table, where none may stand, or with keys or types that it does not
            take.
    """
    problems: list[str] = []
    for key, node, allowed in _nodes(config):
        try:
            _check_node(key, node, allowed, plugins)
        except ConfigError as error:
            problems += error.problems
    for key, value in config.items():
        if key not in ALLOWED:
            problems += [f"{found}: a _target_ cannot stand here" for found in _targets_within(key, value)]
    if problems:
        raise ConfigError(*problems)


def check_sizes(key: str, value: Any, most: int) -> None:
    """Refuse numbers that would take memory which the run itself cannot have taken.

    Args:
        key: where the value stands, such as ``model``.
        value: plain values.
        most: the largest whole number that can be meant, and the longest list.

    Raises:
        ConfigError: naming the first number or list that is larger.
    """
    if isinstance(value, int) and abs(value) > most:
        raise ConfigError(f"{key}: expected at most {most:,} here, found {value:,}")
    if isinstance(value, list | Mapping) and len(value) > most:
        raise ConfigError(f"{key}: expected at most {most:,} values here, found {len(value):,}")
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        check_sizes(f"{key}.{name}", item, most)


def _nodes(config: Node) -> Iterator[tuple[str, Any, Allowed]]:
    """Every component of a config: its key, its node and what its target may be."""
    for group, allowed in ALLOWED.items():
        if group in LIST_GROUPS:
            yield from ((f"{group}.{name}", node, allowed) for name, node in config[group].items())
        elif group == "loss" and str(config[group].get("_target_")).startswith("torch.nn."):
            yield group, config[group], TORCH_LOSS
        else:
            yield group, config[group], allowed


def _check_node(key: str, node: Any, allowed: Allowed, plugins: Sequence[str]) -> None:
    if not isinstance(node, Mapping):
        raise ConfigError(f"{key}: expected a component with a _target_, found {type(node).__name__}")
    target = check_target(node.get("_target_"), allowed, key, plugins)
    own = OWN_KEYS.get(key, ())
    bind({name: value for name, value in node.items() if name not in own}, target, allowed, key, plugins)
    _check_types(key, node, target)
    for name in own:
        within = _targets_within(f"{key}.{name}", node.get(name))
        for found in within:
            raise ConfigError(f"{found}: a _target_ cannot stand here")
    for name, nested in (allowed.nested or {}).items():
        value = node.get(name)
        if isinstance(value, Mapping) and "_target_" in value:
            _check_node(f"{key}.{name}", value, nested, plugins)


def _check_types(key: str, node: Node, target: Callable[..., Any]) -> None:
    parameters = parameters_of(target)
    for name, value in node.items():
        if name in parameters:
            problem = type_problem(value, None, lambda name=name: parameters[name])  # type: ignore[misc]
            if problem:
                raise ConfigError(f"{key}.{name}: {problem}")


def _targets_within(key: str, value: Any) -> Iterator[str]:
    """The keys of all targets in plain values."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        if name == "_target_":
            yield f"{key}.{name}"
        yield from _targets_within(f"{key}.{name}", item)
