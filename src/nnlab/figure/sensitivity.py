"""How much a metric depends on one numeric setting."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from nnlab.figure.header import group_panels
from nnlab.figure.layout import Margins, say, size_of
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import GRID, INK, MOST_GROUPS, LineStyle, line_style
from nnlab.figure.scale import drawable, metric_scale, setting_scale
from nnlab.figure.text import label, metric_label

#: above the panel, inches for a group's crosses
_CROSS_ROW = 0.12


@dataclass(frozen=True)
class SettingCurve:
    """The runs of one group, each with its value of the setting.

    Args:
        name: the group's.
        settings: the setting of each run, shape [N].
        values: the metric of each run, shape [N]; NaN for one that diverged or did not come to its end.
    """

    name: str
    settings: Sequence[float] | np.ndarray
    values: Sequence[float] | np.ndarray


def sensitivity(
    curves: Sequence[SettingCurve], metric: str, x_label: str, grows: bool = False, title: str | None = None
) -> Figure:
    """A point for each run, and a line through the means of those settings at which every run came to its end.

    Where a run did not, the line is broken, and crosses above the panel count such runs. A ring marks the best mean of
    each group. The setting's axis is logarithmic where it spans a factor of 10 or more, the metric's where it is
    positive and spans more than a factor of 30.

    Args:
        curves: the groups, those that matter first: from the eleventh on they are grey.
        metric: the metric's name.
        x_label: the setting's name.
        grows: whether more is better.
        title: the heading; None for one that names both.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no group.
    """
    refuse_nothing("sensitivity", "group", curves)
    lost = [~np.isfinite(drawable(curve.values)) for curve in curves]
    num_rows = _num_rows(lost)
    notes = ["line: mean, broken where a run diverged or did not end (×)", "ring: a group's best mean"]
    margins = Margins(top=0.1 + _CROSS_ROW * num_rows)
    heading = title or f"{metric} against {x_label}"
    figure, (axes,) = group_panels([curve.name for curve in curves], heading, notes, height=2.7, margins=margins)
    axes.grid(True, color=GRID, linewidth=0.6)
    for index, curve in enumerate(curves):
        _draw(axes, curve, line_style(index), index, grows)
    settings = np.concatenate([np.asarray(curve.settings, dtype=float) for curve in curves])
    values = np.concatenate([drawable(curve.values) for curve in curves])
    setting_scale(axes, settings)
    metric_scale(axes, "y", values)
    axes.set_xlabel(label(x_label, 4.3), fontsize=9.5, color=INK)
    axes.set_ylabel(metric_label(metric, grows, 3.2), fontsize=9.5, color=INK)
    if not np.isfinite(values).any():
        axes.set_yticks([])
        say(axes, "no run came to its end")
    _mark_lost(figure, axes, curves, lost, num_rows)
    return figure


def means_of(curve: SettingCurve) -> tuple[np.ndarray, np.ndarray]:
    """The mean at each setting.

    Args:
        curve: the runs.

    Returns:
        The settings, ascending, and the means, both shape [S]; NaN where a run has no value.
    """
    settings = np.asarray(curve.settings, dtype=float)
    values = drawable(curve.values)
    places = np.unique(settings)
    return places, np.array([values[settings == place].mean() for place in places])


def _num_rows(lost: Sequence[np.ndarray]) -> int:
    """A row of crosses for each group that has some, unless there are too many of them."""
    num = sum(bool(column.any()) for column in lost)
    return num if num <= 6 else 1


def _draw(axes: Axes, curve: SettingCurve, style: LineStyle, index: int, grows: bool) -> None:
    order = 3.0 - 0.05 * min(index, MOST_GROUPS)
    axes.plot(
        curve.settings, drawable(curve.values), linestyle="none", marker=style.marker, markersize=3.2,
        color=style.color, alpha=0.6, markeredgewidth=0, zorder=order,
    )  # fmt: skip
    settings, means = means_of(curve)
    axes.plot(
        settings, means, color=style.color, linestyle=style.dashes, linewidth=1.7, marker=style.marker, markersize=5,
        markeredgecolor="white", markeredgewidth=0.5, zorder=order + 1,
    )  # fmt: skip
    if index < MOST_GROUPS and np.isfinite(means).any():
        best = int((np.nanargmax if grows else np.nanargmin)(means))
        axes.plot(
            settings[best], means[best], linestyle="none", marker="o", markersize=10, markerfacecolor="none",
            markeredgecolor=INK, markeredgewidth=1.2, zorder=order + 2,
        )  # fmt: skip


def _mark_lost(
    figure: Figure, axes: Axes, curves: Sequence[SettingCurve], lost: Sequence[np.ndarray], num_rows: int
) -> None:
    if not num_rows:
        return
    above = blended_transform_factory(axes.transData, axes.transAxes)
    inch = 1 / size_of(figure, axes)[1]
    row = 0
    for index, (curve, column) in enumerate(zip(curves, lost, strict=True)):
        if not column.any():
            continue
        places = np.unique(np.asarray(curve.settings, dtype=float)[column])
        y = 1 + (0.08 + _CROSS_ROW * (row % num_rows)) * inch
        axes.plot(
            places, np.full(len(places), y), linestyle="none", marker="x", markersize=5, markeredgewidth=1.5,
            color=line_style(index).color, transform=above, clip_on=False,
        )  # fmt: skip
        row += 1
