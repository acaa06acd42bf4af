"""The runs that a comparison is about, read from their folders."""

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nnlab.folder import METRICS_FILE, FolderError, open_plain
from nnlab.metrics_file import TABLE_LIMIT
from nnlab.report.state import RunState, read_state
from nnlab.report.text import shown

#: statuses of a run that came to its end by itself, as a result that can be averaged
ENDED = ("completed", "early_stopped")


@dataclass(frozen=True)
class Curve:
    """A metric over a run.

    Args:
        epochs: finished epochs at each evaluation, shape [E].
        steps: optimizer steps done, shape [E].
        seconds: since the training began, shape [E].
        values: the metric, shape [E]; NaN where a cell is empty.
    """

    epochs: np.ndarray
    steps: np.ndarray
    seconds: np.ndarray
    values: np.ndarray


#: what makes a run one of several that are alike: ``seed``, ``data.seed`` and ``data.fold``
Replicate = tuple[int, int, int]


@dataclass(frozen=True)
class RunData:
    """One run.

    Args:
        folder: where it is.
        name: the run's name.
        status: as in ``result.json``, or ``killed``.
        reason: why it ended, in words.
        settings: its config by dotted key, as JSON would print each value, and ``experiment`` and the other groups with
            the option that was chosen.
        typed: the keys and groups that were set on the command line.
        replicate: what makes it one of several that are alike.
        data: the fingerprint of its data.
        record: the rest of ``run.json``: overrides, versions, choices and the like.
        result: the content of ``result.json``; empty before the first checkpoint.
    """

    folder: Path
    name: str
    status: str
    reason: str
    settings: Mapping[str, str] = field(repr=False)
    typed: frozenset[str] = field(repr=False)
    replicate: Replicate
    data: str = field(repr=False)
    record: Mapping[str, Any] = field(repr=False)
    result: Mapping[str, Any] = field(repr=False)

    @property
    def monitor(self) -> str:
        """The metric that chose the best epoch; empty where none has."""
        return str(self.result.get("best", {}).get("metric") or "")

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return int(self.result.get("steps", 0))

    @property
    def is_counted(self) -> bool:
        """Whether it came to its end, so that its figures may be averaged with those of others."""
        return self.status in ENDED

    def grows(self, metric: str) -> bool:
        """Whether a metric is the better the greater it is."""
        return metric.partition("/")[2] in self.result.get("greater_is_better", ())

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of ``metrics.csv``; none where it is missing."""
        return tuple(self._table)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What there are figures of: the metrics of ``metrics.csv``, and those on the test split at the best epoch."""
        tested = (f"test/{name}" for name in self.result.get("test", {}))
        return (*(column for column in self.columns if column.startswith(("train/", "valid/"))), *tested)

    @property
    def last_step(self) -> int:
        """The optimizer steps done at the last evaluation in the table; 0 where there is none."""
        steps = self._table.get("step")
        return 0 if steps is None or not len(steps) else int(steps[-1])

    def curve(self, metric: str) -> Curve | None:
        """A metric over the run; None where the run has none of that name."""
        table = self._table
        if metric not in table or not len(table[metric]):
            return None
        return Curve(table["epoch"], table["step"], table["time_s"], table[metric])

    def best(self, metric: str) -> float:
        """The best value that any evaluation found, or the one on the test split; NaN where there is none."""
        if metric.startswith("test/"):
            return self.test(metric)
        best = self.result.get("best", {})
        if metric == best.get("metric") and best.get("value") is not None:
            return float(best["value"])
        curve = self.curve(metric)
        if curve is None or not np.isfinite(curve.values).any():
            return math.nan
        return float((np.nanmax if self.grows(metric) else np.nanmin)(curve.values))

    def test(self, metric: str) -> float:
        """The metric's value on the test split at the best epoch; NaN where there is none."""
        value = self.result.get("test", {}).get(metric.partition("/")[2])
        return math.nan if value is None else float(value)

    @cached_property
    def _table(self) -> dict[str, np.ndarray]:
        return _read_table(self.folder / METRICS_FILE)


def read_runs(folders: Sequence[Path]) -> tuple[list[RunData], list[str]]:
    """Read runs.

    Args:
        folders: one of each run.

    Returns:
        The runs that can be read; a sentence for each of the others.
    """
    runs, problems = [], []
    for folder in folders:
        try:
            state = read_state(folder)
            if state.run is None:
                reason = shown((state.result or {}).get("reason") or (state.result or {}).get("error"))
                problems.append(f"{shown(folder.name)} never began and is left out: {reason}")
            else:
                run = _run_data(state)
                # Read now: a table that is damaged is found before anything is averaged.
                _check_is_whole(run)
                runs.append(run)
        except FolderError as error:
            problems.append(f"left out: {shown(str(error), 400)}")
    return runs, problems


def _check_is_whole(run: RunData) -> None:
    """Refuse a finished run whose last evaluation is not in its table: the best one may be missing too."""
    steps = run.last_step
    if run.is_counted and steps < run.steps:
        path = run.folder / METRICS_FILE
        found = f"ends at step {steps:,} of {run.steps:,}" if steps else "has no rows"
        raise FolderError(f"{path} {found}, and the run is {run.status}: rows are missing; nnlab verify says more")


def _run_data(state: RunState) -> RunData:
    run, result = state.run, state.result or {}
    assert run is not None
    config = run["config"]
    chosen = {str(group): option for group, option in run["options"].items() if option}
    settings = _flat("", config) | {key: _as_text(option) for key, option in chosen.items()}
    typed = frozenset(word.lstrip("+~").partition("=")[0].partition("@")[0] for word in run["overrides"])
    data = config["data"] if isinstance(config.get("data"), dict) else {}
    return RunData(
        folder=state.folder,
        name=run["name"],
        status=state.status,
        reason=str(result.get("reason", "")),
        settings=settings,
        typed=typed,
        replicate=(run["seed"], _whole(data.get("seed")), _whole(data.get("fold"))),
        data=run["data_fingerprint"],
        record={key: value for key, value in run.items() if key not in ("config", "options")},
        result=result,
    )


def _whole(value: Any) -> int:
    return value if type(value) is int else 0


def _flat(prefix: str, value: Any) -> dict[str, str]:
    """Nested objects as dotted keys; a list is one value."""
    if isinstance(value, dict) and value:
        items: dict[str, str] = {}
        for key, item in value.items():
            items |= _flat(f"{prefix}.{key}" if prefix else str(key), item)
        return items
    return {prefix: _as_text(value)} if prefix else {}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _read_table(path: Path) -> dict[str, np.ndarray]:
    """The columns of a ``metrics.csv``; a torn last line is left out.

    Raises:
        FolderError: if it is too large, or holds anything but numbers below its header.
    """
    try:
        with open_plain(path) as file:
            if os.fstat(file.fileno()).st_size > TABLE_LIMIT:
                raise FolderError(f"{path} is too large to be a table of nnlab")
            text = file.read(TABLE_LIMIT).rpartition(b"\n")[0].decode()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise FolderError(f"{path} cannot be read: {error}") from None
    header, _, body = text.partition("\n")
    columns = next(csv.reader([header]), [])
    if not body:
        return {column: np.empty(0) for column in columns}
    try:
        cells = np.loadtxt(io.StringIO(body), delimiter=",", ndmin=2, comments=None, dtype=np.float64)
    except ValueError:
        cells = _with_empty_cells(path, body, len(columns))
    if cells.shape[1] != len(columns) or not {"epoch", "step", "time_s"} <= set(columns):
        raise FolderError(f"{path}: its rows do not fit its header; it is damaged or not nnlab's")
    return dict(zip(columns, cells.T, strict=True))


def _with_empty_cells(path: Path, body: str, num_columns: int) -> np.ndarray:
    try:
        rows = [[float(cell) if cell else math.nan for cell in row] for row in csv.reader(io.StringIO(body))]
        return np.array(rows, dtype=np.float64).reshape(len(rows), num_columns)
    except (ValueError, csv.Error):
        raise FolderError(f"{path}: a row holds something else than numbers; it is damaged") from None
