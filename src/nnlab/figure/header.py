"""What stands above the panels of a comparison: remarks and a legend, as high as they need to be."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnlab.figure.layout import Margins, panels
from nnlab.figure.palette import MOST_GROUPS, MUTED, OTHERS, LineStyle, line_style
from nnlab.figure.text import fitted, legend, literal, short_names, width_of

_SIZE = 9.0
_TOP = 0.43
_NOTE_LINE = 0.165
_LEGEND_ROW = 0.197
#: of a legend's entry beside its label: handle, gaps, distance to the next
_HANDLE = 0.62
_MARGINS = Margins(top=0.12)


@final
@dataclass(frozen=True)
class Header:
    """Remarks and a legend between the heading and the panels.

    Args:
        width: of the figure, inches.
        notes: remarks, a paragraph each.
        labels: of the legend; too long ones lose their middle.
    """

    width: float
    notes: Sequence[str] = ()
    labels: Sequence[str] = ()

    @property
    def height(self) -> float:
        """Inches from the figure's upper edge to the panels' margins."""
        return _TOP + _NOTE_LINE * len(self._lines) + _LEGEND_ROW * self._rows + 0.08

    def draw(self, figure: Figure, handles: Sequence[Artist]) -> None:
        """Write it.

        Args:
            figure: a figure of that width whose heading is this high.
            handles: what the legend's entries show, one for each label.
        """
        x, down = 0.15 / self.width, 1 / figure.get_figheight()
        top = 1 - _TOP * down
        for line in self._lines:
            figure.text(x, top, literal(line, most=len(line)), fontsize=_SIZE, color=MUTED, va="top")
            top -= _NOTE_LINE * down
        if self.labels:
            shown = [fitted(label, self._room, _SIZE) for label in self.labels]
            legend(figure, handles, shown, (x, top - 0.03 * down), columns=self._columns, most=200)

    @property
    def _lines(self) -> list[str]:
        return [line for text in self.notes for line in textwrap.wrap(text, int(self.width * 12.5))]

    @property
    def _columns(self) -> int:
        """As many as fit: a column is as wide as its own widest entry, and they are filled one after the other."""
        widths = [width_of(label, _SIZE) + _HANDLE for label in self.labels]
        for columns in range(len(widths), 1, -1):
            rows = -(-len(widths) // columns)
            if sum(max(widths[first : first + rows]) for first in range(0, len(widths), rows)) < self.width - 0.15:
                return columns
        return 1

    @property
    def _rows(self) -> int:
        return -(-len(self.labels) // self._columns)

    @property
    def _room(self) -> float:
        return self.width - 0.3 - _HANDLE


def group_panels(
    names: Sequence[str],
    title: str,
    notes: Sequence[str] = (),
    num: int = 1,
    height: float = 2.6,
    markers: bool = True,
    margins: Margins = _MARGINS,
) -> tuple[Figure, list[Axes]]:
    """Panels one below the other, narrow enough for a column of print, below a legend of groups.

    Args:
        names: the groups; from the eleventh on they share one entry.
        title: the heading.
        notes: remarks.
        num: panels.
        height: of one, inches.
        markers: whether the lines have markers.
        margins: around each panel, inches.

    Returns:
        The figure and its axes.
    """
    width = 4.1
    whole = margins.left + width + margins.right + margins.beside
    shown, remark = short_names(names, whole - 1, _SIZE)
    header = Header(whole, [*notes, remark] if remark else notes, _labels(shown))
    figure, axes = panels(num, title, width=width, height=height, columns=1, margins=margins, heading=header.height)
    header.draw(figure, [group_key(line_style(index), markers) for index in range(len(header.labels))])
    return figure, axes


def group_key(style: LineStyle, markers: bool = True) -> Line2D:
    """The legend's picture of a group."""
    marker = style.marker if markers and style is not OTHERS else ""
    return Line2D([], [], color=style.color, linestyle=style.dashes, linewidth=1.8, marker=marker, markersize=5)


def _labels(names: Sequence[str]) -> list[str]:
    if len(names) <= MOST_GROUPS:
        return list(names)
    others = len(names) - MOST_GROUPS
    return [*names[:MOST_GROUPS], f"{others:,} other{'s' * (others > 1)}, not told apart"]
