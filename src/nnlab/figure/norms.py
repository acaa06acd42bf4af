"""How gradients and weights flow: their norms by layer over the training."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnlab.figure.layout import Margins, note, panels, say
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import GRID, INK, MUTED
from nnlab.figure.scale import drawable, margins_of, metric_scale, whole_numbers
from nnlab.figure.text import fitted, legend, literal

#: beside the panels, inches
_BESIDE = 2.0
#: layers that a legend names one by one
_MOST_NAMES = 12
_FEW_ROWS = 30
_DASHES = (0, (4, 1.6))


def norms(
    steps: np.ndarray,
    names: Sequence[str],
    is_scale: Sequence[bool],
    weight: np.ndarray,
    gradient: np.ndarray,
    title: str = "gradient and weight norms by layer",
) -> Figure:
    """Two panels, gradients and weights, with a line for each layer: dark at the input, bright at the output.

    An axis is logarithmic where its norms span more than a factor of 30; a norm of 0 then has no place on it, which is
    said below the heading.

    Args:
        steps: optimizer steps done at each of R moments, ascending, shape [R].
        names: of the L layers, from input to output.
        is_scale: which of them are norm layers; their lines are dashed.
        weight: the norm of each layer's weight, shape [R, L].
        gradient: the norm of its gradient, likewise; NaN where there is none.
        title: the heading.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no layer or no moment.
    """
    refuse_nothing("norms", "layer", names)
    refuse_nothing("norms", "moment", steps)
    margins = Margins(left=0.75, right=0.15, top=0.3, beside=_BESIDE)
    figure, axes = panels(2, title, width=3.4, height=2.8, columns=2, margins=margins)
    shades = _shades(len(names))
    gaps = [
        _draw(panel, what, steps, drawable(values), shades, is_scale)
        for panel, what, values in zip(axes, ("gradient", "weight"), (gradient, weight), strict=True)
    ]
    remark = "Euclidean norm of each layer's weight, and of its gradient in the last step"
    note(figure, f"{remark}; norms of 0 are left out" if any(gaps) else remark)
    if len(names) <= _MOST_NAMES:
        _name_layers(axes[1], names, shades, is_scale)
    else:
        _depth_bar(figure, axes[1], names, shades, any(is_scale))
    return figure


def _shades(num: int) -> Colormap:
    """An ordered palette, even to the eye; its brightest end is too pale for a line."""
    places = np.linspace(0, 0.86, num) if num > 1 else np.array([0.25])
    return ListedColormap(colormaps["viridis"](places))


def _draw(
    axes: Axes, what: str, steps: np.ndarray, values: np.ndarray, shades: Colormap, is_scale: Sequence[bool]
) -> bool:
    """Draw a panel; returns whether a norm of 0 was left out."""
    axes.set_title(f"{what} norm", fontsize=11, color=INK, loc="left")
    axes.set_xlabel("optimizer step", fontsize=9.5, color=INK)
    axes.grid(True, color=GRID, linewidth=0.6)
    whole_numbers(axes, float(steps[0]), float(steps[-1]))
    positive = np.where(values > 0, values, np.nan)
    metric_scale(axes, "y", positive)
    is_log = axes.get_yscale() == "log"
    shown = positive if is_log else values
    if not np.isfinite(shown).any():
        say(axes, "no gradient" if np.isnan(values).all() else "no norm that can be drawn")
        axes.set_yticks([])
        return False
    axes.set_ylim(*margins_of(shown))
    marker = "o" if len(steps) <= _FEW_ROWS else ""
    for layer, dashed in enumerate(is_scale):
        axes.plot(
            steps, shown[:, layer], color=shades(layer), linestyle=_DASHES if dashed else "-", linewidth=1.5,
            marker=marker, markersize=3,
        )  # fmt: skip
    return is_log and bool((values == 0).any())


def _name_layers(axes: Axes, names: Sequence[str], shades: Colormap, is_scale: Sequence[bool]) -> None:
    handles: list[Artist] = [
        Line2D([], [], color=shades(layer), linestyle=_DASHES if dashed else "-", linewidth=2)
        for layer, dashed in enumerate(is_scale)
    ]
    legend(axes, handles, [fitted(name, _BESIDE - 0.6, 9) for name in names], (1.05, 1.0), most=200)


def _depth_bar(figure: Figure, axes: Axes, names: Sequence[str], shades: Colormap, has_scales: bool) -> None:
    """What the shades mean, where there are too many layers to name each."""
    box = axes.get_position()
    inch_x, inch_y = 1 / figure.get_figwidth(), 1 / figure.get_figheight()
    height = box.height - 0.5 * inch_y
    bar = figure.add_axes((box.x1 + 0.25 * inch_x, box.y0, 0.16 * inch_x, height))
    colorbar = figure.colorbar(ScalarMappable(cmap=shades), cax=bar, ticks=[0, 1])
    colorbar.outline.set_visible(False)
    colorbar.ax.invert_yaxis()
    room = _BESIDE - 0.6
    colorbar.ax.set_yticklabels([literal(fitted(names[end], room, 9), most=200) for end in (0, -1)])
    colorbar.ax.tick_params(labelsize=9, length=2)
    bar.set_title(f"{len(names)} layers", fontsize=9, color=INK, loc="left")
    if has_scales:
        key: list[Artist] = [Line2D([], [], color=MUTED, linestyle=_DASHES, linewidth=2)]
        legend(axes, key, ["norm layers"], (1.05, 1.0))
