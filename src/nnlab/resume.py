"""Going on with a run: what run.json says, what may change, and the same run once more."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nnlab.allowed import ALLOWED
from nnlab.build import Built, build
from nnlab.check.override import parse
from nnlab.check.root import ROOT_TYPES, root_value_problem
from nnlab.check.value_type import type_problem
from nnlab.config import LIST_GROUPS, ConfigError, Library
from nnlab.experiment import Member, assemble
from nnlab.folder import METRICS_FILE, RESULT_FILE, RUN_FILE, FolderError, read_json, write_json
from nnlab.manifest import check_some, sweep_stale, write_manifest
from nnlab.metrics_file import check_rows
from nnlab.pointer import CHECKPOINTS, read_pointer
from nnlab.restore import held_to_manifest, model_without_memory, said_of
from nnlab.rows import fingerprint
from nnlab.run_record import RunRecord, printable, read_record, shown
from nnlab.schedule.base import Schedule
from nnlab.trainer.resume import find
from nnlab.tree import check_can_be_written, read_tree
from nnlab.trust import (
    MOST_ROWS,
    check_config,
    check_data_size,
    check_model_size,
    check_sizes,
    check_training_state,
)
from nnlab.world import current

#: keys whose change leaves the experiment what it is: how long it goes on, how often it is saved, what is drawn of it
CHANGEABLE = (
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.checkpoint_every",
    "trainer.on_divergence",
    "trainer.profile",
    "figures",
)
#: those of them that make it longer
LENGTHS = ("trainer.max_epochs", "trainer.max_steps")
#: how a run ended that has nothing left to do
ENDED = ("completed", "early_stopped", "diverged")
STATUSES = (*ENDED, "running", "failed", "interrupted", "preempted")
#: more than any machine has cores; each costs memory, and too many of them the process
MOST_THREADS = 1024
#: parameters of a run that was killed before its first checkpoint, which would say how large they are
MOST_UNSAVED_BYTES = 4 << 30
#: parameters that may be more than the checkpoints hold, until these are read
SMALL_BYTES = 64 << 20


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
    status = _read_status(folder)
    changed, plugins = _changes(record, overrides)
    if changed and status in ("early_stopped", "diverged"):
        raise ConfigError(f"{folder} {status.replace('_', ' ')}: it cannot be extended, only trained anew")
    request = Request(record, changed, plugins, status)
    if changed and status == "completed":
        _check_extension(request)
    return request


def _note_processes(member: Member, content: Mapping[str, Any]) -> None:
    choices = content.get("choices")
    before = choices.get("processes", 1) if isinstance(choices, Mapping) else 1
    world = member.built.trainer.world
    now = 1 if world is None else world.size
    if isinstance(before, int) and before != now:
        member.built.trainer.sinks.note(
            f"begun on {before} process{'es' * (before != 1)}, goes on with {now}: sums of other "
            "parts are rounded otherwise, so that its bits are not those of an undisturbed run"
        )


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
    # Everything that can be refused comes first: until then nothing is written, and no memory taken on trust.
    check_can_be_written(record.folder)
    config = _with_changes(record.config, request)
    with held_to_manifest(record.folder, _is_relied_on) as unchecked:
        built = _build_again(request, config)
    content = read_json(record.folder / RUN_FILE)
    _check_is_text(record.folder / RUN_FILE, content)
    swept = sweep_stale(record.folder)
    member = assemble(config, record.options, _overrides(record), record.folder, printable(record.name), built)
    member.stack_width = record.stack_width
    _note_versions(member, content)
    _note_processes(member, content)
    for text in unchecked or _damage_beside(record.folder):
        built.trainer.sinks.note(text)
    if swept:
        names = ", ".join(map(printable, sorted(swept)))
        built.trainer.sinks.say(f"left by a process that was killed, and removed: {names}")
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
    # The tables will be cut to the rows of the checkpoint: the manifest that follows has them again.
    tables = {name for name in read_tree(record.folder).files if _is_table(name)}
    write_manifest(record.folder, final=False, leave_out=tables)
    return member


def _read_status(folder: Path) -> str:
    if not (folder / RESULT_FILE).exists():
        return "running"
    status = read_json(folder / RESULT_FILE).get("status")
    if status not in STATUSES:
        raise FolderError(
            f"{folder / RESULT_FILE}: status: expected {' or '.join(STATUSES)}, found {shown(status)}; it is damaged: "
            "put it back from a copy"
        )
    return str(status)


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
            problem = (
                root_value_problem(one.key, one.value, library)
                if one.key in ROOT_TYPES
                else type_problem(one.value, found, lambda: Any)
            )
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
    changed = {key: value for key, (_, value) in request.changed.items()}
    of_trainer = {key.removeprefix("trainer."): value for key, value in changed.items() if key.startswith("trainer.")}
    of_root = {key: value for key, value in changed.items() if key in ROOT_TYPES}
    return {**config, **of_root, "trainer": {**config["trainer"], **of_trainer}, "plugins": list(request.plugins)}


def _build_again(request: Request, config: Mapping[str, Any]) -> Built:
    """The run's objects, if everything is there that it takes to go on."""
    record = request.record
    built = _build(record, config, request.plugins)
    if fingerprint(built.dataset) != record.fingerprint:
        raise ConfigError(
            f"{record.folder / RUN_FILE}: the data are not those that it was trained on (their fingerprint has "
            "changed): another version of a library or a file makes another experiment"
        )
    if request.status == "completed" and any(key in request.changed for key in LENGTHS):
        _check_schedule(built.trainer.schedule)
    _check_checkpoint(record.folder, built)
    return built


def _is_table(name: str) -> bool:
    return "/" not in name and name.endswith(".csv")


def _is_relied_on(name: str) -> bool:
    """Whether the rest of the run depends on a file that nothing but the manifest checks."""
    return name == RUN_FILE or _is_table(name)


def _damage_beside(folder: Path) -> list[str]:
    """What is damaged that nothing depends on; it is said now, since the next manifest will take it as it is."""
    findings = check_some(folder, lambda name: not _is_relied_on(name) and not name.startswith(f"{CHECKPOINTS}/"))
    return [
        f"{printable(finding.path)}: {finding.severity}: {finding.problem}; the run goes on without mending it"
        for finding in findings
        if finding.severity != "extra"
    ]


def _build(record: RunRecord, config: Mapping[str, Any], plugins: Sequence[str]) -> Built:
    """The run's objects, if its config is one that nnlab trains and asks for no more memory than the run had."""
    with said_of(record, plugins):
        check_config(config, plugins)
        lacking = [group for group in ALLOWED if group not in (*LIST_GROUPS, *record.options)]
        if lacking:
            raise ConfigError(f"options.{lacking[0]} is missing; the file is damaged or not nnlab's")
        if record.threads > MOST_THREADS:
            raise ConfigError(f"choices.threads: expected at most {MOST_THREADS:,}, found {record.threads:,}")
        check_data_size(config["data"])
        for name, node in config["callback"].items():
            sizes = {key: value for key, value in node.items() if key.startswith("num_")}
            check_sizes(f"callback.{name}", sizes, MOST_ROWS)
        _check_model_size(record, config)
        # What nnlab chose itself the first time is chosen again, whatever this machine would say.
        trainer = {**config["trainer"], "threads": record.threads}
        # Several processes share each batch by torch's own operations, however one process did its steps.
        if trainer.get("compile", "auto") == "auto" and current() is None:
            trainer["compile"] = record.compile
        as_chosen = {**config, "trainer": trainer, "device": record.device}
        return build(as_chosen, record.options, record.folder, printable(record.name))


def _check_model_size(record: RunRecord, config: Mapping[str, Any]) -> None:
    """The parameters are in the checkpoints: a model that takes more memory than those have bytes is another one."""
    sizes = [path.lstat().st_size for path in (record.folder / CHECKPOINTS).glob("*.safetensors")]
    check_model_size(config["model"], max(sizes, default=0))
    expand = config["data"].get("expand", [])
    num_inputs = len(record.columns.input_names) + (len(expand) if isinstance(expand, list) else 0)
    model = model_without_memory(config, num_inputs, record.columns.num_outputs)
    num_bytes = sum(tensor.nbytes for tensor in model.state_dict().values())
    # Below this the checkpoint itself says better what is wrong with it.
    most = max(SMALL_BYTES, max(sizes, default=MOST_UNSAVED_BYTES))
    if num_bytes > most:
        raise ConfigError(
            f"model: its parameters would take {num_bytes:,} bytes, and the run's "
            + (f"largest checkpoint has {max(sizes):,}" if sizes else f"first checkpoint is missing: {most:,} at most")
        )


def _check_is_text(path: Path, content: Mapping[str, Any]) -> None:
    """JSON can hold halves of characters, which no file that is written anew can."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise FolderError(f"{path} holds what is no text ({error.reason}): it is damaged or not nnlab's") from None


def _check_checkpoint(folder: Path, built: Built) -> None:
    """Refuse a state that no training of this run can have written, before anything is changed for it."""
    trainer = built.trainer
    try:
        found = find(folder, trainer.model, trainer.optimizer)
    except FolderError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        text = f"expected the state of a training, found something else ({type(error).__name__}: {error})"
        raise FolderError(f"{folder / CHECKPOINTS}: {text}") from None
    if found is not None:
        splits = [split for split in ("train", "valid") if split in built.dataset.splits]
        metrics = [f"{split}/{name}" for name in trainer.evaluator.names() for split in splits]
        columns = ["epoch", "step", "time_s", *metrics, "optim/lr"]
        begun = {
            "step": found.step,
            "schedule": trainer.schedule.state_dict(),
            "param_groups": trainer.optimizer.state_dict()["param_groups"],
            "columns": columns,
        }
        check_training_state(found.state, begun, folder / CHECKPOINTS / f"{found.step}.json")
        for name, num_rows in found.state["tables"].items():
            check_rows(folder / f"{name}.csv", num_rows)
        if found.history and list(found.history[0]) != columns:
            raise FolderError(f"{folder / METRICS_FILE}: expected the columns {', '.join(columns)}, found others")


def _check_extension(request: Request) -> None:
    for key in LENGTHS:
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
            f"begun with torch {printable(str(before)[:40])}, resumed with {torch.__version__}: other bits than "
            "without interruption are possible"
        )
