"""How often each group comes within a factor of the fastest."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnlab.figure.header import group_panels
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import GRID, INK, MOST_GROUPS, line_style
from nnlab.figure.text import label


def performance_profile(
    names: Sequence[str],
    taus: np.ndarray,
    rho: np.ndarray,
    x_label: str = "τ: steps to the target, as a multiple of the fastest",
    title: str = "performance profile",
) -> Figure:
    """Steps that show which share of the workloads each group solves within τ times the fastest group's steps.

    Dolan and Moré (2002), "Benchmarking optimization software with performance profiles".

    Args:
        names: G groups; from the eleventh on they are grey.
        taus: where the shares are known, ascending from 1, shape [T]; between them the last one holds.
        rho: the shares, from 0 to 1, shape [G, T].
        x_label: what τ is a multiple of.
        title: the heading.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no group or τ.
    """
    refuse_nothing("performance profile", "group", names)
    refuse_nothing("performance profile", "τ", taus)
    notes = ["the higher the better; at τ = 1: how often it is the fastest"]
    figure, (axes,) = group_panels(names, title, notes, markers=False)
    draw_steps(axes, [taus] * len(names), list(rho))
    axes.set_xlim(1, float(taus[-1]) if len(taus) > 1 else 4.0)
    axes.set_xlabel(label(x_label, 4.3), fontsize=9.5, color=INK)
    axes.set_ylabel("ρ(τ): share of workloads", fontsize=9.5, color=INK)
    return figure


def draw_steps(axes: Axes, x: Sequence[np.ndarray], shares: Sequence[np.ndarray]) -> None:
    """Shares from 0 to 1 that grow in steps, a line for each group: through dashes on top, what is below shows.

    Args:
        axes: the axes.
        x: of each group where its share changes, shape [T].
        shares: from there on, shape [T].
    """
    axes.grid(True, color=GRID, linewidth=0.6)
    for index, (place, share) in enumerate(zip(x, shares, strict=True)):
        style = line_style(index)
        is_other = index >= MOST_GROUPS
        axes.plot(
            place, share, color=style.color, linestyle=style.dashes, linewidth=0.8 if is_other else 1.9,
            drawstyle="steps-post", zorder=2.0 if is_other else 3.0 + 0.1 * index,
        )  # fmt: skip
    # shares of 0 and 1 are not hidden by the frame
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks(np.linspace(0, 1, 6))
