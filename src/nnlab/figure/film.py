"""What a model has learned on the plane, from picture to picture."""

import io
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from nnlab.figure.decision_map import decision_map, draw_decisions, label_plane
from nnlab.figure.layout import Margins, note, panels
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.png import foreign_letters
from nnlab.figure.points import Splits, split_label
from nnlab.figure.text import legend, literal
from nnlab.figure.value_map import draw_values, scale_of, target_bar, target_key

#: fewer pixels than a figure that stands still: there are many of them
_DPI = 76
#: white, ink and greys for the texts, and the colours that the maps have most of; more would make the file larger
_GREYS = (255, 34, *range(64, 255, 14))
_NUM_SHADES = 72
_NEARLY_WHITE = 246
#: milliseconds
_WHOLE, _SHORTEST, _LONGEST, _LAST = 6000, 100, 500, 2000


def decision_film(
    x: np.ndarray,
    y: np.ndarray,
    codes: np.ndarray,
    confidence: np.ndarray,
    splits: Splits,
    class_names: Sequence[str],
    input_names: Sequence[str],
    titles: Sequence[str],
) -> bytes:
    """Decision maps, one after the other.

    Args:
        x: values of the first input, equally spaced and ascending, shape [X].
        y: values of the second input, likewise, shape [Y].
        codes: the predicted class at each grid point in each of M pictures, shape [M, Y, X].
        confidence: the predicted class's probability, from 1/C to 1, shape [M, Y, X].
        splits: for each split its inputs, shape [N, 2], and class codes, shape [N]; at most 2,000 rows are drawn.
        class_names: C names.
        input_names: two names, with units.
        titles: the headings of the M pictures.

    Returns:
        A GIF that begins anew after its end. Equal arrays give equal bytes.

    Raises:
        ValueError: if there is no picture.
    """
    refuse_nothing("film", "picture", titles)
    figure = decision_map(x, y, codes[0], confidence[0], splits, class_names, input_names, titles[0])
    axes = figure.axes[0]

    def paint(index: int) -> None:
        draw_decisions(axes, x, y, codes[index], confidence[index], {}, len(class_names))

    return _gif(figure, axes, paint, titles)


def value_film(
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    splits: Splits,
    target_name: str,
    input_names: Sequence[str],
    titles: Sequence[str],
) -> bytes:
    """Value maps, one after the other, in the same colours.

    Args:
        x: values of the first input, equally spaced and ascending, shape [X].
        y: values of the second input, likewise, shape [Y].
        values: the prediction at each grid point in each of M pictures, shape [M, Y, X].
        splits: for each split its inputs, shape [N, 2], and targets, shape [N]; at most 2,000 rows are drawn.
        target_name: the target's name, with its unit.
        input_names: two names, with units.
        titles: the headings of the M pictures.

    Returns:
        A GIF that begins anew after its end. Equal arrays give equal bytes.

    Raises:
        ValueError: if there is no picture.
    """
    refuse_nothing("film", "picture", titles)
    figure, (axes,) = panels(1, titles[0], width=4.2, height=4.2, margins=Margins(top=0.1, beside=2.7))
    norm = scale_of(values, [target for _, target in splits.values()])
    picture = draw_values(axes, x, y, values[0], splits, norm)
    label_plane(axes, x, y, input_names)
    labels = [split_label(name, len(target)) for name, (_, target) in splits.items()]
    legend(axes, [target_key(name) for name in splits], labels, (1.05, 1.0))
    note(figure, "background: prediction; points: target, in the same colours")
    # The bar is open where any of the pictures goes beyond it.
    target_bar(figure, picture, axes.get_position().x1, axes.get_position().y0, target_name, values, norm)

    def paint(index: int) -> None:
        draw_values(axes, x, y, values[index], {}, norm)

    return _gif(figure, axes, paint, titles)


class _Projector:
    """Draws what changes, the map's background and the heading, onto what stays the same.

    Drawing the whole figure anew takes three times as long.

    Args:
        figure: the first picture.
        axes: its map.
        paint: draws the background of a picture into the axes.
        titles: the headings.
    """

    def __init__(self, figure: Figure, axes: Axes, paint: Callable[[int], None], titles: Sequence[str]) -> None:
        self._figure, self._axes, self._paint, self._titles = figure, axes, paint, titles
        figure.set_dpi(_DPI)
        self._canvas = FigureCanvasAgg(figure)
        self._heading = figure.texts[0]
        above = [*axes.collections, *axes.lines, *axes.spines.values()]
        self._above = sorted((artist for artist in above if artist.get_visible()), key=Artist.get_zorder)
        changing = [self._heading, *axes.images, *self._above]
        for artist in changing:
            artist.set_visible(False)
        self._canvas.draw()  # type: ignore[no-untyped-call]
        for artist in changing:
            artist.set_visible(True)
        self._rest = self._canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]

    def picture(self, index: int) -> Image.Image:
        """One picture, in red, green and blue."""
        axes = self._axes
        for image in list(axes.images):
            image.remove()
        self._paint(index)
        self._heading.set_text(literal(self._titles[index], most=int(self._figure.get_figwidth() * 9.5)))
        self._canvas.restore_region(self._rest)  # type: ignore[no-untyped-call]
        for artist in (*axes.images, *self._above):
            axes.draw_artist(artist)
        self._figure.draw_artist(self._heading)
        pixels = np.asarray(self._canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        return Image.fromarray(pixels[:, :, :3].copy())


def _gif(figure: Figure, axes: Axes, paint: Callable[[int], None], titles: Sequence[str]) -> bytes:
    with foreign_letters():
        projector = _Projector(figure, axes, paint, titles)
        num = len(titles)
        some = sorted({index * (num - 1) // 4 for index in range(5)})
        palette = _palette([projector.picture(index) for index in some])
        pictures = [
            projector.picture(index).quantize(palette=palette, dither=Image.Dither.NONE) for index in range(num)
        ]
    file = io.BytesIO()
    each = min(max(_WHOLE // num // 10 * 10, _SHORTEST), _LONGEST)
    durations = [*[each] * (num - 1), _LAST]
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False)
    return file.getvalue()


def _palette(pictures: Sequence[Image.Image]) -> Image.Image:
    """Colours for a whole film, so that nothing flickers."""
    together = Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures]))
    found = together.quantize(_NUM_SHADES, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).getpalette()
    assert found is not None
    shades = [found[start : start + 3] for start in range(0, 3 * _NUM_SHADES, 3)]
    # Pillow takes any colour that is near enough, and a page that is not quite white shows where it ends.
    shades = [shade for shade in shades if min(shade) < _NEARLY_WHITE]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for shade in [*([grey] * 3 for grey in _GREYS), *shades] for part in shade])
    return palette
