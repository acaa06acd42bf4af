"""A computational graph: operations and the tensors that they start from, as boxes and arrows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from nnlab.figure.layered import Layout, layered
from nnlab.figure.layout import Margins, panels, second_line
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import BLUE, INK, MUTED, ORANGE, tint
from nnlab.figure.text import legend, literal

Kind = Literal["operation", "parameter", "constant"]

#: face and edge of the boxes
_COLORS: dict[str, tuple[object, str]] = {
    "operation": (tint([BLUE], 0.10)[0], BLUE),
    "parameter": (tint([ORANGE], 0.25)[0], ORANGE),
    "constant": ("#F0F0F0", "#9A9A9A"),
    "not reached": ("white", "#A8A8A8"),
}
_LABELS = {
    "operation": "operation",
    "parameter": "parameter (gets a gradient)",
    "constant": "constant (gets none)",
    "not reached": "not reached",
}
#: inches
_BOX, _BETWEEN, _GAP, _PADDING = 0.42, 0.36, 0.22, 0.16
_LEAST_WIDTH = 6.6
#: points
_NAME, _DETAIL, _NUMBER = 9.0, 8.0, 7.0


@dataclass(frozen=True)
class Box:
    """One box.

    Args:
        name: its first line.
        detail: its second line, such as a shape.
        kind: what it is.
        number: shown in its corner; None for none.
        parents: the boxes whose arrows lead to it, by their place in the list, and a word on each arrow.
    """

    name: str
    detail: str
    kind: Kind
    number: int | None = None
    parents: tuple[tuple[int, str], ...] = ()


def graph(boxes: Sequence[Box], aside: Sequence[Box], title: str, remarks: Sequence[str] = ()) -> Figure:
    """Boxes in layers, what was computed last at the bottom.

    Args:
        boxes: in an order in which each comes before its parents.
        aside: boxes that are not connected with the others; shown dashed below them.
        title: the heading.
        remarks: lines at the bottom.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no node.
    """
    refuse_nothing("graph", "node", boxes)
    arrows = [(parent, child) for child, box in enumerate(boxes) for parent, _ in box.parents]
    is_operation = [box.kind == "operation" for box in boxes]
    layout = layered([_width(box) for box in boxes], arrows, is_operation, _GAP)
    width = max(layout.width, _LEAST_WIDTH)
    rows = _in_rows(aside, width)
    pitch = _BOX + _BETWEEN
    foot = 0.2 * len(remarks) + 0.1 * bool(remarks) + ((_BOX + 0.15) * len(rows) + 0.38 if rows else 0.0)
    height = max(layout.layer) * pitch + _BOX + foot
    figure, (axes,) = panels(1, title, width=width, height=height, margins=Margins(0.15, 0.15, 0.15, 0.15))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    shift = (width - layout.width) / 2
    middles = [(x + shift, foot + level * pitch + _BOX / 2) for x, level in zip(layout.x, layout.layer, strict=True)]
    _draw_arrows(axes, boxes, arrows, layout, middles, shift)
    for index, (box, (x, y)) in enumerate(zip(boxes, middles, strict=True)):
        _draw_box(axes, box, x, y, box.kind, heavy=index == 0)
    _draw_aside(axes, rows, foot - 0.3)
    for line, remark in enumerate(reversed(remarks)):
        axes.text(0, 0.2 * line, literal(remark, most=int(width * 13)), fontsize=9, color=MUTED, va="bottom")
    kinds = [kind for kind in _COLORS if kind in {box.kind for box in boxes} or (kind == "not reached" and aside)]
    keys = [_key(kind) for kind in kinds]
    legend(figure, keys, [_LABELS[kind] for kind in kinds], second_line(figure), columns=len(kinds))
    return figure


def _width(box: Box) -> float:
    lines = [(_shown(box.name), _NAME, "bold"), (_shown(box.detail), _DETAIL, "normal")]
    widest = max(_text_width(text, size, weight) for text, size, weight in lines)
    return max(widest + 2 * (_PADDING if box.number is None else _PADDING + 0.12), 0.5)


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:20]}…{text[-19:]}"


@cache
def _text_width(text: str, size: float, weight: str) -> float:
    """In inches."""
    if not text.strip():
        return 0.0
    path = TextPath((0, 0), text, size=size, prop=FontProperties(weight=weight))
    return float(path.get_extents().width) / 72


def _draw_box(axes: Axes, box: Box, x: float, y: float, kind: str, heavy: bool = False) -> None:
    face, edge = _COLORS[kind]
    width, is_aside = _width(box), kind == "not reached"
    corner = 0.06 if kind == "operation" else _BOX / 2 - 0.02
    shape = FancyBboxPatch(
        (x - width / 2 + corner, y - _BOX / 2 + corner),
        width - 2 * corner,
        _BOX - 2 * corner,
        boxstyle=f"round,pad={corner},rounding_size={corner}",
        facecolor=face,
        edgecolor=edge,
        linewidth=2.2 if heavy else 1.1,
        linestyle=(0, (4, 3)) if is_aside else "-",
        zorder=2,
        clip_on=False,
    )
    axes.add_patch(shape)
    color = MUTED if is_aside else INK
    high, low = (y + 0.085, y - 0.095) if box.detail else (y, y)
    axes.text(
        x, high, literal(_shown(box.name)), fontsize=_NAME, fontweight="bold", color=color, ha="center", va="center",
        zorder=3,
    )  # fmt: skip
    axes.text(x, low, literal(_shown(box.detail)), fontsize=_DETAIL, color=color, ha="center", va="center", zorder=3)
    if box.number is not None:
        left, top = x - width / 2 + 0.05, y + _BOX / 2 - 0.045
        axes.text(left, top, str(box.number), fontsize=_NUMBER, color=MUTED, va="top", zorder=3)


def _draw_arrows(
    axes: Axes,
    boxes: Sequence[Box],
    arrows: Sequence[tuple[int, int]],
    layout: Layout,
    middles: Sequence[tuple[float, float]],
    shift: float,
) -> None:
    words = [word for box in boxes for _, word in box.parents]
    ends = _ends(boxes, arrows, layout)
    for (parent, child), lanes, word, end in zip(arrows, layout.lanes, words, ends, strict=True):
        levels = range(layout.layer[parent] - 1, layout.layer[child], -1)
        base = middles[child][1] - layout.layer[child] * (_BOX + _BETWEEN)
        points = [(middles[parent][0], middles[parent][1] - _BOX / 2)]
        for x, level in zip(lanes, levels, strict=True):
            y = base + level * (_BOX + _BETWEEN)
            points += [(x + shift, y + _BOX / 2), (x + shift, y - _BOX / 2)]
        points.append((middles[child][0] + end, middles[child][1] + _BOX / 2))
        _draw_arrow(axes, points)
        if word:
            (x0, y0), (x1, y1) = points[-2:]
            axes.text(
                0.45 * x0 + 0.55 * x1, 0.45 * y0 + 0.55 * y1, literal(word), fontsize=_DETAIL, color=INK, ha="center",
                va="center", zorder=3, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip


def _ends(boxes: Sequence[Box], arrows: Sequence[tuple[int, int]], layout: Layout) -> list[float]:
    """Where each arrow meets its child, from the middle of the child's upper edge."""
    arriving: dict[int, list[tuple[float, int]]] = {}
    for index, (parent, child) in enumerate(arrows):
        comes_from = (layout.lanes[index] or [layout.x[parent]])[-1]
        arriving.setdefault(child, []).append((comes_from, index))
    ends = [0.0] * len(arrows)
    for child, side_by_side in arriving.items():
        step = min(0.3, 0.4 * _width(boxes[child]) / max(len(side_by_side) - 1, 1))
        ranked = [index for _, index in sorted(side_by_side)]
        # The one operation among parameters comes straight from above.
        operations = [index for index in ranked if boxes[arrows[index][0]].kind == "operation"]
        middle = ranked.index(operations[0]) if len(operations) == 1 else (len(ranked) - 1) / 2
        for place, index in enumerate(ranked):
            ends[index] = step * (place - middle)
    return ends


def _draw_arrow(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Path.CURVE4] * 3
    arrow = FancyArrowPatch(
        path=Path(vertices, codes),
        arrowstyle="-|>,head_length=4,head_width=2.2",
        mutation_scale=1,
        color="#777777",
        linewidth=1.0,
        zorder=1,
    )
    axes.add_patch(arrow)


def _in_rows(aside: Sequence[Box], width: float) -> list[list[Box]]:
    rows: list[list[Box]] = []
    used = width
    for box in aside:
        if used + _width(box) > width:
            rows.append([])
            used = 0.0
        rows[-1].append(box)
        used += _width(box) + _GAP
    return rows


def _draw_aside(axes: Axes, rows: Sequence[Sequence[Box]], top: float) -> None:
    if rows:
        axes.text(0, top, "not reached:", fontsize=9, color=MUTED, va="bottom")
    for number, row in enumerate(rows):
        left = 0.0
        for box in row:
            _draw_box(axes, box, left + _width(box) / 2, top - 0.08 - _BOX / 2 - number * (_BOX + 0.15), "not reached")
            left += _width(box) + _GAP


def _key(kind: str) -> Patch:
    face, edge = _COLORS[kind]
    return Patch(facecolor=face, edgecolor=edge, linestyle="--" if kind == "not reached" else "-")  # type: ignore[arg-type]
