"""What a search has tried: in time, by key, and which key decides."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnlab.figure.layout import Margins, note, panels, say
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import BLUE, GRID, INK, MUTED, VERMILLION
from nnlab.figure.scale import drawable, metric_scale, setting_scale
from nnlab.figure.text import fitted, label, literal, metric_label

#: keys that there are panels for
MOST_KEYS = 9


def search_history(values: Sequence[float] | np.ndarray, metric: str, grows: bool = False) -> Figure:
    """A point for each trial in the order of their numbers, and a line along the best one so far.

    Args:
        values: of the trials, shape [N]; NaN for one that diverged or failed, which is a cross on the upper edge.
        metric: the metric's name.
        grows: whether more is better.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no trial.
    """
    column = drawable(values)
    refuse_nothing("search history", "trial", list(column))
    figure, (axes,) = panels(1, f"{metric} of every trial", width=5.6, height=2.8, margins=Margins(top=0.15))
    note(figure, "line: the best so far     × diverged or failed")
    axes.grid(True, color=GRID, linewidth=0.6)
    numbers = np.arange(len(column))
    axes.plot(numbers, column, linestyle="none", marker="o", markersize=4, color=BLUE, alpha=0.7, markeredgewidth=0)
    worst = -np.inf if grows else np.inf
    best = (np.maximum if grows else np.minimum).accumulate(np.where(np.isnan(column), worst, column))
    known = np.isfinite(best)
    axes.step(numbers[known], best[known], where="post", color=VERMILLION, linewidth=1.7)
    _crosses(axes, numbers[np.isnan(column)])
    metric_scale(axes, "y", column)
    axes.set_xlabel("trial", fontsize=9.5, color=INK)
    axes.set_ylabel(metric_label(metric, grows, 3.2), fontsize=9.5, color=INK)
    if not known.any():
        axes.set_yticks([])
        say(axes, "no trial came to its end")
    return figure


def search_importances(shares: Mapping[str, float], metric: str) -> Figure:
    """How much each key decides of a metric: a bar for each, the most important first.

    Args:
        shares: of the metric's variance over the space, by key; they add up to 1.
        metric: the metric's name.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no key.
    """
    refuse_nothing("search importances", "key", shares)
    rows = sorted(shares.items(), key=lambda pair: -pair[1])
    margins = Margins(left=2.2, right=0.7, top=0.05, bottom=0.6)
    title = f"What decides {metric}"
    figure, (axes,) = panels(1, title, width=4.2, height=0.4 * len(rows) + 0.1, margins=margins, heading=0.45)
    places = range(len(rows))
    axes.barh(places, [share for _, share in rows], height=0.6, color=BLUE)
    for place, (_, share) in zip(places, rows, strict=True):
        axes.annotate(
            f"{share:.0%}", (share, place), (5, 0), textcoords="offset points", va="center", fontsize=10, color=INK
        )
    axes.set_yticks(list(places), [literal(key, most=30) for key, _ in rows], fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the variance (functional ANOVA)", fontsize=9.5, color=INK)
    return figure


def search_slices(
    settings: Mapping[str, Sequence[float] | Sequence[str]],
    values: Sequence[float] | np.ndarray,
    metric: str,
    grows: bool = False,
) -> Figure:
    """A panel for each key: a point for each trial at what it chose; the darker, the later.

    Args:
        settings: what the N trials chose, by key: numbers, or words for choices without an order.
        values: of the trials, shape [N]; NaN for one that diverged or failed, which is a cross on the upper edge.
        metric: the metric's name.
        grows: whether more is better.

    Returns:
        The figure; of more than ``MOST_KEYS`` keys, the first.

    Raises:
        ValueError: if there is no key.
    """
    refuse_nothing("search slices", "key", settings)
    shown = dict(list(settings.items())[:MOST_KEYS])
    column = drawable(values)
    margins = Margins(top=0.2, bottom=0.62)
    figure, found = panels(
        len(shown), f"{metric} by what was chosen", width=2.6, height=2.1, columns=3, margins=margins
    )
    left_out = len(settings) - len(shown)
    more = f"     {left_out} more keys are not shown" if left_out else ""
    note(figure, f"a point for each trial; the darker, the later{more}")
    for axes, (key, chosen) in zip(found, shown.items(), strict=True):
        _slice(axes, key, chosen, column)
        metric_scale(axes, "y", column)
    found[0].set_ylabel(metric_label(metric, grows, 2.4), fontsize=9.5, color=INK)
    return figure


def _slice(axes: Axes, key: str, chosen: Sequence[float] | Sequence[str], column: np.ndarray) -> None:
    axes.grid(True, color=GRID, linewidth=0.6)
    words = list(dict.fromkeys(str(one) for one in chosen)) if any(isinstance(one, str) for one in chosen) else []
    places = np.array([words.index(str(one)) for one in chosen] if words else chosen, dtype=float)
    ages = 0.25 + 0.75 * np.arange(len(places)) / max(1, len(places) - 1)
    if words:
        # Side by side what would lie on top of each other; the same at every drawing.
        places = places + 0.3 * (np.modf(np.arange(len(places)) * 0.6180339887)[0] - 0.5)
        room = 2.6 / len(words) * 0.95
        axes.set_xticks(range(len(words)), [fitted(word, room, 9) for word in words])
        axes.set_xlim(-0.5, len(words) - 0.5)
    axes.scatter(places, column, s=16, c=ages, cmap="Blues", vmin=0, vmax=1, edgecolors=MUTED, linewidths=0.3)
    _crosses(axes, places[np.isnan(column)])
    if not words:
        setting_scale(axes, places)
    axes.set_xlabel(label(key, 2.6), fontsize=9.5, color=INK)


def _crosses(axes: Axes, places: np.ndarray) -> None:
    transform = axes.get_xaxis_transform()
    axes.plot(
        places, np.ones(len(places)), linestyle="none", marker="x", markersize=5, markeredgewidth=1.5, color=VERMILLION,
        transform=transform, clip_on=False,
    )  # fmt: skip
