"""How many runs have reached a target after so many steps."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nnlab.figure.header import group_panels
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import INK
from nnlab.figure.performance_profile import draw_steps
from nnlab.figure.scale import drawable
from nnlab.figure.text import label


def time_to_target(
    names: Sequence[str],
    times: Sequence[Sequence[float] | np.ndarray],
    target: str,
    x_label: str = "steps",
    title: str = "time to target",
) -> Figure:
    """The share of each group's runs that have reached a target, against the steps or seconds that they took.

    Args:
        names: G groups; from the eleventh on they are grey.
        times: of each group what every run took, shape [N]; infinite or NaN for one that never arrived.
        target: what was to be reached, such as ``valid/loss <= 0.1``.
        x_label: what is counted, with its unit.
        title: the heading.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no group.
    """
    refuse_nothing("time to target", "group", names)
    figure, (axes,) = group_panels(names, title, [f"target: {target}"], markers=False)
    reached = [np.sort(times_of[np.isfinite(times_of)]) for times_of in map(drawable, times)]
    latest = max((float(column[-1]) for column in reached if column.size), default=0.0) or 1.0
    places = [np.concatenate([[0.0], column, [1.04 * latest]]) for column in reached]
    shares = [_shares(column, len(every)) for column, every in zip(reached, times, strict=True)]
    draw_steps(axes, places, shares)
    axes.set_xlim(0, 1.04 * latest)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_xlabel(label(x_label, 4.3), fontsize=9.5, color=INK)
    axes.set_ylabel("share of runs at the target", fontsize=9.5, color=INK)
    return figure


def _shares(reached: np.ndarray, num_runs: int) -> np.ndarray:
    steps = np.arange(len(reached) + 1) / max(num_runs, 1)
    return np.append(steps, steps[-1])
