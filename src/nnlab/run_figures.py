"""The figures of one run, drawn from its arrays and its history."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nnlab import figure
from nnlab.folder import write_atomic
from nnlab.logger.base import Image, Media

Arrays = Mapping[str, np.ndarray]
#: beside a decision map or a curve: the rows trained on, and the newest ones that were not
SHOWN = (("train", "test"), ("train", "valid"), ("train",))


def figures_of(
    name: str, arrays: Mapping[str, Arrays], history: Sequence[Mapping[str, float]]
) -> Iterator[tuple[str, Figure]]:
    """The figures that a run's data and task allow.

    Args:
        name: the run's name, for titles.
        arrays: the groups that ``run_arrays`` makes.
        history: the rows of ``metrics.csv``.

    Yields:
        File names without ending, and figures.
    """
    about = arrays["about"]
    best_epoch = int(about["best_epoch"])
    columns = {key: [row[key] for row in history] for key in history[0]}
    yield "learning_curves", figure.learning_curves(columns, f"{name}: learning curves", best_epoch)
    rows = {split: arrays[f"rows_{split}"] for split in ("train", "valid", "test") if f"rows_{split}" in arrays}
    inputs, targets = [str(n) for n in about["input_names"]], [str(n) for n in about["target_names"]]
    classes = [str(n) for n in about["class_names"]]
    points = {split: (rows[split]["inputs"], rows[split]["target"]) for split in _shown(rows)}
    at = f"epoch {best_epoch}" if best_epoch else f"step {int(about['best_step'])}"
    if "curve" in arrays:
        curve = arrays["curve"]
        for column, target in enumerate(targets):
            shown = {split: (x[:, 0], y[:, column]) for split, (x, y) in points.items()}
            yield _numbered("fitted_curve", column, targets), figure.fitted_curve(
                curve["grid"], curve["before"][:, column], curve["after"][:, column], shown, inputs[0], target,
                f"{name}: fitted curve, {at}",
            )  # fmt: skip
    if "grid" in arrays:
        yield from _maps(f"{name}: %s, {at}", arrays["grid"], points, inputs, targets, classes)
    if "confusion" in arrays:
        split = next(split for split in ("test", "valid", "train") if split in rows)
        title = f"{name}: {split} rows, {at}"
        yield "confusion_matrix", figure.confusion_matrix(arrays["confusion"]["counts"], classes, title)
    else:
        pairs = {split: (rows[split]["prediction"], rows[split]["target"]) for split in _shown(rows)}
        yield "predicted_vs_true", figure.predicted_vs_true(pairs, targets, f"{name}: predicted against true, {at}")
    if "weights" in arrays:
        yield "weights", _weights(arrays["weights"], f"{name}: weights and biases, {at}")


def draw_figures(
    folder: Path,
    name: str,
    arrays: Mapping[str, Arrays],
    history: Sequence[Mapping[str, float]],
    log: Callable[[int, str, Media], None],
) -> list[str]:
    """Draw a run's figures into ``figures/`` and into its loggers.

    Args:
        folder: the run's folder.
        name: the run's name, for titles.
        arrays: the groups that ``run_arrays`` makes.
        history: the rows of ``metrics.csv``.
        log: sends a picture to every logger.

    Returns:
        The file names.

    Raises:
        OSError: if a file cannot be written.
    """
    (folder / "figures").mkdir(exist_ok=True)
    written = []
    step = int(history[-1]["step"])
    for stem, drawn in figures_of(name, arrays, history):
        payload, width, height = figure.png(drawn)
        write_atomic(folder / "figures" / f"{stem}.png", payload)
        log(step, f"figures/{stem}", Image(payload, width, height))
        written.append(f"{stem}.png")
    return written


def _shown(rows: Mapping[str, object]) -> tuple[str, ...]:
    return next(splits for splits in SHOWN if set(splits) <= rows.keys())


def _numbered(stem: str, column: int, names: Sequence[str]) -> str:
    return stem if len(names) == 1 else f"{stem}_{column + 1}"


def _weights(arrays: Arrays, title: str) -> Figure:
    before, after = (
        figure.Spread(*(arrays[f"{column}_{moment}"] for column in ("counts", "mean", "std")))
        if f"counts_{moment}" in arrays
        else None
        for moment in ("before", "after")
    )
    assert before is not None
    return figure.weights([str(name) for name in arrays["names"]], arrays["edges"], before, after, title)


def _maps(
    title: str,
    grid: Arrays,
    points: Mapping[str, tuple[np.ndarray, np.ndarray]],
    inputs: Sequence[str],
    targets: Sequence[str],
    classes: Sequence[str],
) -> Iterator[tuple[str, Figure]]:
    x, y = grid["x"], grid["y"]
    if "codes" in grid:
        yield (
            "decision_map",
            figure.decision_map(
                x, y, grid["codes"], grid["confidence"], points, classes, inputs, title % "decision map"
            ),
        )
        return
    for column, target in enumerate(targets):
        shown = {split: (rows, values[:, column]) for split, (rows, values) in points.items()}
        yield (
            _numbered("value_map", column, targets),
            figure.value_map(x, y, grid["values"][:, :, column], shown, target, inputs, title % "prediction"),
        )
