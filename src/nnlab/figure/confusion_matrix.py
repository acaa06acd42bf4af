"""Which classes a model takes for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from nnlab.figure.layout import Margins, note, panels
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import BLUE, INK, MUTED
from nnlab.figure.text import literal

_SHADES = LinearSegmentedColormap.from_list("white-blue", ["#FFFFFF", BLUE])

_MOST_WITH_PERCENTAGES = 12
_MOST_WITH_NUMBERS = 25


def confusion_matrix(counts: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Counts and the share of each true class, coloured by that share.

    Args:
        counts: rows of true class i predicted as class j, shape [C, C].
        class_names: C names.
        title: the heading.

    Returns:
        The figure; beyond 12 classes without percentages, beyond 25 without numbers.

    Raises:
        ValueError: if there is no class.
    """
    refuse_nothing("confusion matrix", "class", class_names)
    num_classes = len(class_names)
    side = max(3.0, _cell(num_classes) * num_classes)
    names = [literal(name, most=14) for name in class_names]
    room = 0.55 + 0.085 * max(len(name) for name in names)
    upright = 0.085 * max(len(name) for name in names) > 0.9 * side / num_classes
    margins = Margins(left=room, bottom=room if upright else 0.6, top=0.1, right=0.25)
    figure, (axes,) = panels(1, title, width=side, height=side, margins=margins)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    axes.imshow(share, cmap=_SHADES, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    _label(axes, names, upright)
    if num_classes <= _MOST_WITH_NUMBERS:
        _write_numbers(axes, counts, share)
    total = int(counts.sum())
    right = f"{np.trace(counts) / total:.1%} of " if total else ""
    share_is = "% is of" if num_classes <= _MOST_WITH_PERCENTAGES else "colour is the share of"
    note(figure, f"{right}{total:,} rows right; {share_is} the true class")
    return figure


def _cell(num_classes: int) -> float:
    """A cell's side in inches: as small as what is written in it allows."""
    if num_classes <= _MOST_WITH_PERCENTAGES:
        return 0.58
    return 0.4 if num_classes <= _MOST_WITH_NUMBERS else 0.16


def _label(axes: Axes, names: Sequence[str], upright: bool) -> None:
    size = 9 if len(names) <= _MOST_WITH_NUMBERS else 6
    axes.set_xticks(range(len(names)), names, rotation=90 if upright else 0, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("predicted class", fontsize=10, color=INK)
    axes.set_ylabel("true class", fontsize=10, color=INK)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set(visible=True, color=MUTED)
    edges = np.arange(0.5, len(names) - 1)
    axes.hlines(edges, -0.5, len(names) - 0.5, color="#D8D8D8", linewidth=0.6)
    axes.vlines(edges, -0.5, len(names) - 0.5, color="#D8D8D8", linewidth=0.6)


def _percent(share: float) -> str:
    """Whole percents, but never 0% of something nor 100% of not quite all."""
    if share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _write_numbers(axes: Axes, counts: np.ndarray, share: np.ndarray) -> None:
    detailed = len(counts) <= _MOST_WITH_PERCENTAGES
    size = 10 if len(counts) <= 4 else 8 if detailed else 7
    for row, column in np.ndindex(*counts.shape):
        count = int(counts[row, column])
        if not count and not detailed:
            continue
        # What never occurs needs no percentage: what did occur stands out.
        text = f"{count:,}\n{_percent(float(share[row, column]))}" if count and detailed else f"{count:,}"
        color = "#A8A8A8" if not count else "white" if share[row, column] > 0.55 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color, linespacing=1.15)
