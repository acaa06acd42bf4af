"""What a model with one input learned: its curve through the data."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnlab.figure.layout import Margins, panels
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import INK, MUTED
from nnlab.figure.points import Splits, marker_key, marker_size, marker_style, split_label, thinned
from nnlab.figure.text import legend, literal


def fitted_curve(
    grid: np.ndarray,
    before: np.ndarray | None,
    after: np.ndarray,
    splits: Splits,
    input_name: str,
    target_name: str,
    title: str,
) -> Figure:
    """The data as points and the model's curve before and after training.

    Args:
        grid: values of the input, ascending, shape [G].
        before: the untrained model's predictions on the grid, shape [G]; None to leave it out.
        after: the trained model's, shape [G].
        splits: for each split its inputs and targets, both shape [N]; at most 2,000 rows of each are drawn.
        input_name: the input's name, with its unit.
        target_name: the target's name, with its unit.
        title: the heading.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no value of the input.
    """
    refuse_nothing("fitted curve", "value of the input", grid)
    figure, (axes,) = panels(1, title, width=5.2, height=3.6, margins=Margins(top=0, beside=2.7), heading=0.5)
    axes.grid(True, color="#E6E6E6", linewidth=0.6)
    handles, labels = [], []
    for name, (inputs, target) in splits.items():
        rows = thinned(len(inputs))
        axes.plot(inputs[rows], target[rows], alpha=0.8, **marker_style(name, marker_size(len(rows))))
        handles.append(marker_key(name))
        labels.append(split_label(name, len(inputs)))
    if before is not None:
        axes.plot(grid, before, color=MUTED, linewidth=1.6, linestyle=(0, (4, 3)))
        handles.append(Line2D([], [], color=MUTED, linewidth=1.6, linestyle=(0, (4, 3))))
        labels.append("model before training")
    axes.plot(grid, after, color="white", linewidth=4.2)
    axes.plot(grid, after, color=INK, linewidth=2.2)
    handles.append(Line2D([], [], color=INK, linewidth=2.2))
    labels.append("model after training")
    axes.set_xlabel(literal(input_name), fontsize=10, color=INK)
    axes.set_ylabel(literal(target_name), fontsize=10, color=INK)
    _limit(axes, before, after, splits)
    legend(axes, handles, labels, (1.04, 1.0))
    return figure


def _limit(axes: Axes, before: np.ndarray | None, after: np.ndarray, splits: Splits) -> None:
    """Show all data and the trained curve; an untrained curve far away must not flatten them."""
    shown = np.concatenate([after, *(target for _, target in splits.values())]).astype(float)
    shown = shown[np.isfinite(shown)]
    if shown.size == 0:
        return
    low, high = shown.min(), shown.max()
    span = (high - low) or 1.0
    if before is not None and np.isfinite(before).any():
        low = min(low, max(np.nanmin(before), low - span / 2))
        high = max(high, min(np.nanmax(before), high + span / 2))
    axes.set_ylim(low - 0.06 * span, high + 0.06 * span)
