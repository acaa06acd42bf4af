"""Overrides of a command that uses a trained run: the data, the device, granted packages, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnlab.check.override import Typed, parse
from nnlab.check.root import root_problem
from nnlab.check.value_type import type_problem
from nnlab.config import ConfigError, Library, nearest
from nnlab.target import parameters_of, resolve

#: keys of data that change nothing here, each with the reason
_FIXED = {
    **dict.fromkeys(
        ("expand", "input_scale", "standardize", "standardize_target"), "the preprocessing is that of the training"
    ),
    **dict.fromkeys(("batch_size", "shuffle"), "it changes nothing in an evaluation"),
    "fold": "the rows held out are those of the training",
    "_target_": "choose other data with data=…",
}


@dataclass(frozen=True)
class RunOverrides:
    """Overrides that could be read.

    Args:
        plugins: the packages that they grant.
        device: the device that they ask for, or None.
        option: the data set that they choose, or None for the run's own.
        data: those of keys of the data.
    """

    plugins: tuple[str, ...] = ()
    device: str | None = None
    option: str | None = None
    data: tuple[Typed, ...] = ()


def read_overrides(texts: Sequence[str], keys: Sequence[str]) -> RunOverrides:
    """Read overrides.

    Args:
        texts: as typed.
        keys: what may be set: some of ``plugins``, ``device`` and ``data``.

    Returns:
        What they say.

    Raises:
        ConfigError: with everything that is wrong and can be told without the run.
    """
    library = Library()
    problems: list[str] = []
    found: dict[str, Any] = {}
    data: list[Typed] = []
    for text in texts:
        try:
            one = parse(text, library)
        except ConfigError as error:
            problems += error.problems
            continue
        problem = _problem(one, keys, library)
        if problem:
            problems.append(f"{text}: {problem}")
        elif one.key.startswith("data."):
            data.append(one)
        else:
            found[one.key] = one.value
    if problems:
        raise ConfigError(*problems)
    return RunOverrides(tuple(found.get("plugins", ())), found.get("device"), found.get("data"), tuple(data))


def with_data(config: Mapping[str, Any], overrides: RunOverrides) -> dict[str, Any]:
    """A run's config with other data.

    Args:
        config: whose targets have been checked.
        overrides: of the data.

    Returns:
        A new config.

    Raises:
        ConfigError: with every key that the data do not have, and every value of another type.
    """
    node = dict(config["data"])
    if overrides.option is not None:
        node = Library().options("data")[overrides.option].content
    problems = []
    for one in overrides.data:
        problem = _data_problem(one, node)
        if problem:
            problems.append(f"{one.text}: {problem}")
        node[one.key.removeprefix("data.")] = one.value
    if problems:
        raise ConfigError(*problems)
    return {**config, "data": node}


def _problem(one: Typed, keys: Sequence[str], library: Library) -> str | None:
    group = one.key.partition(".")[0]
    if group not in keys:
        return f"only {' and '.join(keys)} can be set here; everything else is as the run was trained"
    if one.is_sweep:
        return "expected one value, found several"
    if one.is_addition or one.is_delete or one.is_repackaged:
        return "expected key=value, without + and ~"
    if "${" in one.text:
        return "expected a plain value: interpolations are not resolved here"
    if one.key == "data":
        known = library.options("data")
        hint = nearest(str(one.value), list(known)) or f"; there are {', '.join(known)}"
        return None if one.value in known else f"data has no option {one.value!r}{hint}"
    return None if group == "data" else root_problem(one, library)


def _data_problem(one: Typed, node: Mapping[str, Any]) -> str | None:
    name = one.key.removeprefix("data.")
    if name in _FIXED:
        return f"cannot be set here: {_FIXED[name]}"
    known = [key for key in node if key not in _FIXED]
    if name not in known:
        hint = nearest(name, known) or f"; there are {', '.join(known)}"
        return f"the data have no key {name!r}{hint}"
    parameters = parameters_of(resolve(node["_target_"], "data._target_"))
    return type_problem(one.value, node[name], lambda: parameters.get(name, Any))
