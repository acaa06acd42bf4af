"""Panels at fixed places: margins in inches are free, where matplotlib's automatic layouts draw everything twice."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnlab.figure.palette import INK, MUTED
from nnlab.figure.text import literal

#: inches above the panels: the heading and one line of legend or notes
HEADING = 0.62


@dataclass(frozen=True)
class Margins:
    """Space around each panel for its labels, and at the figure's right and lower edges, in inches."""

    left: float = 0.75
    right: float = 0.2
    bottom: float = 0.55
    top: float = 0.35
    beside: float = 0.0
    below: float = 0.0


def panels(
    num: int,
    title: str,
    *,
    width: float,
    height: float,
    columns: int = 3,
    margins: Margins = Margins(),
    heading: float = HEADING,
) -> tuple[Figure, list[Axes]]:
    """A figure with a heading and equal panels in rows.

    Args:
        num: panels, at least 1.
        title: the heading, shown literally.
        width: of one panel's axes, inches.
        height: of one panel's axes, inches.
        columns: panels in a row, at most.
        margins: around each panel, inches.
        heading: room above the panels, inches.

    Returns:
        The figure and its axes, row by row.
    """
    columns = min(num, columns)
    rows = -(-num // columns)
    cell_width = margins.left + width + margins.right
    cell_height = margins.top + height + margins.bottom
    total_width = columns * cell_width + margins.beside
    total_height = rows * cell_height + heading + margins.below
    figure = Figure(figsize=(total_width, total_height), facecolor="white")
    figure.text(
        0.15 / total_width,
        1 - 0.14 / total_height,
        literal(title, most=int(total_width * 9.5)),
        fontsize=12,
        fontweight="bold",
        color=INK,
        va="top",
    )
    axes = []
    for index in range(num):
        row, column = divmod(index, columns)
        left = column * cell_width + margins.left
        bottom = (rows - 1 - row) * cell_height + margins.bottom + margins.below
        box = (left / total_width, bottom / total_height, width / total_width, height / total_height)
        axes.append(_plain(figure.add_axes(box)))
    return figure, axes


def second_line(figure: Figure) -> tuple[float, float]:
    """Where the line below the heading begins: its upper left corner in figure coordinates."""
    return 0.15 / figure.get_figwidth(), 1 - 0.43 / figure.get_figheight()


def note(figure: Figure, text: str) -> None:
    """Put a remark on the line below the heading."""
    x, y = second_line(figure)
    figure.text(x, y, text, fontsize=9, color=MUTED, va="top")


def size_of(figure: Figure, axes: Axes) -> tuple[float, float]:
    """Width and height of a panel in inches."""
    box = axes.get_position()
    return box.width * figure.get_figwidth(), box.height * figure.get_figheight()


def say(axes: Axes, text: str) -> None:
    """Put a remark in the middle of a panel in which nothing can be drawn."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED, fontsize=10)


def _plain(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=9, color=MUTED)
    axes.set_axisbelow(True)
    return axes
