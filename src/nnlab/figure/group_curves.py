"""A metric over the epochs, a line for each group of runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnlab.figure.header import group_panels
from nnlab.figure.layout import Margins, say
from nnlab.figure.palette import GRID, INK, MOST_GROUPS, LineStyle, line_style
from nnlab.figure.scale import drawable, margins_of, metric_scale, whole_numbers
from nnlab.figure.text import label, short_names

#: the epochs [E] at which a run was evaluated, ascending, and the metric's values [E]
RunCurve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class GroupCurves:
    """The runs of one group.

    Args:
        name: the group's.
        train: the metric of each run's training split; empty where there is none.
        valid: of each run's validation split, likewise.
    """

    name: str
    train: Sequence[RunCurve] = ()
    valid: Sequence[RunCurve] = ()

    @property
    def num_runs(self) -> int:
        """The runs that have a curve."""
        return max(len(self.train), len(self.valid))


@dataclass(frozen=True)
class Band:
    """What K runs have in common at each of E epochs.

    Args:
        epochs: the epochs, shape [E].
        mean: over the runs that have a value there, shape [E].
        low: the smallest of their values, shape [E].
        high: the greatest, shape [E].
        is_whole: whether all runs have one, shape [E].
    """

    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    is_whole: np.ndarray


def group_curves(groups: Sequence[GroupCurves], metric: str, title: str | None = None) -> Figure:
    """Mean and range over the runs of each group, train above validation with the same axes.

    Runs of one group may be unequally long: where only some of them last, the line of their mean is thin. A run that
    was evaluated at other epochs than the rest counts between them by a straight line. Values that are not finite are
    left out. Both axes are logarithmic in the metric where it is positive and spans more than a factor of 30.

    Args:
        groups: the groups, those that matter first: from the eleventh on they are grey lines without a band.
        metric: the metric's name, without the split.
        title: the heading; None for one that names the metric.

    Returns:
        The figure.

    Raises:
        ValueError: if no group has a curve.
    """
    splits = [split for split in ("train", "valid") if any(getattr(group, split) for group in groups)]
    if not splits:
        raise ValueError("group curves: expected at least one run with a curve, found none")
    names, notes = _names_and_notes(groups)
    margins = Margins(left=0.75, top=0.3, bottom=0.12, below=0.42)
    figure, axes = group_panels(names, title or f"{metric} across epochs", notes, len(splits), 2.1, margins=margins)
    drawn = [_draw(panel, groups, split, metric) for panel, split in zip(axes, splits, strict=True)]
    _share(axes, drawn)
    return figure


def band_of(curves: Sequence[RunCurve]) -> Band:
    """Mean and range of curves that may be unequally long.

    Args:
        curves: of K runs.

    Returns:
        The band over all epochs at which any run was evaluated.
    """
    epochs = np.unique(np.concatenate([np.asarray(epoch, dtype=float) for epoch, _ in curves]))
    values = np.stack([_on(epochs, curve) for curve in curves])
    has_value = np.isfinite(values)
    count = has_value.sum(axis=0)
    kept = count > 0
    total = np.where(has_value, values, 0.0).sum(axis=0)
    return Band(
        epochs[kept],
        total[kept] / count[kept],
        np.where(has_value, values, np.inf).min(axis=0)[kept],
        np.where(has_value, values, -np.inf).max(axis=0)[kept],
        (count == len(curves))[kept],
    )


def _on(epochs: np.ndarray, curve: RunCurve) -> np.ndarray:
    epoch, values = np.asarray(curve[0], dtype=float), drawable(curve[1])
    known = np.isfinite(values)
    if not known.any():
        return np.full(epochs.shape, np.nan)
    return np.asarray(np.interp(epochs, epoch[known], values[known], left=np.nan, right=np.nan))


def _names_and_notes(groups: Sequence[GroupCurves]) -> tuple[list[str], list[str]]:
    """The number of runs stands in the remark where it is the same for all, else beside each name."""
    names, remark = short_names([group.name for group in groups], 3.3, 9)
    counts = {group.num_runs for group in groups}
    remarks = [remark] if remark else []
    if counts == {1}:
        return names, ["one run each", *remarks]
    if len(counts) > 1:
        names = [f"{name} ({group.num_runs:,})" for name, group in zip(names, groups, strict=True)]
    runs = f"{counts.pop():,} runs" if len(counts) == 1 else "the runs (number)"
    line = f"line: mean of {runs}, thin where only some last"
    return names, [line, "band: from the smallest to the greatest", *remarks]


def _draw(axes: Axes, groups: Sequence[GroupCurves], split: str, metric: str) -> list[Band]:
    axes.set_title(split, fontsize=10.5, color=INK, loc="left", y=1.0)
    axes.set_ylabel(label(metric, 2.3), fontsize=9.5, color=INK)
    axes.grid(True, color=GRID, linewidth=0.6)
    bands = []
    for index, group in enumerate(groups):
        if curves := getattr(group, split):
            bands.append(band_of(curves))
            strength = 0.0 if index >= MOST_GROUPS or len(curves) < 2 else 0.16 if len(groups) <= 5 else 0.08
            _draw_group(axes, bands[-1], line_style(index), index, strength)
    if not any(band.epochs.size for band in bands):
        say(axes, "no finite value")
    return bands


def _draw_group(axes: Axes, band: Band, style: LineStyle, index: int, strength: float) -> None:
    is_other = index >= MOST_GROUPS
    # the first group lies on top, those that are not told apart lie below all
    order = 2.0 if is_other else 4.0 - 0.1 * index
    if strength:
        axes.fill_between(
            band.epochs, band.low, band.high, color=style.color, alpha=strength, linewidth=0, zorder=order - 1
        )
    whole, part = band.is_whole, ~band.is_whole
    part[:-1] |= ~whole[1:]
    part[1:] |= ~whole[:-1]
    for mask, width in ((part, 0.7), (whole, 0.8 if is_other else 1.7)):
        shown = np.where(mask, band.mean, np.nan)
        axes.plot(
            band.epochs, shown, color=style.color, linestyle=style.dashes, linewidth=width, zorder=order,
            marker="" if is_other else style.marker, markersize=4 if mask is whole else 3,
            markevery=_marked(len(band.epochs), index).tolist(), markeredgewidth=0.5, markeredgecolor="white",
        )  # fmt: skip


def _marked(num: int, index: int) -> np.ndarray:
    """Every point of a short line; of a longer one some, each group's at other places, and the last one."""
    if num <= 12:
        return np.arange(num)
    stride = num / 6
    first = index % MOST_GROUPS * stride / MOST_GROUPS
    return np.append(np.arange(first, num - 1, stride).astype(int), num - 1)


def _share(axes: Sequence[Axes], drawn: Sequence[Sequence[Band]]) -> None:
    """The same epochs and the same scale in both panels."""
    bands = [band for panel in drawn for band in panel]
    epochs = np.concatenate([band.epochs for band in bands])
    values = np.concatenate([np.concatenate([band.low, band.high]) for band in bands])
    for panel in axes[1:]:
        panel.sharex(axes[0])
        panel.sharey(axes[0])
    metric_scale(axes[0], "y", values)
    axes[0].set_ylim(*margins_of(values))
    if epochs.size:
        whole_numbers(axes[0], float(epochs.min()), float(epochs.max()))
    for panel in axes[:-1]:
        panel.tick_params(labelbottom=False)
    axes[-1].set_xlabel("epoch", fontsize=9.5, color=INK)
