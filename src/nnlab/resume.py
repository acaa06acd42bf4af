"""Going on with a run: what run.json says, what may change, and the same run once more."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nnlab.build import build
from nnlab.check.override import parse
from nnlab.check.value_type import type_problem
from nnlab.config import ConfigError, Library
from nnlab.experiment import Member, assemble, fingerprint
from nnlab.folder import RESULT_FILE, RUN_FILE, FolderError, read_json, write_json
from nnlab.manifest import sweep_stale, write_manifest
from nnlab.pointer import CHECKPOINTS, read_pointer
from nnlab.run_record import RunRecord, read_record
from nnlab.schedule.base import Schedule
from nnlab.trust import check_config

#: keys whose change leaves the experiment what it is: how long it goes on, and how often it is saved
CHANGEABLE = ("trainer.max_epochs", "trainer.max_steps", "trainer.checkpoint_every", "trainer.on_divergence")
#: how a run ended that has nothing left to do
ENDED = ("completed", "early_stopped", "diverged")


@dataclass(frozen=True)
class Request:
    """What somebody wants to go on with.

    Args:
        record: what run.json says.
        changed: key to (value until now, value from now on).
        plugins: packages that are granted.
        status: as in ``result.json``; ``running`` where the process was killed.
    """

    record: RunRecord
    changed: Mapping[str, tuple[Any, Any]]
    plugins: Sequence[str]
    status: str

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to do."""
        return self.status in ENDED and not self.changed


def read_request(folder: Path, overrides: Sequence[str]) -> Request:
    """Read a run folder and the overrides that were typed for it.

    Args:
        folder: a run's folder.
        overrides: as typed; values that the run has already change nothing.

    Returns:
        What is asked for.

    Raises:
        FolderError: if the folder holds no run, or one that cannot be read.
        ConfigError: for overrides that would make it another experiment, or that cannot be read.
    """
    if not (folder / RUN_FILE).exists():
        if not folder.is_dir():
            raise FolderError(f"{folder} is not a folder")
        raise FolderError(
            f"{folder} holds no {RUN_FILE}: what was to be a run there was stopped before it began; type its command "
            f"again, with hydra.run.dir={folder} to use this folder"
        )
    record = read_record(folder)
    status = "running"
    if (folder / RESULT_FILE).exists():
        status = str(read_json(folder / RESULT_FILE).get("status", "running"))
    changed, plugins = _changes(record, overrides)
    if changed and status in ("early_stopped", "diverged"):
        raise ConfigError(f"{folder} {status.replace('_', ' ')}: it cannot be extended, only trained anew")
    request = Request(record, changed, plugins, status)
    if changed and status == "completed":
        _check_extension(request)
    return request


def prepare_again(request: Request) -> Member:
    """Build a run once more, to go on with it; the caller holds its lock.

    Args:
        request: what is asked for.

    Returns:
        The run, ready to fit with ``resume``.

    Raises:
        ConfigError: with every problem of the config, or if the schedule or the data do not allow to go on.
        FolderError: if the folder cannot be read.
    """
    record = request.record
    swept = sweep_stale(record.folder)
    config = _with_changes(record.config, request)
    check_config(config, request.plugins)
    # What nnlab chose itself the first time is chosen again, whatever this machine would say.
    trainer = {**config["trainer"], "threads": record.threads}
    as_chosen = {**config, "trainer": trainer, "device": record.device}
    built = build(as_chosen, record.options, record.folder, record.name)
    if fingerprint(built.dataset) != record.fingerprint:
        raise ConfigError(
            f"{record.folder}: the data are not those that it was trained on (their fingerprint has changed): another "
            "version of a library or a file makes another experiment"
        )
    if request.changed and request.status == "completed":
        _check_schedule(built.trainer.schedule)
    member = assemble(config, record.options, _overrides(record), record.folder, record.name, built)
    content = read_json(record.folder / RUN_FILE)
    _note_versions(member, content)
    if swept:
        built.trainer.sinks.say(f"left by a process that was killed, and removed: {', '.join(sorted(swept))}")
    entry = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "step": _last_step(record.folder),
        "status": request.status,
        "changed": {key: list(values) for key, values in request.changed.items()},
    }
    history = content.get("history")
    content["history"] = [*(history if isinstance(history, list) else []), entry]
    content["config"] = {**config, "plugins": list(request.plugins)}
    # Killed in between, the manifest must not call the new run.json damage.
    write_manifest(record.folder, final=False, leave_out={RUN_FILE})
    write_json(record.folder / RUN_FILE, content)
    write_manifest(record.folder, final=False)
    return member


def _changes(record: RunRecord, overrides: Sequence[str]) -> tuple[dict[str, tuple[Any, Any]], tuple[str, ...]]:
    library = Library()
    changed: dict[str, tuple[Any, Any]] = {}
    plugins: tuple[str, ...] = ()
    problems: list[str] = []
    for text in overrides:
        try:
            one = parse(text, library)
        except ConfigError as error:
            problems += error.problems
            continue
        if one.key == "plugins" and isinstance(one.value, list):
            plugins = tuple(str(name) for name in one.value)
            continue
        found, is_there = _value_of(record, one.key)
        if one.is_sweep or one.is_addition or one.is_delete or one.is_repackaged or "${" in text:
            problems.append(f"{text}: expected a plain key=value")
        elif is_there and found == one.value and type(found) is type(one.value):
            continue
        elif one.key not in CHANGEABLE:
            now = f" (it has {found})" if is_there else ""
            problems.append(
                f"{text}: would make it another experiment{now}: start a new run; a resumed one may change "
                f"{', '.join(CHANGEABLE)}"
            )
        else:
            problem = type_problem(one.value, found, lambda: Any)
            if problem:
                problems.append(f"{text}: {problem}")
            changed[one.key] = (found, one.value)
    if problems:
        raise ConfigError(*problems)
    return changed, plugins


def _value_of(record: RunRecord, key: str) -> tuple[Any, bool]:
    """What a key or a group was, and whether it was there."""
    if key in record.options:
        return record.options[key], True
    value: Any = record.config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None, False
        value = value[part]
    return value, True


def _with_changes(config: Mapping[str, Any], request: Request) -> dict[str, Any]:
    trainer = dict(config["trainer"])
    for key, (_, value) in request.changed.items():
        trainer[key.removeprefix("trainer.")] = value
    return {**config, "trainer": trainer, "plugins": list(request.plugins)}


def _check_extension(request: Request) -> None:
    for key in ("trainer.max_epochs", "trainer.max_steps"):
        before, now = request.changed.get(key, (None, None))
        if isinstance(before, int) and isinstance(now, int) and now < before:
            raise ConfigError(f"{key}={now}: expected more than the {before} that it has done already")


def _check_schedule(schedule: Schedule) -> None:
    depends_on_length = type(schedule).plan is not Schedule.plan
    if depends_on_length and getattr(schedule, "total_steps", None) is None:
        raise ConfigError(
            f"schedule: the shape of {type(schedule).__name__} follows from the length of the run, and the run has "
            "gone through all of it; only a run that was started with schedule.total_steps=… can be extended"
        )


def _overrides(record: RunRecord) -> list[str]:
    found = read_json(record.folder / RUN_FILE).get("overrides")
    return [str(text) for text in found] if isinstance(found, list) else []


def _last_step(folder: Path) -> int:
    """The step of the newest checkpoint; 0 without one. Whether it is whole is found out when it is read."""
    try:
        return read_pointer(folder / CHECKPOINTS / "last.json").step
    except FolderError:
        return 0


def _note_versions(member: Member, content: Mapping[str, Any]) -> None:
    versions = content.get("versions")
    before = versions.get("torch") if isinstance(versions, dict) else None
    if before != torch.__version__:
        member.built.trainer.sinks.note(
            f"begun with torch {before}, resumed with {torch.__version__}: other bits than without interruption are "
            "possible"
        )
