"""What several models have learned on the plane, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from nnlab.figure.decision_map import draw_decisions, extent
from nnlab.figure.header import Header
from nnlab.figure.layout import Margins, panels
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import INK, class_color
from nnlab.figure.points import Splits, marker_key
from nnlab.figure.text import folded, label, short_names
from nnlab.figure.value_map import draw_values, scale_of, target_bar, target_key

_MOST_MAPS = 12
_SIDE = 1.75
#: of each split; more points would hide the small maps, and those with an edge hide more
_MOST_POINTS, _MOST_EDGED = 300, 100


@dataclass(frozen=True)
class Decisions:
    """One model's decisions.

    Args:
        name: what is written above the map.
        x: values of the first input, equally spaced and ascending, shape [X].
        y: values of the second input, likewise, shape [Y].
        codes: the predicted class at each grid point, integers, shape [Y, X].
        confidence: the predicted class's probability, shape [Y, X]; None where the model gives none.
        splits: for each split its inputs, shape [N, 2], and class codes, shape [N].
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    codes: np.ndarray
    confidence: np.ndarray | None = None
    splits: Splits = field(default_factory=dict)


@dataclass(frozen=True)
class Values:
    """One model's predictions of a number.

    Args:
        name: what is written above the map.
        x: values of the first input, equally spaced and ascending, shape [X].
        y: values of the second input, likewise, shape [Y].
        values: the prediction at each grid point, shape [Y, X].
        splits: for each split its inputs, shape [N, 2], and targets, shape [N].
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    splits: Splits = field(default_factory=dict)


def map_grid(
    maps: Sequence[Decisions],
    class_names: Sequence[str],
    input_names: Sequence[str],
    title: str = "decision maps",
) -> Figure:
    """Decision maps of up to twelve models, with the same axes.

    Args:
        maps: of models that were trained on the same inputs and classes.
        class_names: C names.
        input_names: two names, with units.
        title: the heading.

    Returns:
        The figure; of more than twelve maps the first twelve, and the heading says so. Of each split 300 points are
        drawn at most.

    Raises:
        ValueError: if there is no map.
    """
    refuse_nothing("decision maps", "map", maps)
    splits = _splits_of(maps)
    handles: list[Artist] = [Patch(facecolor=class_color(code)) for code in range(len(class_names))]
    handles += [marker_key(name, INK) for name in splits]
    note = "background: predicted class, the stronger the surer" + ("; points: true class" if splits else "")
    figure, axes = _grid(maps, title, note, [*class_names, *splits], handles, input_names, beside=0.0)
    for panel, one in zip(axes, maps, strict=False):
        points = _thinned(one.splits, _MOST_POINTS)
        draw_decisions(panel, one.x, one.y, one.codes, one.confidence, points, len(class_names), marker_scale=0.6)
    _limit(axes, maps)
    return figure


def value_map_grid(
    maps: Sequence[Values], target_name: str, input_names: Sequence[str], title: str = "predictions"
) -> Figure:
    """Value maps of up to twelve models, with the same axes and colours.

    Args:
        maps: of models that were trained on the same inputs and target.
        target_name: the target's name, with its unit.
        input_names: two names, with units.
        title: the heading.

    Returns:
        The figure; of more than twelve maps the first twelve, and the heading says so. Of each split 100 points are
        drawn at most.

    Raises:
        ValueError: if there is no map.
    """
    refuse_nothing("predictions", "map", maps)
    splits = _splits_of(maps)
    shown = maps[:_MOST_MAPS]
    norm = scale_of(
        np.concatenate([one.values.ravel() for one in shown]),
        [target for one in shown for _, target in one.splits.values()],
    )
    note = "background: prediction; points: target, in the same colours"
    handles: list[Artist] = [target_key(name) for name in splits]
    figure, axes = _grid(maps, title, note, splits, handles, input_names, beside=1.2)
    for panel, one in zip(axes, maps, strict=False):
        points = _thinned(one.splits, _MOST_EDGED)
        picture = draw_values(panel, one.x, one.y, one.values, points, norm, marker_scale=0.6)
    right = max(panel.get_position().x1 for panel in axes)
    first = axes[0].get_position()
    every = np.concatenate([one.values.ravel() for one in shown])
    height = first.height * figure.get_figheight()
    target_bar(figure, picture, right, first.y0, target_name, every, norm, height)
    _limit(axes, maps)
    return figure


def _splits_of(maps: Sequence[Decisions] | Sequence[Values]) -> list[str]:
    return list(dict.fromkeys(name for one in maps for name in one.splits))


def _thinned(splits: Splits, most: int) -> Splits:
    rows = {name: _rows(len(inputs), most) for name, (inputs, _) in splits.items()}
    return {name: (inputs[rows[name]], target[rows[name]]) for name, (inputs, target) in splits.items()}


def _rows(num: int, most: int) -> np.ndarray:
    return np.linspace(0, num - 1, min(num, most)).round().astype(np.int64)


def _grid(
    maps: Sequence[Decisions] | Sequence[Values],
    title: str,
    note: str,
    labels: Sequence[str],
    handles: Sequence[Artist],
    input_names: Sequence[str],
    beside: float,
) -> tuple[Figure, list[Axes]]:
    num = min(len(maps), _MOST_MAPS)
    columns = 2 if num in (2, 4) else 3
    if len(maps) > num:
        title = f"{title} (the first {num} of {len(maps):,})"
    side = _SIDE if num > 1 else 1.5 * _SIDE
    short, remark = short_names([one.name for one in maps[:num]], 1.9 * side, 9)
    names = [folded(name, side, 9) for name in short]
    top = 0.4 if any("\n" in name for name in names) else 0.27
    margins = Margins(left=0.5, right=0.08, top=top, bottom=0.25, beside=beside, below=0.18)
    wide = min(num, columns) * (margins.left + side + margins.right) + beside
    header = Header(wide, [note, remark] if remark else [note], labels)
    figure, axes = panels(num, title, width=side, height=side, columns=columns, margins=margins, heading=header.height)
    header.draw(figure, handles)
    for index, (panel, name) in enumerate(zip(axes, names, strict=True)):
        panel.set_title(name, fontsize=9, color=INK, loc="left", y=1.0, pad=3, linespacing=1.05)
        panel.tick_params(labelsize=8)
        panel.locator_params(nbins=4)
        if index + columns >= num:
            panel.set_xlabel(label(input_names[0], side, 9), fontsize=9, color=INK)
        if index % columns == 0:
            panel.set_ylabel(label(input_names[1], side + 0.3, 9), fontsize=9, color=INK)
    return figure, axes


def _limit(axes: Sequence[Axes], maps: Sequence[Decisions] | Sequence[Values]) -> None:
    """The same part of the plane in every panel."""
    edges = np.array([extent(one.x, one.y) for one in maps[: len(axes)]])
    for panel in axes:
        panel.set_xlim(edges[:, 0].min(), edges[:, 1].max())
        panel.set_ylim(edges[:, 2].min(), edges[:, 3].max())
