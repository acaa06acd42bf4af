"""How long things take, as bars."""

import math
from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from nnlab.figure.layout import Margins, panels
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import BLUE, INK, ORANGE
from nnlab.figure.text import literal


def durations(seconds: Mapping[str, float], title: str) -> Figure:
    """One horizontal bar for each, the first on top, on a logarithmic axis; its number stands beside each bar.

    Args:
        seconds: how long each takes, above 0, by what it is called.
        title: the heading.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no duration.
    """
    refuse_nothing("durations", "duration", seconds)
    margins = Margins(left=2.2, right=0.9, top=0.05)
    figure, (axes,) = panels(1, title, width=4.6, height=0.5 * len(seconds) + 0.1, margins=margins, heading=0.45)
    milliseconds = [1e3 * value for value in seconds.values()]
    places = range(len(milliseconds))
    axes.barh(places, milliseconds, height=0.6, color=[(ORANGE, BLUE)[place % 2] for place in places])
    for place, value in zip(places, milliseconds, strict=True):
        text = f"{value:.3g} ms"
        axes.annotate(text, (value, place), (5, 0), textcoords="offset points", va="center", fontsize=10, color=INK)
    axes.set_yticks(list(places), [literal(name, most=32) for name in seconds], fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xscale("log")
    # A logarithmic bar has no natural foot: whole decades, one of them below the shortest bar.
    axes.set_xlim(10 ** (math.floor(math.log10(min(milliseconds))) - 1), 10 ** math.ceil(math.log10(max(milliseconds))))
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(True, axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_xlabel("milliseconds, on a logarithmic scale", fontsize=9.5, color=INK)
    return figure
