"""Colours that readers with any colour vision can tell apart.

Okabe and Ito (2008), "Color Universal Design", jfly.uni-koeln.de/color.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
VERMILLION = "#D55E00"
YELLOW = "#F0E442"
BLACK = "#000000"

#: in the order in which classes take them; neighbours differ in lightness too
CLASSES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW, BLACK)

INK = "#222222"
MUTED = "#6E6E6E"
GRID = "#E6E6E6"

#: one colour, marker and fill for each split: train is filled, held-out rows are hollow
SPLITS: dict[str, tuple[str, str, bool]] = {
    "train": (BLUE, "o", True),
    "valid": (VERMILLION, "o", False),
    "test": (GREEN, "s", False),
}

DIVERGING = LinearSegmentedColormap.from_list("blue-white-orange", [BLUE, "#F7F7F7", ORANGE])

#: yellow is too pale for a line
_LINE_COLORS = (BLUE, ORANGE, GREEN, PURPLE, BLACK, VERMILLION, SKY)
#: seven colours and four dashes have no common divisor: neither repeats together with the other
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.3, 1.3)), (0, (6, 1.5, 1.3, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "<", "h", ">", "p")

#: groups that can be told apart in one picture; further ones are drawn grey
MOST_GROUPS = 10


@dataclass(frozen=True)
class LineStyle:
    """How a group's line looks: by colour, dashes and marker, so that it can be told in grey print too.

    Args:
        color: of line and markers.
        dashes: matplotlib's ``linestyle``.
        marker: matplotlib's.
    """

    color: str
    dashes: Any
    marker: str


OTHERS = LineStyle("#BDBDBD", "-", ".")


def line_style(index: int) -> LineStyle:
    """The style of the group at a place, the same in every figure; from the eleventh on ``OTHERS``."""
    if index >= MOST_GROUPS:
        return OTHERS
    return LineStyle(_LINE_COLORS[index % len(_LINE_COLORS)], _DASHES[index % len(_DASHES)], _MARKERS[index])


def quality_colors(grows: bool) -> Colormap:
    """Shades of a metric, even to the eye: the best dark blue, the worst yellow.

    Cividis, Nuñez, Anderton and Renslow (2018), "Optimizing colormaps with consideration for color vision deficiency".

    Args:
        grows: whether more is better.

    Returns:
        A colour map for the metric's values.
    """
    return colormaps["cividis_r" if grows else "cividis"]


def class_color(code: int) -> str:
    """The colour of a class; they repeat after eight."""
    return CLASSES[code % len(CLASSES)]


def tint(colors: list[str], strength: Any) -> np.ndarray:
    """Mix colours with white.

    Args:
        colors: N colours.
        strength: of each, from 0 (white) to 1, shape [N] or a number.

    Returns:
        Red, green and blue in [0, 1], shape [N, 3].
    """
    rgb = np.array([to_rgb(color) for color in colors])
    weight = np.broadcast_to(np.asarray(strength, dtype=float), len(colors))[:, None]
    return np.asarray(1 - weight * (1 - rgb))
