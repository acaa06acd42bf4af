"""What a classifier with two inputs decides, everywhere on the plane."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from nnlab.figure.layout import Margins, note, panels
from nnlab.figure.palette import INK, MUTED, class_color, tint
from nnlab.figure.points import Splits, marker_key, marker_size, marker_style, split_label, thinned
from nnlab.figure.text import legend, literal

_WEAKEST, _STRONGEST = 0.06, 0.5


def decision_map(
    x: np.ndarray,
    y: np.ndarray,
    codes: np.ndarray,
    confidence: np.ndarray | None,
    splits: Splits,
    class_names: Sequence[str],
    input_names: Sequence[str],
    title: str,
) -> Figure:
    """The predicted class as coloured regions, the stronger the surer, and the rows as points in their true colour.

    Args:
        x: values of the first input, equally spaced and ascending, shape [X].
        y: values of the second input, likewise, shape [Y].
        codes: the predicted class at each grid point, integers, shape [Y, X].
        confidence: the predicted class's probability, from 1/C to 1, shape [Y, X]; None where the model gives none.
        splits: for each split its inputs, shape [N, 2], and class codes, shape [N]; at most 2,000 rows are drawn.
        class_names: C names.
        input_names: two names, with units.
        title: the heading.

    Returns:
        The figure.
    """
    margins = Margins(top=0.1, beside=2.7)
    figure, (axes,) = panels(1, title, width=4.2, height=4.2, margins=margins)
    num_classes = len(class_names)
    draw_decisions(axes, x, y, codes, confidence, splits, num_classes)
    label_plane(axes, x, y, input_names)
    handles: list[Artist] = [Patch(facecolor=class_color(code)) for code in range(num_classes)]
    handles += [marker_key(name, INK) for name in splits]
    labels = [*class_names, *(split_label(name, len(target)) for name, (_, target) in splits.items())]
    legend(axes, handles, labels, (1.05, 1.0))
    note(figure, "background: predicted class; points: true class")
    if confidence is not None:
        _confidence_bar(figure, axes, num_classes)
    return figure


def draw_decisions(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    codes: np.ndarray,
    confidence: np.ndarray | None,
    splits: Splits,
    num_classes: int,
    marker_scale: float = 1.0,
) -> None:
    """Draw one map into axes; arguments as above.

    Args:
        axes: the axes.
        x: shape [X].
        y: shape [Y].
        codes: shape [Y, X].
        confidence: shape [Y, X] or None.
        splits: at most 2,000 rows of each are drawn.
        num_classes: C.
        marker_scale: how large the points are, compared to a map that stands alone.
    """
    strength = np.full(codes.shape, 0.4) if confidence is None else _strength(confidence, num_classes)
    _paint(axes, x, y, codes, strength)
    for name, (inputs, target) in splits.items():
        rows = thinned(len(inputs))
        _scatter(axes, name, inputs[rows], target[rows], num_classes, marker_scale)


def label_plane(axes: Axes, x: np.ndarray, y: np.ndarray, input_names: Sequence[str]) -> None:
    """Name both inputs and fit the axes to the grid.

    Args:
        axes: the axes.
        x: values of the first input, shape [X].
        y: values of the second input, shape [Y].
        input_names: two names.
    """
    axes.set_xlabel(literal(input_names[0]), fontsize=10, color=INK)
    axes.set_ylabel(literal(input_names[1]), fontsize=10, color=INK)
    left, right, bottom, top = extent(x, y)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def extent(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float]:
    """The edges of a picture whose pixel centres are the grid points: left, right, bottom, top.

    Args:
        x: values of the first input, shape [X].
        y: values of the second input, shape [Y].

    Raises:
        ValueError: if there are not two values of each.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError(f"map: expected at least two values of each input, found {len(x)} and {len(y)}")
    dx, dy = (float(values[-1] - values[0]) / (len(values) - 1) / 2 for values in (x, y))
    return float(x[0]) - dx, float(x[-1]) + dx, float(y[0]) - dy, float(y[-1]) + dy


def _strength(confidence: np.ndarray, num_classes: int) -> np.ndarray:
    guess = 1 / num_classes
    sure = np.clip((np.nan_to_num(confidence, nan=guess) - guess) / (1 - guess), 0, 1)
    return np.asarray(_WEAKEST + (_STRONGEST - _WEAKEST) * sure)


def _paint(axes: Axes, x: np.ndarray, y: np.ndarray, codes: np.ndarray, strength: np.ndarray) -> None:
    picture = np.empty((*codes.shape, 3))
    for code in np.unique(codes):
        here = codes == code
        picture[here] = 1 - strength[here][:, None] * (1 - tint([class_color(int(code))], 1.0))
    axes.imshow(picture, origin="lower", extent=extent(x, y), aspect="auto", interpolation="none")


def _scatter(
    axes: Axes, split: str, inputs: np.ndarray, target: np.ndarray, num_classes: int, marker_scale: float
) -> None:
    size = marker_scale * marker_size(len(inputs))
    # One line of markers for each class is several times faster than a collection of single points.
    for code in range(num_classes):
        rows = inputs[target == code]
        axes.plot(rows[:, 0], rows[:, 1], **marker_style(split, size, class_color(code)))


def _confidence_bar(figure: Figure, axes: Axes, num_classes: int) -> None:
    box = axes.get_position()
    inch_x, inch_y = 1 / figure.get_figwidth(), 1 / figure.get_figheight()
    bar = figure.add_axes((box.x1 + 0.22 * inch_x, box.y0 + 0.38 * inch_y, 1.7 * inch_x, 0.13 * inch_y))
    shades = ListedColormap(tint([MUTED] * 64, np.linspace(_WEAKEST, _STRONGEST, 64)))
    scale = ScalarMappable(Normalize(1 / num_classes, 1), shades)
    colorbar = figure.colorbar(scale, cax=bar, orientation="horizontal", ticks=[1 / num_classes, 1])
    colorbar.ax.set_xticklabels([f"{1 / num_classes:.2g}", "1"])
    colorbar.ax.tick_params(labelsize=8.5, length=2)
    colorbar.outline.set_visible(False)
    bar.set_title("probability of that class", fontsize=9, color=INK, loc="left", pad=4)
