"""A run from config to result: prepare, fit, finish. One run is the three for one member."""

import io
import logging
import os
import platform
import shlex
import subprocess
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnlab import collector
from nnlab.build import Built, build
from nnlab.callback.weight_average import WeightAverage
from nnlab.config import ConfigError
from nnlab.data.dataset import Dataset
from nnlab.durable import write_atomic
from nnlab.folder import RESULT_FILE, RUN_FILE, SCHEMA_VERSION, FolderError, write_json
from nnlab.machine import machine
from nnlab.manifest import MANIFEST_FILE
from nnlab.pointer import CHECKPOINTS, read_pointer
from nnlab.rows import Rows, Seen
from nnlab.run_arrays import Arrays, arrays_after, arrays_before
from nnlab.trainer import FitResult
from nnlab.trainer.engine_choice import NotCompiledError
from nnlab.trainer.fitting import Fitting
from nnlab.trainer.interrupt import Interrupt
from nnlab.trainer.resume import Found
from nnlab.trainer.sinks import CHECKPOINT
from nnlab.trainer.together import Task, fit_together

log = logging.getLogger("nnlab")

#: kept free on the disk while figures are drawn, for result.json and the manifest
ROOM_BYTES = 1 << 14
PREPROCESSING_FILE = "preprocessing.json"
RECORDED_PACKAGES = ("nnlab", "torch", "numpy", "hydra-core", "omegaconf", "scikit-learn", "tensorboard", "safetensors")


@dataclass
class Member:
    """One run: what it is made of, where it writes, how it went.

    Args:
        name: the run's name.
        config: resolved, plain values.
        choices: the option chosen for each group.
        overrides: what the user typed.
        folder: the run's folder.
        built: its objects.
        splits: encoded rows for the model by split: (inputs, target), or what reads them from the disk.
        stack_width: how many runs are trained together with this one, itself included.
        arrays: what figures are drawn from.
        fitted: how the training went, once it has.
        error: what ended it, if it failed.
        refused: what is wrong with the config, if the trainer found something before the first step.
        pause_after: the step from which on it pauses at its next evaluation; None to go on.
        leave: why it trains no further than it is; None if it does.
    """

    name: str
    config: Mapping[str, Any]
    choices: Mapping[str, Any]
    overrides: Sequence[str]
    folder: Path
    built: Built
    splits: Mapping[str, Seen]
    stack_width: int = 1
    arrays: dict[str, Arrays] = field(default_factory=dict)
    fitted: FitResult | None = None
    error: str | None = None
    refused: tuple[str, ...] = ()
    pause_after: int | None = None
    leave: str | None = None


@dataclass(frozen=True)
class Result:
    """What a run came to: the content of ``result.json``, and its folder."""

    folder: Path
    content: Mapping[str, Any]
    signal: int | None = None

    @property
    def status(self) -> str:
        """``completed``, ``early_stopped``, ``diverged``, ``failed``, ``interrupted`` or ``preempted``."""
        return str(self.content["status"])


def prepare(
    config: Mapping[str, Any],
    choices: Mapping[str, Any],
    overrides: Sequence[str],
    folder: Path,
    name: str,
    *,
    shared: Rows | None = None,
    stack_width: int = 1,
) -> Member:
    """Build everything that a run needs and write down what it is.

    Args:
        config: the resolved config as plain values.
        choices: the option chosen for each group.
        overrides: what the user typed.
        folder: the run's folder, which exists.
        name: the run's name.
        shared: data sets that other runs of this process have made already.
        stack_width: how many runs are going to be trained together with this one, itself included.

    Returns:
        The run, ready to fit.

    Raises:
        ConfigError: with every problem of the config.
    """
    _sweep_start(folder)
    shared = shared or Rows()
    built = build(config, choices, folder, name, shared)
    member = assemble(config, choices, overrides, folder, name, built, shared)
    member.stack_width = stack_width
    if stack_width == 1:
        _choose_engine(member)
    built.trainer.sinks.is_brief = stack_width > 1
    write_json(folder / PREPROCESSING_FILE, built.preprocessing.to_json())
    # Last: a folder with a run.json holds all that a resume needs.
    write_json(folder / RUN_FILE, _run_record(member, shared))
    built.trainer.sinks.manifest(final=False)
    return member


def _choose_engine(member: Member) -> None:
    try:
        member.built.trainer.choose_engine(member.splits["train"])
    except NotCompiledError as error:
        raise ConfigError(str(error)) from None
    except ValueError:  # data that do not fit are refused when the training begins
        return


def _sweep_start(folder: Path) -> None:
    """Delete what a process left half written that was killed before there was a run.json to be resumed."""
    for pattern in (f".{PREPROCESSING_FILE}.*.tmp", f".{RUN_FILE}.*.tmp", ".writable-*"):
        for stale in folder.glob(pattern):
            stale.unlink(missing_ok=True)


def assemble(
    config: Mapping[str, Any],
    choices: Mapping[str, Any],
    overrides: Sequence[str],
    folder: Path,
    name: str,
    built: Built,
    shared: Rows | None = None,
) -> Member:
    """Put a run together from its objects; nothing is written.

    Args:
        config: the resolved config as plain values.
        choices: the option chosen for each group.
        overrides: what the user typed.
        folder: the run's folder.
        name: the run's name.
        built: its objects, the model untrained.
        shared: data sets that other runs of this process have made already.

    Returns:
        The run.
    """
    splits = (shared or Rows()).splits(built.dataset, built.preprocessing, built.readout)
    member = Member(name, config, choices, list(overrides), folder, built, splits)
    for text in built.dataset.notes:
        built.trainer.sinks.say(text)
    member.arrays = arrays_before(built)
    return member


def fit(
    members: Sequence[Member],
    resume: bool = False,
    *,
    begun: Collection[int] = (),
    ended: Callable[[Member], None] = lambda member: None,
    found: Mapping[int, Found] | None = None,
    save: Callable[[Mapping[int, Fitting]], None] | None = None,
) -> None:
    """Train members, several as one stack where they fit together. An error in one is kept with it and ends no other.

    Args:
        members: prepared runs; each knows how it went afterwards.
        resume: whether to go on from their newest checkpoints.
        begun: the places of those that do, where only some do.
        ended: told of each as soon as it is done.
        found: where those go on that are further than their own newest checkpoint, by their places.
        save: writes the state of a stack under way, by the members' places.
    """
    found = found or {}
    tasks = [
        Task(
            member.built.trainer,
            member.splits["train"],
            member.splits.get("valid"),
            resume or place in begun,
            found.get(place),
            stacked=member.stack_width > 1,
            pause_after=member.pause_after,
            leave=member.leave,
        )
        for place, member in enumerate(members)
    ]

    def done(place: int, fitted: FitResult | None, error: Exception | None) -> None:
        member = members[place]
        member.fitted = fitted
        if error is not None:
            _note_error(member, error)
        ended(member)

    fit_together(tasks, done, save)


def _note_error(member: Member, error: Exception) -> None:
    if isinstance(error, ValueError) and not member.built.trainer.has_started:
        member.error, member.refused = str(error), tuple(str(error).splitlines())
        return
    member.error = f"{type(error).__name__}: {error}"
    whose = {"run_folder": member.folder}  # of several that are trained together, each has a log of its own
    log.error("the run failed: %s; train.log has the traceback", member.error, extra=whose)
    log.info("%s", "".join(traceback.format_exception(error)), extra=whose)


def finish(member: Member) -> Result:
    """Test metrics, arrays, figures and ``result.json`` of a run that was fitted.

    Args:
        member: a fitted run.

    Returns:
        What it came to.
    """
    with Interrupt() as interrupt:  # what follows takes seconds: it is brought to its end, then the signal is obeyed
        result = _finish(member)
    signal = result.signal if result.signal is not None else interrupt.received
    return replace(result, signal=signal)


def _finish(member: Member) -> Result:
    trainer, fitted = member.built.trainer, member.fitted
    # Not whether there was a signal: one that comes during the last evaluation leaves nothing to be gone on with.
    is_over = fitted is not None and fitted.status not in ("interrupted", "preempted")
    if fitted is None:
        content = _failed_content(member)
    else:
        content = fitted.to_json(member.name)
        if fitted.status == "diverged" and member.config["trainer"]["on_divergence"] == "fail":
            content |= {"status": "failed", "error": f"diverged: {fitted.reason}"}
        if is_over and trainer.sinks.has_lost(CHECKPOINT):
            content |= _failed_for(f"the state at its end could not be saved; {_way_on(member.folder)}")
        if fitted.best is not None and is_over:
            with trainer.holding("best"):
                content["test"] = _test_metrics(member)
                averaged = _averaged_test_metrics(member)
                if averaged:
                    content["average"] = averaged
                if content["test"]:
                    trainer.sinks.scalars(fitted.steps, {f"test/{name}": x for name, x in content["test"].items()})
                # Before the figures, which may fill the disk or be what somebody interrupts: then they are still to do.
                if not trainer.sinks.is_brief:
                    trainer.sinks.result(content | {"status": "running"})
                with trainer.phases.during("figures"), _room_kept(member.folder):
                    _draw(member, fitted)
    trainer.sinks.end(content["status"])
    trainer.close()
    content["notes"] = list(trainer.notes)
    trainer.sinks.result(content)
    if content["status"] != "failed" and is_over and trainer.sinks.has_lost(RESULT_FILE):
        content |= _failed_for(f"{RESULT_FILE} could not be written; {_way_on(member.folder)}")
    for text in (f"{content['status']}: {content['reason']}", f"final {content['final']}", f"test {content['test']}"):
        log.info(text)
    trainer.sinks.manifest(final=is_over)
    if trainer.sinks.has_lost(MANIFEST_FILE):
        content["notes"] = list(trainer.notes)
        trainer.sinks.result(content)
    return Result(member.folder, content, fitted.signal if fitted is not None else None)


def refused(folder: Path, name: str, problems: Sequence[str]) -> Result:
    """The result of a member whose config is wrong: nothing was trained, and its folder says why.

    Args:
        folder: the member's folder.
        name: the run's name.
        problems: one sentence for each.
    """
    text = "; ".join(problems)
    content = FitResult("failed", text, 0, 0, 0.0, [], None, "").to_json(name) | {"error": text}
    write_json(folder / RESULT_FILE, content)
    log.error("%s: %s", folder.name, text)
    return Result(folder, content)


def _test_metrics(member: Member) -> dict[str, float]:
    test = member.splits.get("test")
    return {} if test is None else member.built.trainer.evaluate(test, checkpoint="best")


def _averaged_test_metrics(member: Member) -> dict[str, float]:
    """The test metrics of averaged weights, where there are any."""
    test, trainer = member.splits.get("test"), member.built.trainer
    averages = [one.average for one in trainer.callbacks if isinstance(one, WeightAverage) and one.average]
    if test is None or not averages:
        return {}
    with trainer.wearing(averages[0]):
        return trainer.evaluate(test, checkpoint="best")  # which is worn already


def _draw(member: Member, fitted: FitResult) -> None:
    """Arrays first, then figures from them; what cannot be written is said and noted."""
    sinks = member.built.trainer.sinks
    try:
        member.arrays |= arrays_after(member.built, member.splits, fitted, member.arrays)
        (member.folder / "arrays").mkdir(exist_ok=True)
        for name, arrays in member.arrays.items():
            payload = io.BytesIO()
            np.savez(payload, **arrays)  # type: ignore[arg-type]
            write_atomic(member.folder / "arrays" / f"{name}.npz", payload.getvalue())
        if sinks.has_figures:
            with collector.resting():  # matplotlib takes half a second
                from nnlab.run_figures import draw_figures, draw_films

            draw_figures(member.name, member.arrays, fitted.history, sinks.draw)
            draw_films(member.folder, member.name, member.arrays)
    except OSError as error:
        sinks.note(f"figures could not be written ({error.strerror or error})")
    except Exception as error:  # a picture is worth no run
        sinks.note(f"figures could not be drawn ({type(error).__name__}: {error}); train.log has the traceback")
        log.info("%s", traceback.format_exc())


@contextmanager
def _room_kept(folder: Path) -> Iterator[None]:
    """While it lasts, a full disk still has room for what is written afterwards."""
    path = folder / f".room.{os.getpid()}.tmp"
    try:
        try:
            path.write_bytes(os.urandom(ROOM_BYTES))  # a file system may store zeros in no room at all
        except OSError:
            path.unlink(missing_ok=True)
        yield
    finally:
        path.unlink(missing_ok=True)


def _failed_for(reason: str) -> dict[str, Any]:
    return {"status": "failed", "reason": reason, "error": reason}


def _way_on(folder: Path) -> str:
    """What to do once there is room on a disk that was full."""
    try:
        where = f"step {read_pointer(folder / CHECKPOINTS / 'last.json').step}"
    except FolderError:
        where = "its start, since no checkpoint was written"
    return f"once there is room, `nnlab resume {shlex.quote(str(folder))}` goes on from {where}"


def _failed_content(member: Member) -> dict[str, Any]:
    reason = member.error or ""
    so_far = member.built.trainer.result_so_far("failed", reason)
    result = so_far or FitResult("failed", reason, 0, 0, 0.0, [], None, "")
    return result.to_json(member.name) | {"error": member.error}


def _run_record(member: Member, shared: Rows) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "name": member.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "config": member.config,
        "options": dict(member.choices),
        "overrides": list(member.overrides),
        "seed": member.config["seed"],
        "data": _columns(member.built.dataset),
        "data_fingerprint": shared.fingerprint(member.built.dataset),
        "plugins": list(member.config["plugins"]),
        "choices": _choices(member),
        "versions": {"python": platform.python_version()} | _versions(),
        "git_commit": _git_commit(),
        "history": [],
    }


def _choices(member: Member) -> dict[str, Any]:
    """What nnlab has chosen itself."""
    trainer, choice = member.built.trainer, member.built.trainer.engine
    if member.stack_width > 1:
        engine, reason = "stack", f"one of {member.stack_width} that fit together"
    else:
        engine, reason = (choice.engine.name, choice.reason) if choice is not None else ("none", "it cannot begin")
    is_recorded = engine == "stack" and trainer.device.type == "cuda" and trainer.compile == "step"
    return {
        "device": str(trainer.device),
        "threads": trainer.threads,
        "machine": machine().digest,
        "engine": engine,
        "engine_reason": reason,
        "compile": "step" if engine in ("native", "inductor", "graphs") or is_recorded else "off",
        "stack_width": member.stack_width,
        **({"processes": trainer.world.size} if trainer.world is not None else {}),
        **_class_weight(member),
    }


def _class_weight(member: Member) -> dict[str, Any]:
    """The numbers that ``balanced`` stands for."""
    if member.config["loss"].get("class_weight") != "balanced":
        return {}
    return {"class_weight": list(getattr(member.built.trainer.loss, "class_weight", ()))}


def _columns(dataset: Dataset) -> dict[str, Any]:
    """What those have to know of the data who use the model without them."""
    return {
        "task": dataset.task,
        "input_names": list(dataset.input_names),
        "target_names": list(dataset.target_names),
        "class_names": list(dataset.class_names),
        "num_outputs": dataset.num_outputs,
    }


@cache
def _versions() -> dict[str, str]:
    found = {}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found | {"torch": torch.__version__}


@cache
def _git_commit() -> str | None:
    """The commit that the working directory is at, or None outside a repository."""
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
