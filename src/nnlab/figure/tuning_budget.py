"""What tuning is worth: the best value to be expected after so many trials."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from nnlab.figure.header import group_panels
from nnlab.figure.layout import say
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import GRID, INK, MOST_GROUPS, line_style
from nnlab.figure.scale import drawable, metric_scale, whole_numbers
from nnlab.figure.text import metric_label


def tuning_budget(
    names: Sequence[str],
    best_so_far: np.ndarray,
    metric: str,
    grows: bool = False,
    title: str = "best so far against tuning budget",
) -> Figure:
    """The expected best of a group's first b trials, a line for each group.

    Dodge, Gururangan, Card, Schwartz and Smith (2019), "Show your work: improved reporting of experimental results".

    Args:
        names: G groups; from the eleventh on they are grey.
        best_so_far: the expected value after 1 to B trials, shape [G, B]; NaN beyond a group's own budget.
        metric: the metric's name.
        grows: whether more is better.
        title: the heading.

    Returns:
        The figure; the metric's axis is logarithmic where it is positive and spans more than a factor of 30.

    Raises:
        ValueError: if there is no group or trial.
    """
    refuse_nothing("tuning budget", "group", names)
    refuse_nothing("tuning budget", "trial", best_so_far.T)
    notes = ["mean over all orders in which the trials could have come"]
    figure, (axes,) = group_panels(names, title, notes)
    values = drawable(best_so_far)
    trials = np.arange(1, values.shape[1] + 1)
    axes.grid(True, color=GRID, linewidth=0.6)
    for index, line in enumerate(values):
        style = line_style(index)
        is_other = index >= MOST_GROUPS
        axes.plot(
            trials, line, color=style.color, linestyle=style.dashes, linewidth=0.8 if is_other else 1.7,
            marker="" if is_other else style.marker, markersize=4.5, markeredgecolor="white", markeredgewidth=0.5,
            markevery=max(1, len(trials) // 12), zorder=2.0 if is_other else 4.0 - 0.1 * index,
        )  # fmt: skip
    metric_scale(axes, "y", values)
    whole_numbers(axes, 1, len(trials))
    axes.set_xlabel("trials", fontsize=9.5, color=INK)
    axes.set_ylabel(metric_label(metric, grows, 3.0), fontsize=9.5, color=INK)
    if not np.isfinite(values).any():
        axes.set_yticks([])
        say(axes, "no trial came to its end")
    return figure
