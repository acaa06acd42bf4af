"""Whether a config and a state that came from files may be used: targets, keys, types, sizes. Nothing is called."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nnlab.allowed import ALLOWED, OWN_KEYS, TORCH_LOSS
from nnlab.check.value_type import type_problem
from nnlab.config import LIST_GROUPS, ConfigError
from nnlab.folder import FolderError
from nnlab.pointer import is_count
from nnlab.run_record import shown
from nnlab.target import Allowed, Node, bind, check_target, parameters_of

#: sizes that a small model may name without having them, such as a width beside widths
MOST_UNUSED_SIZE = 10_000
#: layers of a model, each of which takes time and memory however small it is
MOST_LAYERS = 10_000
#: rows that a run's own config may ask for; whoever wants more types the number
MOST_ROWS = 100_000_000
#: of the keys that nnlab itself reads; what a target takes is checked by its signature
_OWN_TYPES: dict[str, dict[str, Any]] = {
    "data": {
        "batch_size": int,
        "shuffle": bool,
        "expand": list[str],
        "input_scale": float,
        "standardize": bool,
        "standardize_target": bool,
        "folds": int | None,
        "fold": int,
    },
    "init": {"bias": str | float | list[Any]},
    "loss": {"l1": float, "l2": float},
    "optim": {"no_decay": list[str]},
    "trainer": {"on_divergence": str},
}
#: keys without which no config was ever trained
_NEEDED = {"data": ("batch_size", "shuffle"), "trainer": ("on_divergence", "monitor")}


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


def check_model_size(node: Node, num_bytes: int) -> None:
    """Refuse a model that is larger than the file of its parameters, before anything of it is built.

    Args:
        node: the model's.
        num_bytes: size of the largest checkpoint: no layer is wider than the file that holds its parameters is long.

    Raises:
        ConfigError: naming the first number or list that is larger.
    """
    check_sizes("model", node, max(MOST_UNUSED_SIZE, num_bytes))
    depth, widths = node.get("depth"), node.get("widths")
    if isinstance(depth, int):
        check_sizes("model.depth", depth, MOST_LAYERS)
    if isinstance(widths, list) and len(widths) > MOST_LAYERS:
        raise ConfigError(f"model.widths: expected at most {MOST_LAYERS:,} values here, found {len(widths):,}")


def check_data_size(node: Node, typed: Sequence[str] = ()) -> None:
    """Refuse data of more rows than a stranger's config may ask for.

    Args:
        node: the data's.
        typed: names of its keys that whoever runs this has set.

    Raises:
        ConfigError: naming the first number or list that is larger.
    """
    for name, value in node.items():
        if name != "seed" and name not in typed:
            check_sizes(f"data.{name}", value, MOST_ROWS)


def check_training_state(state: Mapping[str, Any], begun: Mapping[str, Any], where: Path) -> None:
    """Refuse the part of a checkpoint beside its model that no training of this run can have written.

    Args:
        state: what ``Fitting.write`` writes.
        begun: ``step``, ``schedule``, ``param_groups`` and the ``columns`` of metrics.csv, as they have to be or to be
            like.
        where: the checkpoint's file, for messages.

    Raises:
        FolderError: naming the key.
    """
    progress, began, record = (state.get(key) for key in ("progress", "epoch_began", "record"))
    steps = [_steps(counts) for counts in (progress, began)]
    optimizer = state.get("optimizer")
    fitting = {
        "tables": _are_tables(state.get("tables")),
        "progress": steps[0] == begun["step"],
        "epoch_began": steps[1] is not None and steps[1] <= begun["step"],
        "epoch_is_over": isinstance(state.get("epoch_is_over"), bool),
        "seconds": _is_number(state.get("seconds")),
        "record": _is_record(record),
        "best": state.get("best") is None or _is_row(state["best"], begun["columns"]),
        "callbacks": isinstance(state.get("callbacks"), Mapping),
        "schedule": _is_like(state.get("schedule"), begun["schedule"]),
        "optimizer": isinstance(optimizer, Mapping) and _is_like(optimizer.get("param_groups"), begun["param_groups"]),
        "torch_generator": _is_stream(state.get("torch_generator"), torch.get_rng_state().numel()),
        **{key: _are_streams(state.get(key)) for key in ("generators", "cuda_generator")},
    }
    for key, fits in fitting.items():
        if not fits:
            raise FolderError(
                f"{where}: {key}: expected what a training of this run writes, found {shown(state.get(key))}"
            )


def _are_tables(value: Any) -> bool:
    """Rows by the name of a table: a file of that name in the run's folder is going to be cut to them."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]+", name) and is_count(rows)
        for name, rows in value.items()
    )


def _steps(counts: Any) -> int | None:
    """The steps of a progress; None if it is none."""
    if not isinstance(counts, Mapping) or set(counts) != {"epoch", "step", "batch"}:
        return None
    step = counts["step"]
    # Every epoch and every batch has taken a step, or there were none to take.
    fits = is_count(step) and all(is_count(counts[name]) and counts[name] <= max(step, 1) for name in counts)
    return step if fits else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_record(value: Any) -> bool:
    lists = [value.get(name) if isinstance(value, Mapping) else None for name in ("losses", "sizes", "outputs")]
    if not all(isinstance(items, list) for items in lists):
        return False
    losses, sizes, outputs = (items or [] for items in lists)
    return (
        len(losses) == len(sizes)
        and all(isinstance(loss, int | float) for loss in losses)
        and all(_is_number(size) and 0 <= size < math.inf for size in sizes)
        and all(isinstance(output, Tensor) for output in outputs)
        and ("folded" not in value or _is_folded(value["folded"]))
    )


def _is_folded(value: Any) -> bool:
    """Whether it is what ``Folded.state_dict`` gives."""
    if not isinstance(value, Mapping) or set(value) != {"waiting", "num_parts", "loss", "parts", "whole"}:
        return False
    waiting, parts, whole = (value[name] for name in ("waiting", "parts", "whole"))
    if not all(isinstance(items, list) for items in (waiting, parts, whole)) or not is_count(value["num_parts"]):
        return False
    pairs = [pair for pairs in whole if isinstance(pairs, list) for pair in pairs]
    return (
        len(waiting) in (0, 2)
        and len(parts) == len(whole)
        and all(isinstance(pairs, list) for pairs in whole)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
        and all(isinstance(t, Tensor) for t in (*waiting, *(side for pair in pairs for side in pair)))
        and all(one is None or isinstance(one, Tensor) for one in (value["loss"], *parts))
    )


def _is_row(value: Any, columns: Sequence[str]) -> bool:
    """Whether it is a row of metrics.csv."""
    return (
        isinstance(value, Mapping)
        and list(value) == list(columns)
        and all(isinstance(number, int | float) for number in value.values())
        and all(is_count(value[name]) for name in ("epoch", "step"))
    )


def _are_streams(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_stream, value))


def _is_stream(value: Any, num_bytes: int | None = None) -> bool:
    """Whether it is the state of a random stream."""
    return isinstance(value, Tensor) and value.dtype == torch.uint8 and num_bytes in (None, value.numel())


def _is_like(value: Any, like: Any) -> bool:
    """Whether plain values are of the same form as others; null stands for a number that is not known yet."""
    if isinstance(like, Mapping):
        return (
            isinstance(value, Mapping)
            and set(value) == set(like)
            and all(_is_like(value[name], item) for name, item in like.items())
        )
    if isinstance(like, list | tuple):
        return (
            isinstance(value, list | tuple)
            and len(value) == len(like)
            and all(_is_like(*pair) for pair in zip(value, like, strict=True))
        )
    if like is None:
        return value is None or isinstance(value, bool | int | float)
    if isinstance(like, bool) or isinstance(value, bool):
        return isinstance(like, bool) and isinstance(value, bool)
    if isinstance(like, int | float):
        return isinstance(value, int | float)
    return isinstance(value, type(like))


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
    _check_types(key, node, {**parameters_of(target), **_OWN_TYPES.get(key, {})})
    missing = [name for name in _NEEDED.get(key, ()) if name not in node]
    if missing:
        raise ConfigError(*(f"{key}.{name} is missing" for name in missing))
    for name in own:
        within = _targets_within(f"{key}.{name}", node.get(name))
        for found in within:
            raise ConfigError(f"{found}: a _target_ cannot stand here")
    for name, nested in (allowed.nested or {}).items():
        value = node.get(name)
        if isinstance(value, Mapping) and "_target_" in value:
            _check_node(f"{key}.{name}", value, nested, plugins)


def _check_types(key: str, node: Node, types: Mapping[str, Any]) -> None:
    for name, value in node.items():
        if name in types:
            problem = type_problem(value, None, lambda name=name: types[name])  # type: ignore[misc]
            if problem:
                raise ConfigError(f"{key}.{name}: {problem}")


def _targets_within(key: str, value: Any) -> Iterator[str]:
    """The keys of all targets in plain values."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        if name == "_target_":
            yield f"{key}.{name}"
        yield from _targets_within(f"{key}.{name}", item)
