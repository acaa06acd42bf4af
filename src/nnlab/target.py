"""Targets in configs: a dotted path is imported, the object it names is checked, and only then called."""

import importlib
import inspect
import traceback
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from nnlab.config import ConfigError, nearest

Node = Mapping[str, Any]


@dataclass(frozen=True)
class Allowed:
    """What a group's targets may be.

    Args:
        base: the class that a class must derive from, as ``module:name``.
        modules: where such a class may come from, beside granted packages.
        functions: the module whose public functions count too, or None.
        nested: keys that may hold a target of their own, and what that may be.
    """

    base: str
    modules: tuple[str, ...]
    functions: str | None = None
    nested: Mapping[str, "Allowed"] | None = None


_NNLAB_SETS = ", nnlab sets it"
REFUSED_KEYS = ("_args_", "_partial_", "_convert_", "_recursive_")


def resolve(path: str, key: str) -> Any:
    """The object that a dotted path names: the longest prefix that is a module is imported, the rest are attributes.

    Args:
        path: such as ``torch.optim.Adam``.
        key: where it stands, for messages, such as ``optim._target_``.

    Returns:
        The object.

    Raises:
        ConfigError: if a part is private or absent.
    """
    parts = path.split(".") if isinstance(path, str) else [""]
    if not all(part.isidentifier() and not part.startswith("_") for part in parts) or len(parts) < 2:
        raise ConfigError(f"{key}: expected a dotted path of public names, such as torch.optim.Adam, found {path!r}")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
                continue
            raise ConfigError(f"{key}: {path} needs the package {error.name}, which is not installed") from None
        except Exception as error:  # whatever somebody's own module does when it is imported
            raise ConfigError(f"{key}: {name} cannot be imported: {_where(error)}") from error
        for position, part in enumerate(parts[length:], length):
            if not hasattr(found, part):
                raise ConfigError(f"{key}: {'.'.join(parts[:position])} has no {part!r}{nearest(part, dir(found))}")
            found = getattr(found, part)
        return found
    raise ConfigError(f"{key}: there is no module {parts[0]!r}")


def _where(error: Exception) -> str:
    """What an import ended with, and the line of the module that did."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: SyntaxError: {error.msg}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}, line {last.lineno}: {type(error).__name__}: {error}"


def check_target(path: Any, allowed: Allowed, key: str, plugins: Sequence[str]) -> Callable[..., Any]:
    """The class or function that a target names, if its group allows it.

    The check is of the object, by the module that defines it: an alias in an allowed module opens no door.

    Args:
        path: the ``_target_``.
        allowed: what may stand there.
        key: where it stands, for messages.
        plugins: packages granted on the command line.

    Returns:
        The object to call.

    Raises:
        ConfigError: if it is absent or not allowed, saying what is.
    """
    key = f"{key}._target_"
    granted = tuple(dict.fromkeys([*([allowed.functions] if allowed.functions else []), *allowed.modules, *plugins]))
    if not isinstance(path, str) or not any(path.startswith(f"{module}.") for module in granted):
        raise ConfigError(f"{key}: expected a target in {' or '.join(granted)}, found {path!r}; {_PLUGINS_HINT}")
    target = resolve(path, key)
    if not inspect.isclass(target) and not inspect.isfunction(target):
        raise ConfigError(f"{key}: expected a class or a function, found {path}, which is a {type(target).__name__}")
    home = target.__module__ or ""
    if not any(home == module or home.startswith(f"{module}.") for module in granted):
        raise ConfigError(f"{key}: {path} is really {home}.{target.__qualname__}; {_PLUGINS_HINT}")
    if inspect.isfunction(target):
        public = (allowed.functions, *plugins) if allowed.functions else ()
        if any(_is_public(target, module) for module in public if module):
            return target
    elif _is_concrete(target, resolve_base(allowed.base)):
        return target
    elif undefined := sorted(getattr(target, "__abstractmethods__", ())):
        raise ConfigError(f"{key}: {path} is abstract: it leaves {', '.join(undefined)} undefined")
    raise ConfigError(f"{key}: expected {_expected(allowed)}, found {path}")


_PLUGINS_HINT = "packages of your own are granted with plugins=[my_package]"


def _is_concrete(target: type, base: type) -> bool:
    """Whether a class derives from the base and is more than it; the base itself only where it is final."""
    is_final = getattr(target, "__final__", False)
    return (
        base is not object
        and issubclass(target, base)
        and (is_final or (target is not base and not inspect.isabstract(target)))
    )


def _expected(allowed: Allowed) -> str:
    kinds = [f"a public function of {allowed.functions}"] if allowed.functions else []
    if allowed.base != "builtins:object":
        kinds.insert(0, f"a subclass of {allowed.base.replace(':', '.')}")
    return " or ".join(kinds)


def resolve_base(path: str) -> type:
    """The base class that ``Allowed`` names as ``module:name``."""
    module, _, name = path.partition(":")
    base: type = getattr(importlib.import_module(module), name)
    return base


def _is_public(function: Callable[..., Any], package: str) -> bool:
    root = importlib.import_module(package)
    if package.startswith("nnlab."):
        return function.__name__ in root.__all__ and getattr(root, function.__name__) is function
    return not function.__name__.startswith("_") and function.__module__.split(".")[0] == package.split(".")[0]


@cache
def parameters_of(target: Callable[..., Any]) -> Mapping[str, Any]:
    """The parameters that a target takes by name, each with its annotation (Any where there is none)."""
    constructor = target.__init__ if inspect.isclass(target) else target
    try:
        hints = typing.get_type_hints(constructor)
    except (NameError, TypeError):  # annotations of a foreign library that do not resolve here
        hints = {}
    named = [
        p for p in inspect.signature(target).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    return {parameter.name: hints.get(parameter.name, Any) for parameter in named}


def call(node: Node, allowed: Allowed, key: str, plugins: Sequence[str], **given: Any) -> Any:
    """Check a node's target and call it with its keys and with what only the run knows.

    Args:
        node: a mapping with ``_target_`` and plain values.
        allowed: what the target may be.
        key: where the node stands, for messages.
        plugins: packages granted on the command line.
        **given: values such as ``num_inputs``, which no config may set; those that the target does not take are
            left out.

    Returns:
        What the target returns.

    Raises:
        ConfigError: for a refused target, an unknown key, or a value that the target refuses.
    """
    target = check_target(node.get("_target_"), allowed, key, plugins)
    parameters = parameters_of(target)
    keys = bind(node, target, allowed, key, plugins, reserved=tuple(given))
    given = {name: value for name, value in given.items() if name in parameters}
    missing = [name for name in _required(target) if name not in keys and name not in given]
    if missing:
        raise ConfigError(*(f"{key}.{name}: missing; {node['_target_']} needs it" for name in missing))
    try:
        made = target(**given, **keys)
    except _ERRORS_OF_VALUES as error:
        known = ("data.", "model.", "trainer.", "device:", "figures:", f"{key}.")
        text = str(error) or type(error).__name__
        raise ConfigError(*(t if t.startswith(known) else f"{key}: {t}" for t in text.splitlines())) from error
    return _as_promised(made, allowed, key, node)


#: what a target raises for values that it cannot use; anything else is a fault in its code and keeps its traceback
_ERRORS_OF_VALUES = (ValueError, TypeError, IndexError, RuntimeError, OverflowError, MemoryError)


@cache
def _required(target: Callable[..., Any]) -> Sequence[str]:
    parameters = inspect.signature(target).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters if p.kind in named and p.default is inspect.Parameter.empty]


def _as_promised(made: Any, allowed: Allowed, key: str, node: Node) -> Any:
    """What a target gave, if it is of the group's base class, or a list of such."""
    base = resolve_base(allowed.base)
    if not all(isinstance(item, base) for item in (made if isinstance(made, list) else [made])):
        name = allowed.base.rpartition(":")[2]
        raise ConfigError(f"{key}: {node['_target_']} gave no {name} but {type(made).__name__}")
    return made


def bind(
    node: Node,
    target: Callable[..., Any],
    allowed: Allowed,
    key: str,
    plugins: Sequence[str],
    reserved: Sequence[str] = (),
) -> dict[str, Any]:
    """A node's keys as arguments of its target, nested targets made ready to be called.

    Args:
        node: a mapping with ``_target_`` and plain values.
        target: what it names.
        allowed: what the target may be.
        key: where the node stands, for messages.
        plugins: packages granted on the command line.
        reserved: parameters that only nnlab sets.

    Returns:
        The arguments by name.

    Raises:
        ConfigError: for a key that the target does not take, or that no config may set.
    """
    parameters = parameters_of(target)
    keys = {name: value for name, value in node.items() if name != "_target_"}
    for name, value in keys.items():
        if name in REFUSED_KEYS or name in reserved:
            raise ConfigError(f"{key}.{name}: cannot be set in a config{'' if name in REFUSED_KEYS else _NNLAB_SETS}")
        if name not in parameters:
            raise ConfigError(f"{key}.{name}: {node['_target_']} takes no such key{nearest(name, list(parameters))}")
        keys[name] = _nested(value, (allowed.nested or {}).get(name), f"{key}.{name}", plugins)
    return keys


def _nested(value: Any, allowed: Allowed | None, key: str, plugins: Sequence[str]) -> Any:
    if isinstance(value, Mapping) and "_target_" in value:
        if allowed is None:
            raise ConfigError(f"{key}: a _target_ cannot stand here")
        check_target(value["_target_"], allowed, key, plugins)
        return partial(call, value, allowed, key, plugins)
    if isinstance(value, Mapping):
        return {name: _nested(item, None, f"{key}.{name}", plugins) for name, item in value.items()}
    if isinstance(value, list):
        return [_nested(item, None, f"{key}.{number}", plugins) for number, item in enumerate(value)]
    return value
