"""How far predictions lie from the targets."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnlab.figure.layout import Margins, panels, second_line
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import INK
from nnlab.figure.points import marker_key, marker_size, marker_style, split_label, thinned
from nnlab.figure.text import legend, literal


def predicted_vs_true(
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]], target_names: Sequence[str], title: str
) -> Figure:
    """Each row's prediction against its target; on the diagonal they are equal.

    Args:
        splits: for each split its predictions and its targets, both shape [N, T]; at most 2,000 rows are drawn.
        target_names: T names, with units; a panel for each.
        title: the heading.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no target or split.
    """
    refuse_nothing("predicted against true", "target", target_names)
    refuse_nothing("predicted against true", "split", splits)
    figure, axes = panels(len(target_names), title, width=3.7, height=3.7, margins=_margins(len(target_names)))
    for column, (panel, name) in enumerate(zip(axes, target_names, strict=True)):
        pairs = {split: (values[:, column], target[:, column]) for split, (values, target) in splits.items()}
        _draw(panel, name, pairs)
    handles = [*(marker_key(name) for name in splits), Line2D([], [], color=INK, linewidth=1)]
    labels = [*(split_label(name, len(target)) for name, (_, target) in splits.items()), "equal"]
    if len(axes) == 1:
        legend(axes[0], handles, labels, (1.04, 1.0))
    else:
        legend(figure, handles, labels, second_line(figure), columns=4)
    return figure


def _margins(num_panels: int) -> Margins:
    """A single panel is too narrow for a legend above it."""
    return Margins(top=0.1, beside=2.7 if num_panels == 1 else 0.0)


def _draw(axes: Axes, name: str, pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    axes.grid(True, color="#E6E6E6", linewidth=0.6)
    for split, (prediction, target) in pairs.items():
        rows = thinned(len(target))
        axes.plot(target[rows], prediction[rows], alpha=0.75, **marker_style(split, marker_size(len(rows))))
    values = np.concatenate([column for pair in pairs.values() for column in pair]).astype(float)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    margin = 0.05 * (high - low) or 1.0
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(low - margin, high + margin)
    axes.axline((low, low), slope=1, color=INK, linewidth=1, zorder=3)
    axes.set_xlabel(f"true {literal(name)}", fontsize=10, color=INK)
    axes.set_ylabel(f"predicted {literal(name)}", fontsize=10, color=INK)
