"""What the groups of a comparison have learnt on the plane, from the files of their runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnlab import figure
from nnlab.folder import FolderError
from nnlab.report.arrays import read_arrays
from nnlab.report.runs import RunData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: maps that stand side by side
_MOST = 12

_Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Map:
    """One run's map.

    Args:
        names: the names of its inputs, and of its classes or targets.
        grid: the arrays that it is drawn from.
        rows: for a split its inputs and its first target, in the colours of a value map; empty for decisions.
    """

    names: Mapping[str, tuple[str, ...]]
    grid: _Arrays
    rows: Mapping[str, tuple[np.ndarray, np.ndarray]]


def maps_of(groups: Sequence[tuple[str, Sequence[RunData]]]) -> "Figure | None":
    """The maps of the first runs of some groups: decisions of classifiers, or values in colours that they share.

    Args:
        groups: what each is called, and its runs; twelve of those with a map are drawn.

    Returns:
        The figure; None where fewer than two groups have a map, or their inputs, classes or targets differ.

    Raises:
        FolderError: for arrays that are damaged.
    """
    found: list[tuple[str, _Map]] = []
    for name, runs in groups:
        if len(found) < _MOST and (loaded := _first(runs)) is not None:
            found.append((name, loaded))
    if len(found) < 2 or any(one.names != found[0][1].names for _, one in found):
        return None
    names = found[0][1].names
    if "class_names" in names:
        decisions = [
            figure.Decisions(name, one.grid["x"], one.grid["y"], one.grid["codes"], one.grid.get("confidence"))
            for name, one in found
        ]
        return figure.map_grid(decisions, names["class_names"], names["input_names"])
    values = [
        figure.Values(name, one.grid["x"], one.grid["y"], one.grid["values"][:, :, 0], one.rows) for name, one in found
    ]
    first, *others = names["target_names"]
    title = f"predictions of {first}, the first of {1 + len(others)} targets" if others else "predictions"
    return figure.value_map_grid(values, first, names["input_names"], title)


def _first(runs: Sequence[RunData]) -> _Map | None:
    for run in runs:
        try:
            about, grid = (_read(run.folder, name) for name in ("about", "grid"))
        except FileNotFoundError:
            continue
        kind, of = ("codes", "class_names") if "codes" in grid else ("values", "target_names")
        if {"x", "y", kind} <= grid.keys() and {of, "input_names"} <= about.keys():
            names = {key: tuple(str(name) for name in about[key]) for key in (of, "input_names")}
            _check(run.folder, grid, kind, len(names[of]))
            return _Map(names, grid, _rows(run.folder, len(names[of])) if kind == "values" else {})
    return None


def _read(folder: Path, name: str) -> dict[str, np.ndarray]:
    return read_arrays(folder / "arrays" / f"{name}.npz")


def _check(folder: Path, grid: _Arrays, kind: str, num_targets: int) -> None:
    x, y, values = grid["x"], grid["y"], grid[kind]
    shape = (y.size, x.size) if kind == "codes" else (y.size, x.size, num_targets)
    dtypes = "iu" if kind == "codes" else "f"
    if x.ndim != 1 or y.ndim != 1 or values.shape != shape or values.dtype.kind not in dtypes:
        raise FolderError(f"{folder}/arrays/grid.npz: expected {kind} for each x and y; it is damaged")


def _rows(folder: Path, num_targets: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The rows that say most about new ones: of the test split, else of validation, else those trained on."""
    for split in ("test", "valid", "train"):
        try:
            rows = _read(folder, f"rows_{split}")
        except FileNotFoundError:
            continue
        inputs, target = rows.get("inputs", np.empty(0)), rows.get("target", np.empty(0))
        if inputs.shape != (len(target), 2) or target.shape != (len(target), num_targets):
            raise FolderError(f"{folder}/arrays/rows_{split}.npz: expected two inputs and a target for each row")
        return {split: (inputs, target[:, 0])}
    return {}
