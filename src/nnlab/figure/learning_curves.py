"""Loss and metrics over the epochs."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnlab.figure.layout import panels, say, second_line
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import BLUE, INK, MUTED, ORANGE
from nnlab.figure.scale import decades, drawable, log_scale, whole_numbers
from nnlab.figure.text import legend, literal

#: metrics of which less is better and whose orders of magnitude matter
LOG_METRICS = ("loss", "mse", "rmse", "mae")

_COLORS = {"train": BLUE, "valid": ORANGE}


def learning_curves(
    history: Mapping[str, Sequence[float]],
    title: str,
    best_epoch: int | None = None,
    log_metrics: Collection[str] = LOG_METRICS,
) -> Figure:
    """One panel for each metric, train and valid values together.

    Args:
        history: columns of ``metrics.csv``: ``epoch`` and any ``train/<metric>`` and ``valid/<metric>``, each of
            length R, one value for each evaluation; others are passed over. NaN leaves a gap.
        title: the heading.
        best_epoch: the epoch of the selected checkpoint, which is marked; None for no mark.
        log_metrics: metrics drawn on a logarithmic scale where their values are positive and span over a decade.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no column to draw, or no evaluation.
    """
    metrics = _metrics(history)
    if not metrics:
        raise ValueError(f"learning curves: expected columns train/… or valid/…, found {', '.join(history)}")
    epoch = np.asarray(history["epoch"], dtype=float)
    refuse_nothing("learning curves", "evaluation", epoch)
    figure, axes = panels(len(metrics), title, width=3.6 if len(metrics) > 1 else 5.0, height=2.5)
    for panel, metric in zip(axes, metrics, strict=True):
        lines = {split: drawable(history[f"{split}/{metric}"]) for split in _COLORS if f"{split}/{metric}" in history}
        _draw(panel, metric, epoch, lines, best_epoch)
        num_decades = decades(np.concatenate(list(lines.values())))
        if metric in log_metrics and num_decades > 1:
            log_scale(panel, "y", num_decades)
    splits = [split for split in _COLORS if any(f"{split}/{metric}" in history for metric in metrics)]
    _legend(figure, splits, best_epoch)
    return figure


def _metrics(history: Mapping[str, Sequence[float]]) -> list[str]:
    parts = [column.partition("/") for column in history]
    return list(dict.fromkeys(metric for split, _, metric in parts if split in _COLORS and metric))


def _draw(axes: Axes, metric: str, epoch: np.ndarray, lines: Mapping[str, np.ndarray], best_epoch: int | None) -> None:
    axes.set_title(literal(metric, most=40), fontsize=11, color=INK, loc="left")
    axes.set_xlabel("epoch", fontsize=9.5, color=INK)
    axes.grid(True, color="#E6E6E6", linewidth=0.6)
    for split, values in lines.items():
        # A line needs two neighbours: with few values, and beside gaps, only a marker shows them.
        lonely = np.isfinite(values) & ~_has_neighbour(values)
        marked = np.arange(len(values)) if len(values) <= 30 else np.flatnonzero(lonely)
        axes.plot(
            epoch, values, color=_COLORS[split], linewidth=1.6, marker="o", markersize=3.5, markevery=marked.tolist()
        )
    if not any(np.isfinite(values).any() for values in lines.values()):
        say(axes, "no finite value")
        axes.set_yticks([])
    whole_numbers(axes, float(epoch.min()), float(epoch.max()))
    if best_epoch is not None:
        axes.axvline(best_epoch, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        _mark_best(axes, epoch, lines, best_epoch)


def _has_neighbour(values: np.ndarray) -> np.ndarray:
    finite = np.isfinite(values)
    padded = np.concatenate([[False], finite, [False]])
    return np.asarray(padded[:-2] | padded[2:])


def _mark_best(axes: Axes, epoch: np.ndarray, lines: Mapping[str, np.ndarray], best_epoch: int) -> None:
    at = np.flatnonzero(epoch == best_epoch)
    for split, values in lines.items():
        axes.plot(
            epoch[at],
            values[at],
            linestyle="none",
            marker="D",
            markersize=6,
            color=_COLORS[split],
            markeredgecolor=INK,
            zorder=3,
        )


def _legend(figure: Figure, splits: Sequence[str], best_epoch: int | None) -> None:
    handles = [Line2D([], [], color=_COLORS[split], linewidth=2) for split in splits]
    labels = list(splits)
    if best_epoch is not None:
        diamond = {"marker": "D", "markersize": 6, "markerfacecolor": "white", "markeredgecolor": INK}
        handles.append(Line2D([], [], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), **diamond))  # type: ignore[arg-type]
        labels.append(f"best: epoch {best_epoch:,}")
    x, y = second_line(figure)
    legend(figure, handles, labels, (x, y), columns=3)
