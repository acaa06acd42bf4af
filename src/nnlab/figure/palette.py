"""Colours that readers with any colour vision can tell apart.

Okabe and Ito (2008), "Color Universal Design", jfly.uni-koeln.de/color.
"""

from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb

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

#: one colour, marker and fill for each split: train is filled, held-out rows are hollow
SPLITS: dict[str, tuple[str, str, bool]] = {
    "train": (BLUE, "o", True),
    "valid": (VERMILLION, "o", False),
    "test": (GREEN, "s", False),
}

DIVERGING = LinearSegmentedColormap.from_list("blue-white-orange", [BLUE, "#F7F7F7", ORANGE])


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
