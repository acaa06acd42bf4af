"""Overrides that set values: whether the key exists in what is chosen, and whether the value is of its type."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from nnlab.check.composition import Composition
from nnlab.check.override import Typed
from nnlab.check.root import ROOT_TYPES, root_problem
from nnlab.check.value_type import type_problem
from nnlab.config import LIST_GROUPS, ConfigError, Library, nearest

#: types of keys that nnlab reads itself and that their YAML value does not tell
OWN_TYPES: dict[str, Any] = {
    "init.bias": str | float | list[list[float]],
    "data.folds": int | None,
    "data.fold": int,
}


class Values:
    """Checks values against one choice of groups.

    Args:
        library: the configs to choose from.
        base: what the choice composes to; values that pass are put into it.
        plugins: packages granted on the command line.
    """

    def __init__(self, library: Library, base: Composition, plugins: Sequence[str]) -> None:
        self.library = library
        self.base = base
        self.plugins = plugins

    def problem(self, one: Typed) -> str | None:
        """What is wrong with an override, if anything.

        Args:
            one: an override that sets, adds or removes a value.

        Returns:
            One sentence, or None.
        """
        group, _, rest = one.key.partition(".")
        if group == "defaults" or one.is_repackaged:
            return f"there is no key {one.parsed.get_key_element()!r}"
        if group not in self.base.config and group not in self.library.groups:
            return f"there is no {'key' if rest else 'group or key'} {one.key!r}{self._did_you_mean(one.key)}"
        if group in ROOT_TYPES:
            return root_problem(one, self.library)
        if not self.base.config.get(group):
            return self._nothing_chosen(one.key)
        path = one.key.split(".")
        if one.is_sweep and not one.values():
            return "there is no value in it"
        for value in one.values():
            problem = self._node_problem(one, path, value)
            if problem:
                return problem
        if not one.is_sweep:
            self.base.put(path, one.value)
        return None

    def interpolation_problem(self, one: Typed, config: Mapping[str, Any]) -> str | None:
        """What is wrong with the type of what an interpolation came to, if anything.

        Args:
            one: an override that passed.
            config: the whole config, resolved.
        """
        if not _is_interpolation(one.value) or one.key in ROOT_TYPES:
            return None
        path = one.key.split(".")
        parent: Any = self.base.config
        found: Any = config[path[0]]
        for part, following in itertools.pairwise(path):
            parent, found = parent[part], found[following]
        return type_problem(found, None, lambda: self._annotation(parent, path))

    def _did_you_mean(self, key: str) -> str:
        """Near names among groups and root keys, else among the keys of components, with or without their group."""
        whole = [f"{group}.{name}" for group in self.library.groups for name in (self.base.config.get(group) or ())]
        if "." in key:
            return nearest(key, whole)
        last_words = {name.rpartition(".")[2]: name for name in reversed(whole)}
        return nearest(key, [*self.library.groups, *ROOT_TYPES]) or nearest(key, last_words)

    def _nothing_chosen(self, key: str) -> str:
        group, _, rest = key.partition(".")
        if group == "experiment":
            return "an experiment has no keys of its own; set those of the groups, such as optim.lr"
        name = rest.partition(".")[0]
        option = name if name in self.library.options(group) else "…"
        return f"no {group} is chosen, so {key} has no meaning; add {group}={option}"

    def _node_problem(self, one: Typed, path: Sequence[str], value: Any) -> str | None:
        parent: Any = None
        node: Any = self.base.config
        for depth, part in enumerate(path):
            if not isinstance(node, Mapping):
                return f"{'.'.join(path[:depth])} holds one value, not keys"
            if part not in node:
                here = path[: depth + 1]
                return self._addition_problem(here, node, value) if one.is_addition else self._unknown_key(here, node)
            parent, node = node, node[part]
        if one.is_delete:
            return f"{one.key} cannot be removed; set a value"
        if _is_interpolation(value):
            return None
        if isinstance(value, dict) and isinstance(node, Mapping):
            problems = (self._node_problem(one, [*path, str(name)], item) for name, item in value.items())
            return next(filter(None, problems), None)
        problem = type_problem(value, node, lambda: self._annotation(parent, path))
        if problem and one.is_interval and isinstance(value, float):
            low, high = one.texts()
            return f"{problem}; int(interval({low},{high})) has whole numbers"
        return problem

    def _unknown_key(self, path: Sequence[str], node: Mapping[str, Any]) -> str:
        known = [str(name) for name in node if name != "_target_"]
        owner = self.base.named(path[0]) if len(path) == 2 else ".".join(path[:-1])
        hint = nearest(path[-1], known) or (f"; it has {', '.join(known)}" if known else "")
        return f"{owner} has no key {path[-1]!r}{hint}"

    def _addition_problem(self, path: Sequence[str], node: Mapping[str, Any], value: Any) -> str | None:
        name = path[-1]
        if "_target_" not in node:
            # A group of the user's own is a plain mapping, which takes what it is given.
            is_ours = path[0] in self.library.default_choices()
            return f"{'.'.join(path[:-1])} has no place for {name!r}" if is_ours else None
        parameters = self._parameters(node, path)
        if parameters is None:
            return None
        parameters = {**parameters, **_own_types(path)}
        if name not in parameters:
            return f"{node['_target_']} takes no {name!r}{nearest(name, list(parameters))}"
        return None if _is_interpolation(value) else type_problem(value, None, lambda: parameters[name])

    def _annotation(self, node: Mapping[str, Any], path: Sequence[str]) -> Any:
        own = OWN_TYPES.get(".".join(path))
        if own is not None:
            return own
        parameters = self._parameters(node, path) if "_target_" in node else None
        return Any if parameters is None else parameters.get(path[-1], Any)

    def _parameters(self, node: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any] | None:
        """The parameters of a node's target; None where it is refused, which building it says in its own words."""
        from nnlab.allowed import ALLOWED, TORCH_LOSS
        from nnlab.target import check_target, parameters_of

        group = path[0]
        is_torch_loss = group == "loss" and str(node["_target_"]).startswith("torch.nn.")
        allowed = TORCH_LOSS if is_torch_loss else ALLOWED.get(group)
        for part in path[2:-1] if group in LIST_GROUPS else path[1:-1]:
            allowed = (allowed.nested or {}).get(part) if allowed else None
        if allowed is None:
            return None
        try:
            # Checked before it is imported: to import a stranger's module is to run it.
            return parameters_of(check_target(node["_target_"], allowed, group, self.plugins))
        except (ConfigError, TypeError):
            return None


def _own_types(path: Sequence[str]) -> dict[str, Any]:
    """The type of a key that nnlab reads itself, whatever the target takes, by the key's last word."""
    key = ".".join(path)
    return {path[-1]: OWN_TYPES[key]} if key in OWN_TYPES else {}


def _is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and "${" in value
