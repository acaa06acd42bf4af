"""A metric over three and more settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nnlab.figure.header import Header
from nnlab.figure.layout import Margins, panels
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import INK, MUTED, quality_colors
from nnlab.figure.scale import LOG_SPAN, decades, drawable
from nnlab.figure.text import folded, label

#: the lines drawn thick, on top: at most so many, and at most a quarter of all
_MOST_BEST = 3
#: lines that meet at one value are spread over so much of the axis
_SPREAD = 0.03
#: where lines without a result end: below the worst
_LOST = -0.1
#: inches between two axes
_GAP = 1.15
#: of a label, as a share of an axis
_LABEL_HEIGHT = 0.05


@dataclass(frozen=True)
class Scale:
    """Places on an axis.

    Args:
        places: of each group, from 0 (below) to 1, shape [G].
        ticks: places of the labels.
        labels: one for each.
    """

    places: np.ndarray
    ticks: Sequence[float]
    labels: Sequence[str]


def parallel_coordinates(
    settings: Mapping[str, Sequence[str]],
    values: Sequence[float] | np.ndarray,
    metric: str,
    grows: bool = False,
    title: str | None = None,
) -> Figure:
    """An axis for each setting and one for the metric; a line for each group, the better the darker.

    A setting whose values are all numbers has a numeric axis, logarithmic where they span a factor of 10 or more, with
    zero one power of ten below the rest; any other has its values in the order of their first appearance, from below.
    The metric's axis has its best value on top, and is logarithmic where it is positive and spans more than a factor of
    30. Lines that meet at one value are spread a little. The best three, or fewer of a few, are thick; groups without a
    result end in a cross.

    Args:
        settings: for each key its value in each of G groups, as text.
        values: the metric's mean of each group, shape [G]; NaN where no run came to its end.
        metric: the metric's name.
        grows: whether more is better.
        title: the heading; None for one that names the metric.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no setting or group.
    """
    refuse_nothing("parallel coordinates", "setting", settings)
    refuse_nothing("parallel coordinates", "group", values)
    result = drawable(values)
    order = _from_worst(result, grows)
    scales = [_setting_scale(column) for column in settings.values()]
    last = _metric_scale(result, grows)
    is_lost = ~np.isfinite(result)
    num_best = min(_MOST_BEST, -(-int((~is_lost).sum()) // 4))
    heading = title or f"{metric} by {len(scales)} settings"
    figure, axes = _panel(len(scales) + 1, heading, num_best, bool(is_lost.any()))
    rank = np.empty(len(result))
    rank[order] = np.linspace(-0.5, 0.5, len(result)) if len(result) > 1 else 0.0
    heights = np.stack([scale.places + _SPREAD * rank for scale in scales] + [last.places])
    _draw_lines(axes, heights, result, order, grows, num_best)
    for place, (name, scale) in enumerate(zip([*settings, metric], [*scales, last], strict=True)):
        _draw_axis(axes, place, name, scale, is_last=place == len(scales))
    return figure


def _from_worst(result: np.ndarray, grows: bool) -> np.ndarray:
    """The order of drawing: groups without a result, then from the worst to the best."""
    quality = np.where(np.isfinite(result), result if grows else -result, -np.inf)
    return np.argsort(quality, kind="stable")


def _as_numbers(column: Sequence[str]) -> np.ndarray | None:
    try:
        numbers = np.array([float(value) for value in column])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _setting_scale(column: Sequence[str]) -> Scale:
    numbers = _as_numbers(column)
    if numbers is None:
        names = list(dict.fromkeys(column))
        ticks = _even(len(names))
        return Scale(ticks[[names.index(value) for value in column]], ticks.tolist(), names)
    known = np.unique(numbers)
    is_log = decades(known[known > 0]) >= 1 - 1e-9 and known[0] >= 0
    ticks, form = (known, "g") if len(known) <= 8 else (_some(known[known > 0] if is_log else known, is_log), ".3g")
    labels = [format(value, form) for value in ticks]
    if is_log:
        # zero has no logarithm: it stands one power of ten below the smallest other value
        zero = known[known > 0][0] / 10
        numbers, known, ticks = (np.where(column > 0, column, zero) for column in (numbers, known, ticks))
    return Scale(_placed(numbers, known, is_log), _placed(ticks, known, is_log).tolist(), labels)


def _metric_scale(result: np.ndarray, grows: bool) -> Scale:
    known = np.unique(result[np.isfinite(result)])
    if not known.size:
        return Scale(np.full(len(result), _LOST), [], [])
    is_log = decades(known) > LOG_SPAN
    ticks = _some(known, is_log) if len(known) > 1 else known
    places, tick_places = _placed(result, known, is_log), _placed(ticks, known, is_log)
    if not grows:
        places, tick_places = 1 - places, 1 - tick_places
    places = np.where(np.isfinite(result), places, _LOST)
    return Scale(places, tick_places.tolist(), [f"{value:.3g}" for value in ticks])


def _even(num: int) -> np.ndarray:
    return np.linspace(0, 1, num) if num > 1 else np.array([0.5])


def _placed(numbers: np.ndarray, known: np.ndarray, is_log: bool) -> np.ndarray:
    """From the smallest known number (0) to the greatest (1)."""
    if known[0] == known[-1]:
        return np.full(np.shape(numbers), 0.5)
    if is_log:
        numbers, known = np.log10(numbers), np.log10(known)
    return np.asarray((numbers - known[0]) / (known[-1] - known[0]))


def _some(known: np.ndarray, is_log: bool) -> np.ndarray:
    """Round numbers between the ends; in logarithms the ends and what lies evenly between them."""
    if is_log:
        return np.geomspace(known[0], known[-1], 5)
    ticks = np.asarray(MaxNLocator(6).tick_values(known[0], known[-1]))
    return np.asarray(ticks[(ticks >= known[0]) & (ticks <= known[-1])])


def _panel(num_axes: int, title: str, num_best: int, has_lost: bool) -> tuple[Figure, Axes]:
    width = _GAP * (num_axes - 1)
    margins = Margins(left=0.75, right=0.75, top=0.42, bottom=0.2)
    notes = ["a line is a group: dark is better, and the best end on top"]
    labels = [f"the best {num_best}" if num_best > 1 else "the best", *(["no run came to its end"] if has_lost else [])]
    header = Header(width + 1.5, notes, labels)
    figure, (axes,) = panels(1, title, width=width, height=3.0, margins=margins, heading=header.height)
    best = Line2D([], [], color=quality_colors(False)(0.0), linewidth=2.6)
    lost = Line2D([], [], color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)), marker="x", markersize=5)
    header.draw(figure, [best, lost][: len(labels)])
    axes.set_axis_off()
    axes.set_xlim(0, num_axes - 1)
    axes.set_ylim(-0.14, 1.03)
    return figure, axes


def _draw_lines(
    axes: Axes, heights: np.ndarray, result: np.ndarray, order: np.ndarray, grows: bool, num_best: int
) -> None:
    colors = quality_colors(grows)
    known = result[np.isfinite(result)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    norm = LogNorm(low, high) if decades(known) > LOG_SPAN else Normalize(low, high)
    for drawn, group in enumerate(order):
        x = np.arange(len(heights))
        if not np.isfinite(result[group]):
            axes.plot(x, heights[:, group], color="#A8A8A8", linewidth=0.8, linestyle=(0, (3, 2)), clip_on=False)
            axes.plot(x[-1], _LOST, linestyle="none", marker="x", markersize=5, color=MUTED, clip_on=False)
            continue
        is_best = drawn >= len(order) - num_best
        width = 2.6 if is_best else 1.1 if len(order) <= 60 else 0.7
        axes.plot(
            x, heights[:, group], color=colors(norm(result[group])), linewidth=width, clip_on=False,
            zorder=2 + 0.001 * drawn, solid_joinstyle="round",
        )  # fmt: skip


def _draw_axis(axes: Axes, place: int, name: str, scale: Scale, is_last: bool) -> None:
    axes.plot([place, place], [0, 1], color=INK, linewidth=1.4 if is_last else 1.0, zorder=5, clip_on=False)
    axes.annotate(
        folded(name, _GAP - 0.15, 9), (place, 1), (0, 9), textcoords="offset points", ha="center", va="bottom",
        fontsize=9, color=INK, fontweight="bold" if is_last else "normal", annotation_clip=False,
    )  # fmt: skip
    written: list[float] = []
    for height, name in zip(scale.ticks, scale.labels, strict=True):
        axes.plot(place, height, linestyle="none", marker="_", markersize=6, color=INK, zorder=5, clip_on=False)
        # a label needs room of its own; the tick alone shows the value beside it
        if any(abs(height - other) < _LABEL_HEIGHT for other in written):
            continue
        written.append(height)
        axes.annotate(
            label(name, 0.8, 8.5), (place, height), (5, 0), textcoords="offset points",
            fontsize=8.5, va="center", color=INK, zorder=6, annotation_clip=False,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
