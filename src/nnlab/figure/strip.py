"""One point for each run, a row for each group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETLEFT, CARETRIGHT
from matplotlib.transforms import blended_transform_factory

from nnlab.figure.header import Header
from nnlab.figure.layout import Margins, panels, say, size_of
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import GRID, INK, MOST_GROUPS, line_style
from nnlab.figure.scale import LOG_SPAN, decades, drawable, log_scale, metric_scale
from nnlab.figure.text import folded, metric_label, short_names, width_of

#: of all rows together, inches, as far as single rows stay legible
_MOST_HEIGHT = 9.6
_LEAST_ROW, _MOST_ROW = 0.16, 0.42
_MOST_NAME = 2.2
#: beside the panel, where the runs without a value are counted
_GUTTER = 0.5
_WIDTH = 5.05
_LABELS = ("a run", "mean, 95 % interval", "diverged or unfinished")


@dataclass(frozen=True)
class StripRow:
    """The runs of one group.

    Args:
        name: the group's.
        values: of each run, shape [N]; NaN for one that diverged or did not come to its end.
    """

    name: str
    values: Sequence[float] | np.ndarray


def strip(
    rows: Sequence[StripRow],
    metric: str,
    intervals: Sequence[tuple[float, float, float]],
    grows: bool = False,
    title: str | None = None,
) -> Figure:
    """A metric of every run, with the mean and interval of each group; runs without a value are crosses at the edge.

    The height of a point within its row is its run's place in the group, so that equal values stay apart. The axis
    follows the points and is logarithmic where these are positive and span more than a factor of 30; an interval that
    is much wider is cut, with an arrow.

    Args:
        rows: the groups from top to bottom, the best first; some 60 are legible.
        metric: the metric's name.
        intervals: of each group the mean and the ends of its 95 % interval; NaN where there is none.
        grows: whether more is better.
        title: the heading; None for one that names the metric.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no group.
    """
    refuse_nothing("strip plot", "group", rows)
    values = [drawable(row.values) for row in rows]
    bars = drawable(np.array(intervals, dtype=float).reshape(-1, 3))
    lost = [int(np.isnan(column).sum()) for column in values]
    figure, axes, size = _panel(rows, title or f"{metric} of every run", any(lost))
    known = np.concatenate([*values, bars[:, 0]])
    known = known[np.isfinite(known)]
    limits = _limits(known, bars[:, 1:])
    metric_scale(axes, "x", known)
    if axes.get_xscale() == "log":
        log_scale(axes, "x", decades(np.array(limits)))  # an interval may reach far beyond the points
    axes.set_xlim(*limits)
    axes.set_xlabel(metric_label(metric, grows, size_of(figure, axes)[0] + 2 * _GUTTER - 0.1), fontsize=9.5, color=INK)
    for place, (column, bar) in enumerate(zip(values, bars, strict=True)):
        color = line_style(place if len(rows) <= MOST_GROUPS else 0).color
        _draw_interval(axes, place, bar, color)
        offsets = np.linspace(-0.24, 0.24, len(column)) if len(column) > 1 else np.zeros(len(column))
        axes.plot(
            column, place + offsets, linestyle="none", marker="o", markersize=4.5 if size > 8 else 3.2,
            markerfacecolor=color, markeredgecolor="white", markeredgewidth=0.4, zorder=3,
        )  # fmt: skip
    _mark_lost(figure, axes, lost, size)
    if not known.size:
        axes.set_xticks([])
        say(axes, "no run came to its end")
    return figure


def _panel(rows: Sequence[StripRow], title: str, has_lost: bool) -> tuple[Figure, Axes, float]:
    """The empty figure: a line of text for each row, two where there is room for them; and the letters' size."""
    height = min(_MOST_ROW, max(_LEAST_ROW, _MOST_HEIGHT / len(rows)))
    size = 9.0 if height > 0.2 else 7.5
    shown, remark = short_names([row.name for row in rows], _MOST_NAME, size)
    room = min(_MOST_NAME, max(0.5, *(width_of(name, size) for name in shown)))
    margins = Margins(left=room + 0.25, right=_GUTTER, top=0.1, bottom=0.5)
    width = max(2.6, _WIDTH - margins.left - margins.right)
    num_entries = 3 if has_lost else 2
    header = Header(margins.left + width + margins.right, [remark] if remark else (), _LABELS[:num_entries])
    whole = height * len(rows)
    figure, (axes,) = panels(1, title, width=width, height=whole, margins=margins, heading=header.height)
    header.draw(figure, _handles()[:num_entries])
    names = [folded(name, room, size, 2 if height > 0.3 else 1) for name in shown]
    axes.set_yticks(range(len(names)), names, fontsize=size, linespacing=1.05)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x", color=GRID, linewidth=0.6)
    axes.hlines(np.arange(0.5, len(names) - 1), 0, 1, GRID, linewidth=0.5, transform=axes.get_yaxis_transform())
    return figure, axes, size


def _handles() -> list[Artist]:
    color = line_style(0).color
    return [
        Line2D([], [], linestyle="none", marker="o", markersize=4.5, color=color),
        Line2D([], [], color=color, alpha=0.35, lw=6, solid_capstyle="butt", marker="|", ms=9, mec=INK, mew=1.6),
        Line2D([], [], linestyle="none", marker="x", markersize=5, color=INK),
    ]


def _limits(known: np.ndarray, ends: np.ndarray) -> tuple[float, float]:
    """The points, and their intervals up to three quarters of the points' span further out."""
    if not known.size:
        return 0.0, 1.0
    ends = ends[np.isfinite(ends)]
    is_log = decades(known) > LOG_SPAN
    if is_log:
        # in logarithms a margin is a factor, and what is not positive lies beyond every margin
        known, ends = np.log10(known), np.log10(np.maximum(ends, 1e-300))
    low, high = float(known.min()), float(known.max())
    span = high - low or 0.1 * abs(low) or 1.0
    first = max(min(low, *ends), low - 0.75 * span) - 0.06 * span if ends.size else low - 0.06 * span
    last = min(max(high, *ends), high + 0.75 * span) + 0.06 * span if ends.size else high + 0.06 * span
    return (10**first, 10**last) if is_log else (first, last)


def _draw_interval(axes: Axes, place: int, bar: np.ndarray, color: str) -> None:
    mean, low, high = bar
    first, last = axes.get_xlim()
    if np.isfinite(low) and np.isfinite(high):
        ends = np.clip([low, high], first, last)
        axes.plot(ends, [place, place], color=color, alpha=0.3, linewidth=7, solid_capstyle="butt", zorder=2)
        for end, is_cut, marker in ((ends[0], low < first, CARETLEFT), (ends[1], high > last, CARETRIGHT)):
            if is_cut:
                axes.plot(end, place, linestyle="none", marker=marker, color=color, markersize=5, clip_on=False)
    axes.plot(mean, place, linestyle="none", marker="|", markersize=11, color=INK, markeredgewidth=1.6, zorder=4)


def _mark_lost(figure: Figure, axes: Axes, lost: Sequence[int], size: float) -> None:
    """A cross beside the panel, with their number where there are several in a row."""
    beside = blended_transform_factory(axes.transAxes, axes.transData)
    inch = 1 / size_of(figure, axes)[0]
    for place, num in enumerate(lost):
        if num:
            x = 1 + 0.12 * inch
            axes.plot(x, place, ls="none", marker="x", ms=5, color=INK, transform=beside, clip_on=False)
        if num > 1:
            axes.text(1 + 0.2 * inch, place, f"{num:,}", fontsize=size, color=INK, va="center", transform=beside)
