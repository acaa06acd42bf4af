"""What `nnlab predict` does: the predictions of a trained run, or of a sweep's members together, for new rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nnlab.config import ConfigError
from nnlab.folder import RESULT_FILE, FolderError, read_json
from nnlab.restore import LoadedRun, Which, load_run, members_of
from nnlab.run_overrides import read_overrides
from nnlab.run_record import printable, shown
from nnlab.table import (
    STANDARD_OUTPUT,
    Columns,
    check_ending,
    check_place,
    read_raw_table,
    read_table,
    some_names,
    write_table,
)
from nnlab.words import counted

#: what a member has come to whose parameters are worth a place in a mean
_FINISHED = ("completed", "early_stopped")


@dataclass(frozen=True)
class Predicted:
    """What was done.

    Args:
        num_rows: that were predicted.
        notes: one sentence for each thing that was passed over or changed.
    """

    num_rows: int
    notes: tuple[str, ...]


def predict(
    folder: Path, given: str, output: str, checkpoint: Which, mean: bool, overrides: Sequence[str]
) -> Predicted:
    """Predict every row of a table.

    Args:
        folder: of a run; of a sweep with ``mean``.
        given: a table of the columns that the runs were trained on, ``.csv`` or ``.parquet``.
        output: where the predictions go, likewise; ``-`` for standard output as CSV.
        checkpoint: ``best`` or ``last``.
        mean: whether the members of a sweep are to be taken together.
        overrides: of ``device`` and ``plugins``.

    Returns:
        What was done.

    Raises:
        ValueError: for folders, tables or overrides that cannot be used; nothing has been written then.
        OSError: if the output cannot be written.
    """
    check_ending("--input", given)
    if output != STANDARD_OUTPUT:
        check_ending("--output", output)
        check_place(output, Path(given))
    typed = read_overrides(overrides, ("device", "plugins"))
    device = typed.device or "cpu"
    notes: list[str] = []
    if mean:
        runs = _members(folder, checkpoint, typed.plugins, device, notes)
    else:
        members = members_of(folder)
        if members:
            raise FolderError(
                f"{folder} is a sweep of {len(members)} members; choose one of them, such as {members[0]}, or take "
                "all of them together with --mean"
            )
        runs = [load_run(folder, checkpoint, typed.plugins, device)]
    rows = _read_rows(Path(given), runs)
    columns = _of_mean(runs, rows.inputs) if mean else _of_one(runs[0], rows.inputs[0])
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and not np.isfinite(values).all():
            row = int(rows.places[np.argmax(~np.isfinite(values))]) + 1
            notes.append(f"{printable(name)} is no finite number in row {row:,}: the row is far from the training's")
    if len(rows.places) < rows.num_rows:
        columns = {name: _spread(values, rows) for name, values in columns.items()}
    changed = write_table(output, columns)
    run_notes = dict.fromkeys(note for run in runs for note in run.notes)
    return Predicted(rows.num_rows, (*run_notes, *notes, *rows.notes, *changed))


@dataclass(frozen=True)
class _Rows:
    """The rows that can be predicted.

    Args:
        inputs: as each run wants them, float32 [M, F].
        places: where they stand in the file, int [M].
        num_rows: of the file.
        notes: one sentence for each thing that was passed over or changed.
    """

    inputs: Sequence[Tensor]
    places: np.ndarray
    num_rows: int
    notes: tuple[str, ...]


def _read_rows(path: Path, runs: Sequence[LoadedRun]) -> _Rows:
    tables = [run.preprocessing.table for run in runs]
    encodings = [table for table in tables if table is not None]
    if len(encodings) < len(runs):
        if encodings:
            raise ConfigError("--mean: some members were trained on a table with columns of any kind, others not")
        numbers, notes = read_table(path, runs[0].input_names)
        same = torch.from_numpy(numbers)
        return _Rows([same] * len(runs), np.arange(len(same)), len(same), tuple(notes))
    data = runs[0].config["data"]
    table = read_raw_table(path, data.get("delimiter"), data.get("encoding", "utf-8"), encodings[0].raw_names)
    # Each member has learnt an encoding of its own from its own training rows.
    encoded = [encoding.encode(table) for encoding in encodings]
    places = np.arange(table.num_rows)
    for one in encoded:
        places = np.intersect1d(places, one.rows, assume_unique=True)
    inputs = [torch.from_numpy(one.values[np.isin(one.rows, places)]) for one in encoded]
    said = dict.fromkeys(note for one in encoded for note in one.notes)
    extra = [name for name in table.columns if name not in encodings[0].raw_names]
    passed_over = [f"{path}: {some_names(extra)}: not needed, passed over"] if extra else []
    if len(places) < table.num_rows:
        left_out = counted(table.num_rows - len(places), "row")
        passed_over.append(f"{left_out} with empty cells: the prediction is empty too, as the run's data.missing=drop")
    return _Rows(inputs, places, table.num_rows, (*table.notes, *said, *passed_over))


def _spread(values: np.ndarray | Sequence[str], rows: _Rows) -> np.ndarray | Sequence[str]:
    """The values of some rows as a column of all rows, empty in the others."""
    if isinstance(values, np.ndarray):
        numbers = np.full(rows.num_rows, np.nan, values.dtype)
        numbers[rows.places] = values
        return numbers
    texts = [""] * rows.num_rows
    for place, text in zip(rows.places.tolist(), values, strict=True):
        texts[place] = text
    return texts


def _of_one(run: LoadedRun, inputs: Tensor) -> Columns:
    prediction = run.predict(inputs)
    if prediction.value is not None:
        return _by_target(run, "prediction", prediction.value)
    assert prediction.label is not None
    assert prediction.probability is not None
    return {
        "prediction": [run.class_names[code] for code in prediction.label.tolist()],
        **_by_class(run, "probability", prediction.probability),
    }


def _of_mean(runs: Sequence[LoadedRun], inputs: Sequence[Tensor]) -> Columns:
    """Mean and standard deviation over the members, in float64; of classes the one with the largest mean."""
    predictions = [run.predict(rows) for run, rows in zip(runs, inputs, strict=True)]
    first = runs[0]
    each = torch.stack([_figures(p.value, p.probability).double() for p in predictions])
    mean, std = each.mean(dim=0), each.std(dim=0, correction=1)
    if first.task == "regression":
        return {**_by_target(first, "prediction", mean), **_by_target(first, "std", std)}
    return {
        "prediction": [first.class_names[code] for code in mean.argmax(dim=1).tolist()],
        **_by_class(first, "probability", mean),
        **_by_class(first, "std", std),
    }


def _figures(value: Tensor | None, probability: Tensor | None) -> Tensor:
    figures = value if value is not None else probability
    assert figures is not None
    return figures


def _by_target(run: LoadedRun, what: str, values: Tensor) -> dict[str, np.ndarray]:
    names = run.target_names
    return {what if len(names) == 1 else f"{what}_{name}": values[:, i].numpy() for i, name in enumerate(names)}


def _by_class(run: LoadedRun, what: str, values: Tensor) -> dict[str, np.ndarray]:
    return {f"{what}_{name}": values[:, code].numpy() for code, name in enumerate(run.class_names)}


def _members(folder: Path, checkpoint: Which, plugins: Sequence[str], device: str, notes: list[str]) -> list[LoadedRun]:
    """The members that finished, all of them for the same columns and classes."""
    members = members_of(folder)
    if not members:
        raise FolderError(f"{folder}: --mean is for the folder of a sweep, and this one has no members")
    finished = []
    for member in members:
        status = _status(member)
        if status in _FINISHED:
            finished.append(member)
        else:
            notes.append(f"left out: {member.name}, which is {status}")
    if len(finished) < 2:
        raise ConfigError(f"{folder}: --mean needs two finished members, found {len(finished)}", *notes)
    runs = [load_run(member, checkpoint, plugins, device) for member in finished]
    for run in runs[1:]:
        _check_agrees(run, runs[0])
    notes.append(f"the mean of {len(runs)} members")
    return runs


def _status(member: Path) -> str:
    if not (member / RESULT_FILE).exists():
        return "without a result"
    status = read_json(member / RESULT_FILE).get("status")
    return printable(status) if isinstance(status, str) else shown(status)


def _check_agrees(run: LoadedRun, first: LoadedRun) -> None:
    for what, found, wanted in (
        ("inputs", run.input_names, first.input_names),
        ("classes", run.class_names, first.class_names),
        ("targets", run.target_names, first.target_names),
        ("task", (run.task,), (first.task,)),
    ):
        if found != wanted:
            names = [", ".join(map(printable, of)) or "none" for of in (found, wanted)]
            raise ConfigError(
                f"--mean: the members differ in their {what}: {run.folder.name} has {names[0]}, "
                f"{first.folder.name} has {names[1]}"
            )
