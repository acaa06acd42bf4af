"""What a regression model with two inputs predicts, everywhere on the plane."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from nnlab.figure.decision_map import extent, label_plane
from nnlab.figure.layout import Margins, note, panels
from nnlab.figure.palette import DIVERGING, INK, SPLITS
from nnlab.figure.points import Splits, marker_size, split_label, thinned
from nnlab.figure.text import label, legend


def value_map(
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    splits: Splits,
    target_name: str,
    input_names: Sequence[str],
    title: str,
) -> Figure:
    """The prediction as colour, and the rows as points in their target's colour: where they vanish, it is right.

    Args:
        x: values of the first input, equally spaced and ascending, shape [X].
        y: values of the second input, likewise, shape [Y].
        values: the prediction at each grid point, shape [Y, X].
        splits: for each split its inputs, shape [N, 2], and targets, shape [N]; at most 2,000 rows are drawn.
        target_name: the target's name, with its unit.
        input_names: two names, with units.
        title: the heading.

    Returns:
        The figure.
    """
    figure, (axes,) = panels(1, title, width=4.2, height=4.2, margins=Margins(top=0.1, beside=2.7))
    norm = scale_of(values, [target for _, target in splits.values()])
    picture = draw_values(axes, x, y, values, splits, norm)
    label_plane(axes, x, y, input_names)
    labels = [split_label(name, len(target)) for name, (_, target) in splits.items()]
    legend(axes, [target_key(name) for name in splits], labels, (1.05, 1.0))
    note(figure, "background: prediction; points: target, in the same colours")
    target_bar(figure, picture, axes.get_position().x1, axes.get_position().y0, target_name, values, norm)
    return figure


def draw_values(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    splits: Splits,
    norm: Normalize,
    marker_scale: float = 1.0,
) -> AxesImage:
    """Draw one map into axes; arguments as above.

    Args:
        axes: the axes.
        x: shape [X].
        y: shape [Y].
        values: shape [Y, X].
        splits: at most 2,000 rows of each are drawn.
        norm: the colours' range.
        marker_scale: how large the points are, compared to a map that stands alone.

    Returns:
        The background.
    """
    picture = axes.imshow(
        values, origin="lower", extent=extent(x, y), aspect="auto", cmap=DIVERGING, norm=norm, interpolation="bilinear"
    )
    for name, (inputs, target) in splits.items():
        rows = thinned(len(inputs))
        _, marker, filled = SPLITS.get(name, SPLITS["test"])
        axes.scatter(
            inputs[rows, 0],
            inputs[rows, 1],
            s=(marker_scale * marker_size(len(rows))) ** 2 * 1.6,
            c=target[rows],
            cmap=DIVERGING,
            norm=norm,
            marker=marker,
            edgecolors=INK,
            linewidths=marker_scale * (0.3 if filled else 1.0),
        )
    return picture


def target_key(split: str) -> Line2D:
    """The legend's picture of a split whose points have their target's colour."""
    _, marker, filled = SPLITS.get(split, SPLITS["test"])
    width = 0.5 if filled else 1.0
    return Line2D([], [], ls="none", marker=marker, markerfacecolor="#DDDDDD", markeredgecolor=INK, mew=width)


def scale_of(values: np.ndarray, targets: list[np.ndarray]) -> Normalize:
    """Colours follow the targets, so that a model that is far off shows as such; white is zero where it lies within."""
    known = np.concatenate(targets) if targets else values
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (-1.0, 1.0)
    if low < 0 < high:
        high = max(-low, high)
        low = -high
    return Normalize(low, high) if low < high else Normalize(low - 1, high + 1)


def target_bar(
    figure: Figure,
    picture: AxesImage,
    right: float,
    bottom: float,
    name: str,
    values: np.ndarray,
    norm: Normalize,
    height: float = 2.6,
) -> None:
    """A colour bar beside a map, open where predictions lie beyond it.

    Args:
        figure: the figure.
        picture: the map's background.
        right: the map's right edge, in the figure's coordinates.
        bottom: its lower edge, likewise.
        name: the target's name, with its unit.
        values: the predictions.
        norm: the colours' range.
        height: inches.
    """
    inch_x, inch_y = 1 / figure.get_figwidth(), 1 / figure.get_figheight()
    bar = figure.add_axes((right + 0.25 * inch_x, bottom, 0.16 * inch_x, height * inch_y))
    assert norm.vmin is not None
    assert norm.vmax is not None
    below, above = bool((values < norm.vmin).any()), bool((values > norm.vmax).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
    colorbar = figure.colorbar(picture, cax=bar, extend=extend)
    colorbar.outline.set_visible(False)
    colorbar.ax.tick_params(labelsize=9)
    colorbar.set_label(label(name, height + 0.8, 10), fontsize=10, color=INK)
