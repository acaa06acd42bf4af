"""The loss that learning rates lead to."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from nnlab.figure.header import Header
from nnlab.figure.layout import Margins, panels, say, size_of
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import BLUE, GRID, INK, MUTED, ORANGE, VERMILLION
from nnlab.figure.scale import drawable, metric_scale, setting_scale
from nnlab.figure.text import metric_label

_WIDTH = 4.1
#: above the panel, inches for the crosses
_CROSSES = 0.12


def learning_rates(
    rates: Sequence[float],
    losses: np.ndarray,
    curve: np.ndarray,
    metric: str,
    *,
    suggestion: float | None,
    own: float | None,
    title: str,
) -> Figure:
    """A point for each loss, the curve that the suggestion is read from, and the suggestion.

    Args:
        rates: learning rates, ascending, shape [R].
        losses: shape [S, R], such as those of some seeds; NaN for a training that diverged, which gets a cross.
        curve: shape [R].
        metric: the loss's name.
        suggestion: the rate that is marked, or None.
        own: the config's rate, marked where it lies between the first and the last, or None.
        title: the heading.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no rate.
    """
    refuse_nothing("learning rates", "rate", rates)
    places, points, line = np.asarray(rates, dtype=float), drawable(losses), drawable(curve)
    lost = ~np.isfinite(points)
    entries = [(Line2D([], [], color=BLUE, linewidth=1.7), "smoothed")]
    if suggestion is not None:
        entries.append((Line2D([], [], color=VERMILLION, linewidth=1.4), f"suggested: {suggestion:g}"))
    is_own_shown = own is not None and places[0] <= own <= places[-1]
    if is_own_shown:
        entries.append((Line2D([], [], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3))), f"in the config: {own:g}"))
    if lost.any():
        entries.append((Line2D([], [], color=ORANGE, linestyle="none", marker="x"), "diverged"))
    margins = Margins(top=0.1 + _CROSSES * bool(lost.any()))
    header = Header(margins.left + _WIDTH + margins.right, [], [name for _, name in entries])
    figure, (axes,) = panels(1, title, width=_WIDTH, height=2.7, columns=1, margins=margins, heading=header.height)
    header.draw(figure, [handle for handle, _ in entries])
    axes.grid(True, color=GRID, linewidth=0.6)
    size = 3.2 if len(places) < 100 else 2.0
    for row in points:
        axes.plot(places, row, linestyle="none", marker="o", markersize=size, color=BLUE, alpha=0.5, markeredgewidth=0)
    axes.plot(places, line, color=BLUE, linewidth=1.7)
    if suggestion is not None:
        axes.axvline(suggestion, color=VERMILLION, linewidth=1.4, zorder=1)
    if is_own_shown and own is not None:
        axes.axvline(own, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    if lost.any():
        above = blended_transform_factory(axes.transData, axes.transAxes)
        columns = places[lost.any(axis=0)]
        y = np.full(len(columns), 1 + 0.08 / size_of(figure, axes)[1])
        axes.plot(columns, y, linestyle="none", marker="x", color=ORANGE, transform=above, clip_on=False)
    setting_scale(axes, places)
    metric_scale(axes, "y", np.concatenate([points.ravel(), line]))
    axes.set_xlabel("optim.lr", fontsize=9.5, color=INK)
    axes.set_ylabel(metric_label(metric, False, 3.2), fontsize=9.5, color=INK)
    if not np.isfinite(points).any():
        axes.set_yticks([])
        say(axes, "every training diverged")
    return figure
