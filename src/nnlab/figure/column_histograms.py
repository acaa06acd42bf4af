"""What stands in the columns of a data set, split by split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nnlab.figure.header import Header
from nnlab.figure.layout import Margins, panels, say
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import GRID, INK, SPLITS
from nnlab.figure.scale import drawable
from nnlab.figure.text import fitted, literal

#: bins of a column of many different numbers, at most
MOST_BINS = 24
#: different whole numbers up to which each has a bin of its own
MOST_WHOLE = 30
#: categories that have bars; the rest are added up
MOST_BARS = 8
_WIDTH, _HEIGHT, _COLUMNS = 2.35, 1.5, 4
#: of a panel's width, for the names of categories, inches
_NAMES = 0.7


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers.

    Args:
        name: the column's, with its unit.
        values: of each split's rows, float [N].
        is_target: whether it is what a model has to say.
    """

    name: str
    values: Mapping[str, np.ndarray]
    is_target: bool = False


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories.

    Args:
        name: the column's.
        labels: the categories [C].
        counts: of each split, the rows of each category, [C].
        is_target: whether it is what a model has to say.
    """

    name: str
    labels: Sequence[str]
    counts: Mapping[str, np.ndarray]
    is_target: bool = False


def column_histograms(
    columns: Sequence[NumberColumn | CategoryColumn], sizes: Mapping[str, int], title: str, note: str = ""
) -> Figure:
    """A panel for each column: the share of each split's rows in each bin, or of each category.

    Train is a filled area, valid and test are lines: where the three lie on each other, the splits are alike. Numbers
    have equal bins over all splits; whole numbers of a small range have one each.

    Args:
        columns: in the order of the panels.
        sizes: rows of each split, by its name.
        title: the heading.
        note: a remark below it; empty for none.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no column.
    """
    refuse_nothing("column histograms", "column", columns)
    margins = Margins(left=0.62, right=0.12, bottom=0.42, top=0.36)
    width = min(len(columns), _COLUMNS) * (margins.left + _WIDTH + margins.right)
    labels = [f"{name} ({size:,})" for name, size in sizes.items()]
    notes = ["each bar: share of the split's rows", *([note] if note else [])]
    header = Header(width, [". ".join(notes)], labels)
    figure, axes = panels(
        len(columns), title, width=_WIDTH, height=_HEIGHT, columns=_COLUMNS, margins=margins, heading=header.height
    )
    header.draw(figure, [_key(name) for name in sizes])
    for panel, column in zip(axes, columns, strict=True):
        name = fitted(f"{column.name} (target)" if column.is_target else column.name, _WIDTH, 9.5)
        panel.text(
            0.0, 1.05, literal(name, most=200), transform=panel.transAxes, fontsize=9.5, color=INK, va="bottom",
        )  # fmt: skip
        panel.tick_params(labelsize=8)
        if isinstance(column, NumberColumn):
            _draw_numbers(panel, column)
        else:
            _make_room(figure, panel)
            _draw_categories(panel, column)
    return figure


def bin_edges(values: np.ndarray, num_rows: int) -> np.ndarray:
    """Where the bins of a column begin and end.

    Args:
        values: of all splits together, finite, at least one.
        num_rows: of the smallest split, which is to fill the bins: twice its cube root, as the Rice rule has it
            (D. M. Lane, Online statistics education).

    Returns:
        Ascending, shape [bins + 1].

    Example:
        >>> bin_edges(np.array([1.0, 3.0, 1.0]), 3).tolist()
        [0.5, 1.5, 2.5, 3.5]
    """
    low, high = float(values.min()), float(values.max())
    if high - low < MOST_WHOLE and (values == np.round(values)).all():
        return np.arange(low - 0.5, high + 1.0)
    if not low < high:
        return np.array([low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)])
    num_bins = min(MOST_BINS, max(5, round(2 * num_rows ** (1 / 3))))
    return np.linspace(low, high, num_bins + 1)


def _draw_numbers(axes: Axes, column: NumberColumn) -> None:
    known = {name: values[np.isfinite(values)] for name, values in _drawable(column.values).items()}
    everything = np.concatenate(list(known.values()))
    if not everything.size:
        say(axes, "no finite value")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    edges = bin_edges(everything, min(len(values) for values in known.values() if len(values)))
    for name, values in known.items():
        shares = np.histogram(values, edges)[0] / max(len(values), 1)
        color, _, is_filled = SPLITS.get(name, SPLITS["test"])
        axes.stairs(shares, edges, color=color, fill=is_filled, alpha=0.3 if is_filled else 1.0, linewidth=1.3)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    is_whole = len(edges) - 1 <= MOST_WHOLE and bool((everything == np.round(everything)).all())
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=is_whole))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    _show_shares(axes, axes.yaxis)


def _show_shares(axes: Axes, axis: Axis) -> None:
    axis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.grid(True, axis="y" if axis is axes.yaxis else "x", color=GRID, linewidth=0.6)


def _make_room(figure: Figure, axes: Axes) -> None:
    """Names of categories take a part of the panel's place."""
    box = axes.get_position()
    inch = 1 / figure.get_figwidth()
    axes.set_position((box.x0 + _NAMES * inch, box.y0, box.width - _NAMES * inch, box.height))
    axes.texts[0].set_x(-_NAMES / (_WIDTH - _NAMES))


def _drawable(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: drawable(of) for name, of in values.items()}


def _draw_categories(axes: Axes, column: CategoryColumn) -> None:
    labels, counts = _largest(column)
    places = np.arange(len(labels))
    thickness = 0.8 / len(counts)
    for index, (name, count) in enumerate(counts.items()):
        color, _, is_filled = SPLITS.get(name, SPLITS["test"])
        axes.barh(
            places - 0.4 + index * thickness, count / max(int(count.sum()), 1), thickness, align="edge", linewidth=1.1,
            facecolor=color if is_filled else "none", edgecolor=color, alpha=0.45 if is_filled else 1.0,
        )  # fmt: skip
    shown = [literal(fitted(label, _NAMES + 0.45, 8), most=200) for label in labels]
    axes.set_yticks(places, shown, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(len(labels), 1) - 0.4, -0.6)
    _show_shares(axes, axes.xaxis)


def _largest(column: CategoryColumn) -> tuple[list[str], dict[str, np.ndarray]]:
    """The commonest categories in their own order, and the others together."""
    if len(column.labels) <= MOST_BARS:
        return list(column.labels), dict(column.counts)
    total = np.sum(list(column.counts.values()), axis=0)
    kept = np.sort(np.argsort(-total, kind="stable")[: MOST_BARS - 1])
    others = np.setdiff1d(np.arange(len(total)), kept)
    labels = [*(column.labels[place] for place in kept), f"{len(others):,} others"]
    return labels, {name: np.append(count[kept], count[others].sum()) for name, count in column.counts.items()}


def _key(name: str) -> Artist:
    color, _, is_filled = SPLITS.get(name, SPLITS["test"])
    if is_filled:
        return Patch(facecolor=color, alpha=0.3)
    return Line2D([], [], color=color, linewidth=1.5)
