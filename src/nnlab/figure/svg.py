"""A figure as a drawing that stays sharp at any size."""

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from nnlab.figure.png import foreign_letters

#: points of a figure up to which each is a shape of its own: 160 bytes, and 20 µs to write
MOST_POINTS = 1000
#: pixels per inch of what is embedded as a picture
DPI = 150

#: a rule for every element of the page that the drawing is put into; as an attribute it is inherited by its own alone
_STYLE = re.compile(r"<defs>\s*<style type=\"text/css\">\*\{([^}]*)\}</style>\s*</defs>")
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
#: a corner of a line, of which a hundredth of a point is enough
_CORNER = re.compile(r"^L (-?\d+\.\d\d)\d* (-?\d+\.\d\d)\d* ", re.MULTILINE)
_IN_BLOCKS = ' style="image-rendering:crisp-edges;image-rendering:pixelated"'
_IDENTIFIER = re.compile(r"(\bid=\"|\bxlink:href=\"#|\burl\(#)")
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


def svg(figure: Figure) -> bytes:
    """Draw a figure.

    Letters are paths: they look the same where the typeface is missing, at the price of not being searchable. Nothing
    outside is referred to, and several drawings fit into one HTML page: identifiers begin with a digest of the drawing.
    Clouds of points, where there are more than 1,000 in all, and maps are pictures inside it.

    Args:
        figure: the figure.

    Returns:
        One ``<svg>`` element, UTF-8. Equal figures give equal bytes: no date, no version in it.
    """
    file = io.StringIO()
    figure.set_dpi(DPI)  # the canvas leaves another behind than it finds, and a second drawing would differ
    fixed = matplotlib.rc_context({"svg.hashsalt": "nnlab", "svg.fonttype": "path"})
    with fixed, foreign_letters(), _clouds_as_pictures(figure), _smooth_maps(figure) as is_smooth:
        FigureCanvasSVG(figure).print_svg(file, metadata=_NO_METADATA)  # type: ignore[no-untyped-call]
    text = _CORNER.sub(r"L \1 \2 ", _COMMENT.sub("", file.getvalue()))
    if is_smooth:
        text = text.replace(_IN_BLOCKS, "")
    # without the prologue, which names a document type at an address
    text = _STYLE.sub("", text[text.index("<svg") :], count=1)
    text = text.replace("<svg ", '<svg style="stroke-linejoin: round; stroke-linecap: butt" ', 1)
    prefix = "n" + hashlib.sha256(text.encode()).hexdigest()[:10]
    # A function: of a text, Python would keep each that it ever saw.
    return _IDENTIFIER.sub(lambda found: f"{found[1]}{prefix}-", text).encode()


@contextmanager
def _clouds_as_pictures(figure: Figure) -> Iterator[None]:
    clouds = {cloud: num for axes in figure.axes for cloud, num in _clouds(axes)}
    chosen = list(clouds) if sum(clouds.values()) > MOST_POINTS else []
    for cloud in chosen:
        cloud.set_rasterized(True)
    try:
        yield
    finally:
        for cloud in chosen:
            cloud.set_rasterized(False)


def _clouds(axes: Axes) -> Iterator[tuple[Artist, int]]:
    """What is drawn as points with nothing between them, and how many these are."""
    for line in axes.lines:
        if line.get_linestyle() == "None":
            yield line, np.size(line.get_xdata())
    for collection in axes.collections:
        if isinstance(collection, PathCollection):
            yield collection, np.shape(collection.get_offsets())[0]


@contextmanager
def _smooth_maps(figure: Figure) -> Iterator[bool]:
    """Leave to the viewer to interpolate maps, which else would be computed and stored for each pixel of the drawing.

    Yields:
        Whether there are such maps.
    """
    maps = [image for axes in figure.axes for image in axes.images if image.get_interpolation() == "bilinear"]
    for image in maps:
        image.set_interpolation("none")
    try:
        yield bool(maps)
    finally:
        for image in maps:
            image.set_interpolation("bilinear")
