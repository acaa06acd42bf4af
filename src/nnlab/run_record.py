"""What run.json says, read as if a stranger had written it: plain data, and every key that is used is checked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab.check.root import MAX_SEED
from nnlab.config import GROUPS
from nnlab.folder import RUN_FILE, SCHEMA_VERSION, FolderError, figures_problem, read_json

#: how deep a config is nested at most
MOST_DEPTH = 20
TASKS = ("regression", "binary", "multiclass")
#: of a name that is shown whole
MOST_CHARACTERS = 200
#: groups that choose for others, and leave nothing of their own in a config
_CHOOSE = ("experiment", "compare")


@dataclass(frozen=True)
class Columns:
    """What a run's data are, as far as those have to know who use the model.

    Args:
        task: ``regression``, ``binary`` or ``multiclass``.
        input_names: one name for each of the F input columns, before any expansion.
        target_names: one name for each target; a single one for classification.
        class_names: one name for each class, in the order of their codes; empty for regression.
        num_outputs: how many numbers the model puts out for a row.
    """

    task: str
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]
    class_names: tuple[str, ...]
    num_outputs: int


@dataclass(frozen=True)
class RunRecord:
    """The part of run.json that those need who use a run.

    Args:
        folder: the run's folder.
        name: the run's name.
        config: plain values; its targets are not checked, and it grants no packages.
        options: the option chosen for each group, for messages.
        columns: what its data are.
        plugins: the packages that were granted when it was trained; to be shown, never to be taken.
        device: what it was trained on, such as ``cpu`` or ``cuda:0``.
        threads: CPU threads that it was trained with.
        compile: how its steps were done, ``off`` or ``step``.
        stack_width: runs that it was trained together with, itself included.
        fingerprint: SHA-256 of its data.
        class_weight: the numbers that ``loss.class_weight=balanced`` stands for; empty where that is not so.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    options: Mapping[str, str]
    columns: Columns
    plugins: tuple[str, ...]
    device: str
    threads: int
    compile: str
    stack_width: int
    fingerprint: str
    class_weight: tuple[float, ...] = ()


def read_record(folder: Path) -> RunRecord:
    """Read a run's run.json.

    Args:
        folder: the run's folder.

    Returns:
        What it says.

    Raises:
        FolderError: if it is missing, damaged, too large, from a newer nnlab, or says what no run says.
    """
    content = read_json(folder / RUN_FILE)
    found = _Reader(folder / RUN_FILE, content)
    version = found.number("schema_version", 1)
    if version > SCHEMA_VERSION:
        raise found.error("schema_version", f"up to {SCHEMA_VERSION}, which this nnlab reads", version)
    config = found.mapping("config")
    _check_config(found, config)
    return RunRecord(
        folder=folder,
        name=found.text("name"),
        config={**config, "plugins": []},
        options={key: printable(value) for key, value in found.mapping("options").items() if isinstance(value, str)},
        columns=_columns(found),
        plugins=found.names("plugins", 0),
        device=found.text("choices.device"),
        threads=found.number("choices.threads", 1),
        compile=_compile(found),
        stack_width=found.number("choices.stack_width", 1),
        fingerprint=found.text("data_fingerprint"),
        class_weight=_class_weight(found, config),
    )


def _class_weight(found: "_Reader", config: Mapping[str, Any]) -> tuple[float, ...]:
    if config["loss"].get("class_weight") != "balanced":
        return ()
    weights = found.value("choices.class_weight")
    if not isinstance(weights, list) or not all(isinstance(w, int | float) and 0 <= w < math.inf for w in weights):
        raise found.error("choices.class_weight", "a list of numbers from 0", weights)
    return tuple(float(weight) for weight in weights)


def _compile(found: "_Reader") -> str:
    chosen = found.text("choices.compile")
    if chosen not in ("off", "step"):
        raise found.error("choices.compile", "off or step", chosen)
    return chosen


def shown(value: Any) -> str:
    """A foreign value for a message: short, and without what a terminal would obey."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or a whole number of thousands of digits
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:80]}…"


def printable(name: str) -> str:
    """A foreign name for a message or a page."""
    return name if name.isprintable() and len(name) <= MOST_CHARACTERS else shown(name)


class _Reader:
    """Takes values out of a JSON object by their dotted keys, and says where one is not what it has to be."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self.path = path
        self.content = content

    def error(self, key: str, expected: str, found: Any) -> FolderError:
        return FolderError(f"{self.path}: {key}: expected {expected}, found {shown(found)}")

    def value(self, key: str) -> Any:
        found: Any = self.content
        parts = key.split(".")
        for number, part in enumerate(parts, 1):
            if not isinstance(found, Mapping) or part not in found:
                raise FolderError(f"{self.path}: {'.'.join(parts[:number])} is missing")
            found = found[part]
        return found

    def mapping(self, key: str) -> Mapping[str, Any]:
        found = self.value(key)
        if not isinstance(found, Mapping):
            raise self.error(key, "keys and values", found)
        return found

    def text(self, key: str) -> str:
        found = self.value(key)
        if not isinstance(found, str):
            raise self.error(key, "a text", found)
        return found

    def number(self, key: str, least: int, most: int | None = None) -> int:
        found = self.value(key)
        if isinstance(found, bool) or not isinstance(found, int) or found < least:
            raise self.error(key, f"a whole number from {least}", found)
        if most is not None and found > most:
            raise self.error(key, f"at most {most:,}", found)
        return found

    def names(self, key: str, least: int) -> tuple[str, ...]:
        found = self.value(key)
        if (
            not isinstance(found, list)
            or not all(isinstance(name, str) and name for name in found)
            or not least <= len(set(found)) == len(found)
        ):
            raise self.error(key, f"a list of {f'at least {least} ' if least else ''}different names", found)
        return tuple(found)


def _columns(found: _Reader) -> Columns:
    task = found.text("data.task")
    if task not in TASKS:
        raise found.error("data.task", " or ".join(TASKS), task)
    targets = found.names("data.target_names", 1)
    classes = found.names("data.class_names", 0)
    least, most = {"regression": (0, 0), "binary": (2, 2), "multiclass": (1, len(classes))}[task]
    if not least <= len(classes) <= most:
        raise found.error("data.class_names", f"those of a {task} data set", list(classes))
    if classes and len(targets) > 1:
        raise found.error("data.target_names", "one name for a classification", list(targets))
    num_outputs = found.number("data.num_outputs", 1)
    wanted = {"regression": len(targets), "binary": 1, "multiclass": len(classes)}[task]
    if num_outputs != wanted:
        raise found.error("data.num_outputs", f"{wanted} for these targets and classes", num_outputs)
    return Columns(task, found.names("data.input_names", 1), targets, classes, num_outputs)


def _check_config(found: _Reader, config: Mapping[str, Any]) -> None:
    for group in GROUPS:
        if group not in _CHOOSE:
            found.mapping(f"config.{group}")
    found.number("config.seed", 0, MAX_SEED)
    found.text("config.device")
    if "figures" in config and (problem := figures_problem(config["figures"])):  # older runs have none
        raise FolderError(f"{found.path}: config.figures: {problem}")
    found.text("config.trainer.precision")
    _check_plain(found, "config", config, 1)


def _check_plain(found: _Reader, key: str, value: Any, depth: int) -> None:
    """run.json holds what interpolations came to; one that is still there was put there, and is never resolved."""
    if depth > MOST_DEPTH:
        raise found.error(key, f"at most {MOST_DEPTH} levels", value)
    if isinstance(value, str) and "${" in value:
        raise found.error(key, "a plain value (run.json is written with no interpolation left)", value)
    if isinstance(value, int) and abs(value) > MAX_SEED:
        raise found.error(key, "a number below 2^63", value)
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for name, item in items:
        if isinstance(name, str) and ("${" in name or not name.isprintable()):
            raise found.error(key, "names of keys", name)
        _check_plain(found, f"{key}.{name}", item, depth + 1)
