"""Whether a plain value fits where it stands: like the default there, or as the target's signature says."""

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: how the types that can be typed are called in messages
_NAMES: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    list: "a list",
    dict: "keys and values",
}
_CALLABLE = typing.get_origin(Callable[..., Any])


def type_problem(value: Any, default: Any, annotation: Callable[[], Any]) -> str | None:
    """What is wrong with a value's type, if anything.

    Args:
        value: as given: null, a number, a word, a list, a mapping.
        default: what stands there otherwise; None or an interpolation says nothing.
        annotation: gives the target's own annotation, Any if there is none. It is asked only where the default does
            not settle it, because importing a target can cost a second.

    Returns:
        Such as ``expected a whole number or null, found 1.5``, or None.
    """
    if isinstance(default, str) and "${" in default:
        default = None
    if default is not None and not isinstance(default, list | Mapping) and _is_like(value, default):
        return None
    wanted = annotation()
    if wanted is Any:
        if default is None or _is_like(value, default):
            return None
    elif accepts(wanted, value):
        return None
    names = _names_of(wanted) or [_NAMES.get(type(default), type(default).__name__)]
    return f"expected {' or '.join(dict.fromkeys(names))}, found {shown(value)}"


def shown(value: Any) -> str:
    """A value as it is typed in a command or in YAML, for messages."""
    if isinstance(value, list):
        return f"[{', '.join(shown(item) for item in value)}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _is_like(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list):
        return isinstance(value, list) and (
            not default or all(isinstance(item, str) == isinstance(default[0], str) for item in value)
        )
    return isinstance(value, Mapping if isinstance(default, Mapping) else type(default))


def accepts(annotation: Any, value: Any) -> bool:
    """Whether an annotation admits a plain value; annotations that say nothing of plain values admit all."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(accepts(part, value) for part in arguments if part is type(None) or _can_be_typed(part))
    if origin is typing.Literal:
        return value in arguments
    if annotation is None or annotation is type(None):
        return value is None
    kind = origin or annotation
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (str, bool):
        return isinstance(value, kind)
    if kind is _CALLABLE:
        return isinstance(value, Mapping) and "_target_" in value
    if isinstance(kind, type) and issubclass(kind, Sequence):
        return isinstance(value, list) and _items_fit(arguments, value, is_tuple=kind is tuple)
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    return True


def _items_fit(arguments: tuple[Any, ...], items: list[Any], is_tuple: bool) -> bool:
    if is_tuple and arguments and arguments[-1] is not Ellipsis:
        return len(items) == len(arguments) and all(accepts(*pair) for pair in zip(arguments, items, strict=True))
    return not arguments or all(accepts(arguments[0], item) for item in items)


def _can_be_typed(part: Any) -> bool:
    """Whether a part of a union says something of plain values: a tensor, for one, does not."""
    kind = typing.get_origin(part) or part
    return (
        part is Any
        or kind in (*_NAMES, typing.Literal, typing.Union, types.UnionType, _CALLABLE)
        or (isinstance(kind, type) and issubclass(kind, Sequence | Mapping))
    )


def _names_of(annotation: Any) -> list[str]:
    """What may be typed for an annotation, in words; kinds that cannot be typed (a tensor) are left out."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return [name for part in arguments for name in _names_of(part)]
    if origin is typing.Literal:
        return [str(item) for item in arguments]
    if annotation is type(None):
        return ["null"]
    if isinstance(annotation, type) and annotation in _NAMES:
        return [_NAMES[annotation]]
    if origin is _CALLABLE:
        return ["a component {_target_: …}"]
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [_list_name(arguments, is_tuple=origin is tuple)]
    return []


def _list_name(arguments: tuple[Any, ...], is_tuple: bool) -> str:
    plural = {int: "whole numbers", float: "numbers", str: "words"}
    if is_tuple and arguments and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} {_plural_of(arguments, plural)}".rstrip()
    inner = _plural_of(arguments[:1], plural)
    return f"a list of {inner}" if inner else "a list"


def _plural_of(arguments: tuple[Any, ...], plural: Mapping[type, str]) -> str:
    parts = [part for argument in arguments for part in (typing.get_args(argument) or (argument,))]
    names = dict.fromkeys(plural[part] for part in parts if part in plural)
    return " or ".join(names)
