"""How a model's weights are spread, before and after training."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from nnlab.figure.layout import Margins, panels, second_line
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import BLUE, INK, MUTED
from nnlab.figure.text import legend, literal

_GREY = "#C4C4C4"
_MOST_PANELS = 12
#: as many times the lower of the two tallest bars as are shown: numbers that start all equal must not flatten the rest
_TALL = 4
#: tensors of so many numbers are not drawn in the finest bins: single numbers are worth it, and large ones fill them
_FEW, _MANY = 10, 2000


class Spread(NamedTuple):
    """How T tensors are spread at one moment: counts in bins [T, B], mean [T] and standard deviation [T]."""

    counts: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def weights(names: Sequence[str], edges: np.ndarray, before: Spread, after: Spread | None, title: str) -> Figure:
    """A histogram for each tensor, before training filled and after training as a line, over the same bins.

    Args:
        names: T names.
        edges: of the bins of each tensor, ascending, shape [T, B + 1].
        before: the initial numbers.
        after: the trained ones; None where nothing was trained.
        title: the heading.

    Returns:
        The figure; of more than 12 tensors the first six and the last six, and the title says so.

    Raises:
        ValueError: if there is no tensor.
    """
    refuse_nothing("weights", "tensor", names)
    shown = list(range(len(names)))
    if len(names) > _MOST_PANELS:
        half = _MOST_PANELS // 2
        shown = [*shown[:half], *shown[-half:]]
        title = f"{title} (the first {half} and the last {half} of {len(names)})"
    # A layer's weight and bias stay side by side.
    columns = 2 if len(shown) <= 6 else 4
    margins = Margins(left=0.6, right=0.25, top=0.4, bottom=0.5)
    figure, axes = panels(len(shown), title, width=2.7, height=1.5, columns=columns, margins=margins)
    for panel, index in zip(axes, shown, strict=True):
        moments = [Spread(*(column[index] for column in spread)) for spread in (before, after) if spread is not None]
        _draw(panel, edges[index], moments)
        # A place of its own: to look for one that is free, matplotlib measures every label.
        panel.set_title(literal(names[index], most=36), fontsize=10.5, color=INK, loc="left", y=1.0)
    _explain(figure, has_after=after is not None, has_room=len(shown) > 1)
    return figure


def _explain(figure: Figure, has_after: bool, has_room: bool) -> None:
    num = 2 if has_after else 1
    keys = [Patch(color=_GREY), Patch(facecolor="white", edgecolor=BLUE, linewidth=1.5)]
    x, y = second_line(figure)
    legend(figure, keys[:num], ["before training", "after training"][:num], (x, y), columns=2)
    if has_room:
        beside = x + 1.7 * num / figure.get_figwidth()
        figure.text(beside, y, "below each: mean ± standard deviation", fontsize=9, color=MUTED, va="top")


def _draw(axes: Axes, edges: np.ndarray, moments: Sequence[Spread]) -> None:
    counts = [moment.counts for moment in moments]
    total = int(counts[0].sum())
    if _FEW < total < _MANY and len(counts[0]) % 3 == 0:
        edges, counts = edges[::3], [fine.reshape(-1, 3).sum(axis=1) for fine in counts]
    axes.stairs(counts[0], edges, fill=True, color=_GREY)
    if len(moments) == 2:
        axes.stairs(counts[1], edges, color=BLUE, linewidth=1.5)
    axes.set_xlabel(_summary(moments), fontsize=9, color=INK)
    axes.xaxis.set_label_coords(0.5, -0.2)
    # A margin keeps the outermost bars off the frame.
    pad = 0.02 * (edges[-1] - edges[0])
    axes.set_xlim(edges[0] - pad, edges[-1] + pad)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    tallest = [int(bars.max()) for bars in counts]
    top = min(max(tallest), _TALL * min(tallest))
    axes.set_ylim(0, 1.08 * top)
    for height, when in zip(tallest, ("before", "after"), strict=False):
        if height > top:
            axes.set_title(f"{when}: up to {height:,}", fontsize=8.5, color=MUTED, loc="right", y=1.0)


def _summary(moments: Sequence[Spread]) -> str:
    texts = [_mean_and_std(float(moment.mean), float(moment.std)) for moment in moments]
    return f"{texts[0]} before" if len(texts) == 1 else f"{texts[0]} before, {texts[1]} after"


def _mean_and_std(mean: float, std: float) -> str:
    """The deviation to two digits, the mean as far as the deviation goes; numbers that are all equal have no deviation.

    Example:
        >>> _mean_and_std(-0.0371, 0.408), _mean_and_std(-198.3627, 0.0)
        ('−0.04 ± 0.41', '−198')
    """
    if std <= 1e-6 * abs(mean):  # all equal, but for rounding
        return f"{mean:.3g}".replace("-", "−")
    decimals = 1 - math.floor(math.log10(std))
    rounded = round(mean, decimals) + 0.0  # no −0
    if not -2 <= decimals <= 5:
        return f"{rounded:.2g} ± {std:.2g}".replace("-", "−")
    return f"{rounded:.{max(decimals, 0)}f} ± {std:.{max(decimals, 0)}f}".replace("-", "−")
