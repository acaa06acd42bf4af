"""The figures of one run, drawn from its arrays and its history."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nnlab import figure
from nnlab.durable import write_atomic

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
    name: str,
    arrays: Mapping[str, Arrays],
    history: Sequence[Mapping[str, float]],
    draw: Callable[[int, str, Figure], None],
) -> None:
    """Draw a run's figures.

    Args:
        name: the run's name, for titles.
        arrays: the groups that ``run_arrays`` makes.
        history: the rows of ``metrics.csv``.
        draw: takes the step, the name of the files without ending, and the figure.

    Raises:
        OSError: if a file cannot be written.
    """
    step = int(history[-1]["step"])
    for stem, drawn in figures_of(name, arrays, history):
        draw(step, stem, drawn)


def draw_films(folder: Path, name: str, arrays: Mapping[str, Arrays]) -> None:
    """Draw the films of a run that kept its parameters from time to time. The loggers' pictures stand still.

    Args:
        folder: the run's folder; ``figures/<name>.gif`` go there.
        name: the run's name, for titles.
        arrays: the groups that ``run_arrays`` makes.

    Raises:
        OSError: if a file cannot be written.
    """
    for stem, payload in films_of(name, arrays):
        (folder / "figures").mkdir(exist_ok=True)
        write_atomic(folder / "figures" / f"{stem}.gif", payload)


def films_of(name: str, arrays: Mapping[str, Arrays]) -> Iterator[tuple[str, bytes]]:
    """The films that a run's data and task allow; none of a run that kept nothing for them.

    Args:
        name: the run's name, for titles.
        arrays: the groups that ``run_arrays`` makes.

    Yields:
        File names without ending, and GIFs.
    """
    if "film" not in arrays:
        return
    about, film = arrays["about"], arrays["film"]
    rows = {split: arrays[f"rows_{split}"] for split in ("train", "valid", "test") if f"rows_{split}" in arrays}
    inputs, targets = [str(n) for n in about["input_names"]], [str(n) for n in about["target_names"]]
    points = {split: (rows[split]["inputs"], rows[split]["target"]) for split in _shown(rows)}
    moments = [_moment(int(epoch), int(step)) for epoch, step in zip(film["epoch"], film["step"], strict=True)]
    x, y = film["x"], film["y"]
    if "codes" in film:
        classes = [str(n) for n in about["class_names"]]
        titles = [f"{name}: decision map, {moment}" for moment in moments]
        codes, confidence = film["codes"], film["confidence"]
        yield "decision_film", figure.decision_film(x, y, codes, confidence, points, classes, inputs, titles)
        return
    titles = [f"{name}: prediction, {moment}" for moment in moments]
    for column, target in enumerate(targets):
        shown = {split: (places, values[:, column]) for split, (places, values) in points.items()}
        gif = figure.value_film(x, y, film["values"][..., column], shown, target, inputs, titles)
        yield _numbered("value_film", column, targets), gif


def _moment(epoch: int, step: int) -> str:
    if not step:
        return "before training"
    return f"epoch {epoch}" if epoch else f"step {step}"


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
