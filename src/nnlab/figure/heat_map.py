"""A metric over two settings."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator

from nnlab.figure.header import Header
from nnlab.figure.layout import Margins, panels, size_of
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import INK, MUTED, quality_colors
from nnlab.figure.scale import LOG_SPAN, decades, drawable
from nnlab.figure.text import fitted, label, literal, width_of

_MOST_SIDE = 4.2
_MOST_NAME = 1.3
_MISSING = "#E4E4E4"


def heat_map(
    x_names: Sequence[str],
    y_names: Sequence[str],
    values: np.ndarray,
    metric: str,
    x_label: str,
    y_label: str,
    grows: bool = False,
    title: str | None = None,
) -> Figure:
    """A cell for each pair of settings, the better the darker, with its number where there is room; the best outlined.

    Colours are logarithmic where the values are positive and span more than a factor of 30.

    Args:
        x_names: X values of the first setting, in order.
        y_names: Y values of the second, in order, from the bottom to the top.
        values: the metric's mean in each cell, shape [Y, X]; NaN where no run came to its end.
        metric: the metric's name.
        x_label: the first setting's name.
        y_label: the second's.
        grows: whether more is better.
        title: the heading; None for one that names all three.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no setting on the x axis or setting on the y axis.
    """
    refuse_nothing("heat map", "setting on the x axis", x_names)
    refuse_nothing("heat map", "setting on the y axis", y_names)
    values = drawable(values)
    norm = _norm(values)
    heading = title or f"{metric} by {x_label} and {y_label}"
    figure, axes = _panel(x_names, y_names, heading, _legend_of(values))
    colors = quality_colors(grows)
    axes.imshow(values, cmap=colors, norm=norm, origin="lower", aspect="auto", interpolation="nearest")
    for row, column in np.argwhere(~np.isfinite(values)):
        axes.add_patch(_missing((column - 0.5, row - 0.5)))
    _write_numbers(figure, axes, values, ScalarMappable(norm, colors))
    if np.isfinite(values).any():
        best = (np.nanargmax if grows else np.nanargmin)(values)
        _outline(axes, *np.unravel_index(best, values.shape))
    width, height = size_of(figure, axes)
    axes.set_xlabel(label(x_label, width + 0.4), fontsize=9.5, color=INK)
    axes.set_ylabel(label(y_label, height + 0.4), fontsize=9.5, color=INK)
    _bar(figure, axes, ScalarMappable(norm, colors), metric)
    return figure


def _norm(values: np.ndarray) -> Normalize:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    return LogNorm(low, high) if decades(values) > LOG_SPAN else Normalize(low, high)


def _legend_of(values: np.ndarray) -> list[str]:
    entries = ["best"] if np.isfinite(values).any() else []
    return entries if np.isfinite(values).all() else [*entries, "no run"]


def _panel(x_names: Sequence[str], y_names: Sequence[str], title: str, entries: Sequence[str]) -> tuple[Figure, Axes]:
    num_x, num_y = len(x_names), len(y_names)
    width = min(_MOST_SIDE, max(2.6, 0.62 * num_x))
    height = min(_MOST_SIDE, max(1.4, 0.4 * num_y))
    size = 9.0 if max(width_of(name, 9) for name in x_names) < 0.9 * width / num_x else 8.0
    upright = max(width_of(name, size) for name in x_names) > 0.9 * width / num_x
    x_shown, y_shown = ([fitted(name, _MOST_NAME, size) for name in names] for names in (x_names, y_names))
    left = 0.45 + max(width_of(name, size) for name in y_shown)
    below = 0.38 + (max(width_of(name, size) for name in x_shown) if upright else 0.14)
    margins = Margins(left=left, right=0.1, top=0.06, bottom=below, beside=0.95)
    header = Header(left + width + 1.05, ["colour: mean of a cell's runs, the darker the better"], entries)
    figure, (axes,) = panels(1, title, width=width, height=height, margins=margins, heading=header.height)
    keys = {"best": Patch(facecolor="white", edgecolor=INK, linewidth=1.8), "no run": _missing((0, 0))}
    header.draw(figure, [keys[entry] for entry in entries])
    # beyond some thirty names a line every second, third … one is named
    for axis, names, room in ((axes.xaxis, x_shown, width), (axes.yaxis, y_shown, height)):
        stride = -(-len(names) * 9 // int(room * 72))
        axis.set_ticks(range(0, len(names), stride), [literal(name, most=200) for name in names[::stride]])
    axes.tick_params(length=0, labelsize=size)
    axes.tick_params(axis="x", rotation=90 if upright else 0)
    return figure, axes


def _missing(corner: tuple[float, float]) -> Rectangle:
    return Rectangle(corner, 1, 1, facecolor=_MISSING, edgecolor="#9A9A9A", hatch="////", linewidth=0)


def _write_numbers(figure: Figure, axes: Axes, values: np.ndarray, shades: ScalarMappable) -> None:
    texts = [f"{value:.3g}" if np.isfinite(value) else "" for value in values.ravel()]
    width, height = size_of(figure, axes)
    room, tall = width / values.shape[1], height / values.shape[0]
    size = next((size for size in (9.0, 8.0, 7.0) if max(width_of(text, size) for text in texts) < 0.92 * room), None)
    if size is None or tall < 0.16:
        return
    for (row, column), text in zip(np.ndindex(*values.shape), texts, strict=True):
        if text:
            red, green, blue, _ = shades.to_rgba(values[row, column])
            is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            color = "white" if is_dark else INK
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)


def _outline(axes: Axes, row: np.intp, column: np.intp) -> None:
    """A dark frame within a white one: it shows on every shade."""
    for width, color in ((4.5, "white"), (2.0, INK)):
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=color, linewidth=width, zorder=4)
        frame.set_clip_on(False)
        axes.add_patch(frame)


def _bar(figure: Figure, axes: Axes, shades: ScalarMappable, metric: str) -> None:
    box = axes.get_position()
    inch = 1 / figure.get_figwidth()
    height = min(box.height, 2.6 / figure.get_figheight())
    bar = figure.add_axes((box.x1 + 0.16 * inch, box.y1 - height, 0.14 * inch, height))
    colorbar = figure.colorbar(shades, cax=bar)
    colorbar.outline.set_visible(False)
    colorbar.ax.tick_params(labelsize=8.5, color=MUTED, labelcolor=INK)
    if isinstance(shades.norm, LogNorm):
        colorbar.set_ticks(LogLocator(numticks=7))
        colorbar.minorticks_off()
    colorbar.formatter = FuncFormatter(lambda value, _: f"{value:g}")
    colorbar.set_label(label(metric, height * figure.get_figheight(), 9), fontsize=9, color=INK)
