"""A trained run, made usable again: its model, its preprocessing, and what its numbers mean."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, final

import torch
from torch import Tensor, nn

from nnlab.build import build_loss, build_model, build_readout
from nnlab.config import ConfigError
from nnlab.data.dataset import Task
from nnlab.data.preprocessing import Preprocessing
from nnlab.device import num_cores, resolve_device
from nnlab.fit_check import check_fit
from nnlab.folder import RUN_FILE, FolderError, read_json
from nnlab.gradient.base import Precision
from nnlab.manifest import MANIFEST_FILE, check_some
from nnlab.metric.readout import Readout
from nnlab.pointer import CHECKPOINTS, read_pointer
from nnlab.run_record import Columns, RunRecord, printable, read_record, shown
from nnlab.trainer.batches import place
from nnlab.trainer.checkpoint import Checkpoints
from nnlab.trainer.evaluation import predict
from nnlab.trainer.resume import MOST_COPIES, ROOM, check_state
from nnlab.trust import check_config, check_model_size

log = logging.getLogger("nnlab")

Which = Literal["best", "last", "average"]
WHICH: tuple[Which, ...] = ("best", "last", "average")
PREPROCESSING_FILE = "preprocessing.json"


@final
@dataclass(frozen=True, eq=False)
class Prediction:
    """What a run says of N rows.

    Args:
        output: what the model put out, shape [N, O].
        value: of a regression, in the targets' own units, shape [N, T]; else None.
        label: of a classification, the code of each row's class, int64 [N]; else None.
        probability: of a classification, that of each class, shape [N, C]; else None.
    """

    output: Tensor
    value: Tensor | None = None
    label: Tensor | None = None
    probability: Tensor | None = None


@final
@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A trained run, ready to predict.

    Made by ``load_run``.

    Args:
        folder: the run's folder.
        name: the run's name.
        config: its resolved config as plain values; ``plugins`` are those granted now.
        options: the option chosen for each group, for messages.
        checkpoint: ``best``, ``last`` or ``average``.
        step: the optimizer step whose parameters these are.
        model: on its device, in evaluation mode.
        preprocessing: learnt from the run's training rows.
        readout: what the model's outputs mean.
        task: ``regression``, ``binary`` or ``multiclass``.
        input_names: one name for each of the F columns that ``predict`` takes.
        target_names: one name for each target; a single one for classification.
        class_names: one name for each class, in the order of their codes; empty for regression.
        device: where the model computes.
        precision: what it computes with.
        threads: CPU threads that it computes on: those of the training, as far as there are so many.
        fingerprint: SHA-256 of the data that it was trained on.
        notes: one sentence for each thing that is not as it was in the training.
    """

    folder: Path
    name: str
    config: Mapping[str, Any] = field(repr=False)
    options: Mapping[str, str] = field(repr=False)
    checkpoint: Which
    step: int
    model: nn.Module
    preprocessing: Preprocessing
    readout: Readout = field(repr=False)
    task: Task
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]
    class_names: tuple[str, ...]
    device: torch.device
    precision: Precision = field(repr=False)
    threads: int
    fingerprint: str = field(repr=False)
    notes: tuple[str, ...] = ()

    def predict(self, rows: Tensor) -> Prediction:
        """Predict from rows as the user knows them.

        Args:
            rows: floating-point numbers in the units of the run's data, columns as in ``input_names``, shape [N, F].

        Returns:
            The prediction, on the CPU.

        Raises:
            ValueError: for rows of another shape or kind.
        """
        if not rows.is_floating_point():
            raise ValueError(f"rows: expected floating-point numbers, found {rows.dtype}; rows.float() makes them so")
        inputs = self.preprocessing.inputs(rows.to("cpu", torch.float32))
        with self.settings():
            output = predict(self.model, place(inputs, self.device, self.precision.dtype), self.precision).cpu()
        return self.read(output)

    def read(self, output: Tensor) -> Prediction:
        """What the model's outputs say.

        Args:
            output: shape [N, O].

        Returns:
            The prediction, on the outputs' device.
        """
        if self.task == "regression":
            return Prediction(output, value=self.readout.value(output))
        probability = self.readout.probability(output)
        both = torch.stack([1 - probability, probability], dim=-1) if self.task == "binary" else probability
        return Prediction(output, label=self.readout.label(output), probability=both)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """While it lasts, torch has as many threads as in the training: sums depend on them in their last bits."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def load_run(
    path: str | Path, checkpoint: Which = "best", plugins: Sequence[str] = (), device: str = "cpu"
) -> LoadedRun:
    """Open a trained run, whoever made it: nothing in its folder is executed.

    Args:
        path: the run's folder.
        checkpoint: ``best`` for the parameters that the monitored metric chose, ``last`` for the newest,
            ``average`` for those that ``callback=[weight_average]`` has averaged.
        plugins: your own packages that its config may name; what the folder itself asks for is not granted by it.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        The run.

    Raises:
        ValueError: for a folder that is no run, a file that is missing, damaged or not what nnlab writes, a component
            that is not granted, or parameters that are not the model's.
    """
    if checkpoint not in WHICH:
        raise ConfigError(f"checkpoint: expected {', '.join(WHICH[:-1])} or {WHICH[-1]}, found {checkpoint!r}")
    folder = Path(path)
    _check_is_run(folder)
    with held_to_manifest(folder, {RUN_FILE, PREPROCESSING_FILE}.__contains__) as unchecked:
        run = _load_run(folder, checkpoint, plugins, device)
    return replace(run, notes=(*run.notes, *unchecked))


def _load_run(folder: Path, checkpoint: Which, plugins: Sequence[str], device: str) -> LoadedRun:
    record = read_record(folder)
    config = {**record.config, "plugins": list(plugins)}
    if record.class_weight:
        config["loss"] = {**config["loss"], "class_weight": list(record.class_weight)}
    with said_of(record, plugins):
        check_config(config, plugins)
    preprocessing = _read_preprocessing(record)
    with said_of(record, plugins):
        loss, _ = build_loss(config, record.columns.task)
        check_fit(record.columns.task, loss, [], config["model"], record.options)
        restored = _restored(config, record, preprocessing, checkpoint)
    notes: list[str] = []
    where = resolve_device(device)
    precision = _precision(record, where, notes)
    task = cast(Task, record.columns.task)
    run = LoadedRun(
        folder=folder,
        name=record.name,
        config=config,
        options=record.options,
        checkpoint=checkpoint,
        step=restored.step,
        model=restored.model.to(where, precision.dtype).eval(),
        preprocessing=preprocessing,
        readout=build_readout(task, preprocessing, loss, config["model"]),
        task=task,
        input_names=record.columns.input_names,
        target_names=record.columns.target_names,
        class_names=record.columns.class_names,
        device=where,
        precision=precision,
        threads=_threads(record, where, notes),
        fingerprint=record.fingerprint,
        notes=tuple(notes),
    )
    _check_output(run, record.columns.num_outputs)
    return run


def trained_device(folder: Path) -> str:
    """The device that a run's config asks for: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        FolderError: for a folder that is no run.
    """
    _check_is_run(folder)
    return str(read_record(folder).config["device"])


class _Restored(NamedTuple):
    """A model with the parameters of a checkpoint, and the checkpoint's step."""

    step: int
    model: nn.Module


def members_of(folder: Path) -> list[Path]:
    """The member folders of a sweep, in the order of their numbers; none of a folder that is no sweep."""
    if (folder / RUN_FILE).exists() or not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink() and _is_member(path)]
    return sorted(found, key=lambda path: (int(path.name.partition("_")[0]), path.name))


def _is_member(path: Path) -> bool:
    number = path.name.partition("_")[0]
    # A member whose config was refused has a result and no run.json.
    return number.isdecimal() and number.isascii() and any((path / name).exists() for name in (RUN_FILE, "result.json"))


def _check_is_run(folder: Path) -> None:
    if not folder.is_dir():
        raise FolderError(f"there is no folder {folder}")
    members = members_of(folder)
    if members:
        raise FolderError(f"{folder} is a sweep of {len(members)} members; choose one of them, such as {members[0]}")


@contextmanager
def held_to_manifest(folder: Path, wanted: Callable[[str], bool]) -> Iterator[list[str]]:
    """Refuse a run whose files, read while this lasts, are not those that it wrote.

    What is wrong with them by themselves is said first: only a careful forger's manifest fits.

    Args:
        folder: the run's folder.
        wanted: whether a file is compared with the manifest, by its name relative to the folder.

    Yields:
        What could not be compared, a sentence each; filled at the end.

    Raises:
        FolderError: naming the files.
    """
    unchecked: list[str] = []
    try:
        yield unchecked
    except ValueError as error:
        damage = _damage(folder, wanted, unchecked)
        if not damage:
            raise
        if isinstance(error, ConfigError):
            raise ConfigError(*error.problems, *damage) from error
        raise FolderError("; ".join([str(error), *damage])) from error
    damage = _damage(folder, wanted, unchecked)
    if damage:
        raise FolderError("; ".join(damage))


def _damage(folder: Path, wanted: Callable[[str], bool], unchecked: list[str]) -> list[str]:
    damage = []
    for finding in check_some(folder, wanted):
        text = f"{folder / finding.path}: {finding.severity}: {finding.problem}"
        if finding.path == MANIFEST_FILE:
            unchecked.append(f"{text}; whether the run's files are whole could not be checked")
        else:
            way = f"put it back from a copy, or delete {MANIFEST_FILE} if the change is yours"
            damage.append(f"{text}; {way}")
    return damage


@contextmanager
def said_of(record: RunRecord, plugins: Sequence[str]) -> Iterator[None]:
    """Problems of the config are those of a file here; if packages are lacking, the way to grant them is said.

    Args:
        record: whose config it is.
        plugins: packages that are granted.
    """
    try:
        yield
    except ConfigError as error:
        lacking = [name for name in record.plugins if name not in plugins]
        hint = []
        if lacking:
            names = ",".join(lacking) if all(name.isprintable() for name in lacking) else shown(lacking)
            hint = [f"the run was trained with packages of its own; if you trust them, grant them: plugins=[{names}]"]
        raise ConfigError(*(f"{record.folder / RUN_FILE}: {text}" for text in error.problems), *hint) from error
    except (TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        if plugins:  # a fault in the user's own package, of which the traceback tells more
            raise
        text = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"{record.folder / RUN_FILE}: config: no run has such values: {type(error).__name__}: {text}"
        ) from error


def _read_preprocessing(record: RunRecord) -> Preprocessing:
    path = record.folder / PREPROCESSING_FILE
    columns = record.columns
    try:
        preprocessing = Preprocessing.from_json(read_json(path))
    except FolderError:
        raise
    except (ValueError, OverflowError) as error:
        raise FolderError(f"{path}: {error}") from None
    if preprocessing.columns != columns.input_names:
        raise FolderError(f"{path}: columns: expected those of run.json, found others")
    if not preprocessing.input_scale > 0:
        raise FolderError(f"{path}: input_scale: expected a number > 0, found {preprocessing.input_scale}")
    moments = preprocessing.target_moments
    if moments is not None and (columns.task != "regression" or len(moments.mean) != len(columns.target_names)):
        wanted = f"the moments of {len(columns.target_names)} targets" if columns.task == "regression" else "null"
        raise FolderError(f"{path}: target: expected {wanted} as in run.json, found those of {len(moments.mean)}")
    _check_table(path, preprocessing, columns)
    return preprocessing


def _check_table(path: Path, preprocessing: Preprocessing, columns: Columns) -> None:
    """The encoding of a table of one's own names task, targets and classes once more."""
    if preprocessing.table is None:
        return
    target = preprocessing.table.target
    for key, found, wanted in (
        ("task", target.task, columns.task),
        ("names", target.names, columns.target_names),
        ("class_names", target.class_names, columns.class_names),
    ):
        if found != wanted:
            raise FolderError(f"{path}: table.target.{key}: expected {shown(wanted)} as in run.json")


def _restored(
    config: Mapping[str, Any], record: RunRecord, preprocessing: Preprocessing, checkpoint: Which
) -> _Restored:
    """The config's model with the parameters of a checkpoint; sizes are compared before memory is taken for them."""
    file_of = "last" if checkpoint == "average" else checkpoint  # which holds what callbacks keep
    pointer = record.folder / CHECKPOINTS / f"{file_of}.json"
    if pointer.parent.is_symlink():
        raise FolderError(f"{pointer.parent} is a link, which nnlab neither makes nor follows")
    if checkpoint == "best" and not pointer.exists() and pointer.with_name("last.json").exists():
        raise FolderError(f"{pointer} is missing: no epoch was evaluated; --checkpoint last takes the newest state")
    file = pointer.with_name(f"{read_pointer(pointer).step}.safetensors")
    check_model_size(config["model"], file.lstat().st_size if file.exists() else 0)
    widths = len(preprocessing.input_names), record.columns.num_outputs
    shape_of = model_without_memory(config, *widths)
    most_bytes = ROOM + MOST_COPIES * sum(tensor.nbytes for tensor in shape_of.state_dict().values())
    step, state = Checkpoints(record.folder).load(file_of, most_bytes)
    parameters = state.get("model") if isinstance(state, dict) else None
    if checkpoint == "average":
        parameters = _average_of(state)
        if not parameters:
            raise FolderError(
                f"{record.folder}: no weights were averaged in this run; callback=[weight_average] does it"
            )
    if not isinstance(parameters, dict):
        raise FolderError(f"{file}: expected the parameters of a model, found something else")
    check_state(parameters, shape_of, file)
    model = _plain_model(config, *widths)
    check_state(parameters, model, file)
    model.load_state_dict(parameters)
    return _Restored(step, model)


def _average_of(state: Any) -> Any:
    """The averaged parameters in a checkpoint's state; None where there are none."""
    for key in ("callbacks", "WeightAverage", "average"):
        state = state.get(key) if isinstance(state, dict) else None
    return state


def model_without_memory(config: Mapping[str, Any], num_inputs: int, num_outputs: int) -> nn.Module:
    """A config's model with shapes and no numbers.

    Args:
        config: whose targets and sizes have been checked.
        num_inputs: columns that the model sees.
        num_outputs: numbers that it puts out for a row.

    Returns:
        The model on the device ``meta``, of the run's precision.

    Raises:
        ConfigError: for values that the model refuses.
    """
    try:
        with torch.device("meta"):
            return _plain_model(config, num_inputs, num_outputs)
    except ConfigError:  # a model of the user's own that looks at its numbers while it is made
        return _plain_model(config, num_inputs, num_outputs)


def _plain_model(config: Mapping[str, Any], num_inputs: int, num_outputs: int) -> nn.Module:
    # The initial weights are not needed, and those that a config gives as numbers need memory of their own.
    plain_init = {**config, "init": {"_target_": "nnlab.init.default", "bias": "default"}}
    dtype = torch.float64 if config["trainer"]["precision"] == "fp64" else torch.float32
    return build_model(plain_init, num_inputs, num_outputs).to(dtype)


def _precision(record: RunRecord, device: torch.device, notes: list[str]) -> Precision:
    name = record.config["trainer"]["precision"]
    if name == "fp16" and device.type != "cuda":
        notes.append("trained with fp16, which the CPU lacks: computed in fp32, so that the last digits differ")
        return Precision(torch.float32, None, device.type)
    autocast = {"fp32": None, "fp64": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    return Precision(torch.float64 if name == "fp64" else torch.float32, autocast[name], device.type)


def _threads(record: RunRecord, device: torch.device, notes: list[str]) -> int:
    there = num_cores()
    if record.device.partition(":")[0] != device.type:
        notes.append(f"trained on {printable(record.device)}, computed on {device}: the last digits may differ")
    if device.type == "cpu" and record.device == "cpu" and record.threads > there:
        notes.append(f"trained on {record.threads} threads, computed on {there}: the last digits may differ")
    return min(record.threads, there)


def _check_output(run: LoadedRun, num_outputs: int) -> None:
    """Find on one row what a stranger's model would otherwise only say in torch's words."""
    rows = torch.zeros(1, len(run.input_names))
    try:
        output = run.predict(rows).output
    except (RuntimeError, ValueError, TypeError) as error:
        raise FolderError(f"{run.folder}: the model cannot compute a row of its data: {error}") from error
    if output.shape != (1, num_outputs):
        raise FolderError(
            f"{run.folder}: expected {num_outputs} outputs a row as in run.json, found shape {list(output.shape)[1:]}"
        )
