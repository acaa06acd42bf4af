"""Axes that fit their values: whole epochs, and logarithms where orders of magnitude matter."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator

#: positive values that span more than this many powers of ten (a factor of 30) are drawn on a logarithmic scale
LOG_SPAN = float(np.log10(30))


def drawable(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """The values as float64, NaN for what is not finite or too great to be drawn."""
    column = np.asarray(values, dtype=float)
    # beyond 1e100 matplotlib overflows when it puts a margin around logarithms
    return np.where(abs(column) < 1e100, column, np.nan)


def decades(values: np.ndarray) -> float:
    """How many powers of ten the finite values span; 0 where a logarithm is not defined."""
    known = values[np.isfinite(values)]
    return float(np.log10(known.max()) - np.log10(known.min())) if known.size and known.min() > 0 else 0.0


def log_scale(axes: Axes, which: Literal["x", "y"], num_decades: float) -> None:
    """Make an axis logarithmic.

    Args:
        axes: the axes.
        which: which of both.
        num_decades: the powers of ten that its values span, for the ticks.
    """
    set_scale, axis = (axes.set_xscale, axes.xaxis) if which == "x" else (axes.set_yscale, axes.yaxis)
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if num_decades < 2.5 else (1,), numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def metric_scale(axes: Axes, which: Literal["x", "y"], values: np.ndarray) -> None:
    """Fit an axis to a metric's values: logarithmic where they are positive and span more than a factor of 30.

    Args:
        axes: the axes.
        which: which of both.
        values: what is drawn along it, any shape; NaN is passed over.
    """
    if decades(values) > LOG_SPAN:
        log_scale(axes, which, decades(values))
    else:
        (axes.xaxis if which == "x" else axes.yaxis).set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))


def margins_of(values: np.ndarray, share: float = 0.05) -> tuple[float, float]:
    """Limits for an axis with that scale.

    Args:
        values: as for ``metric_scale``.
        share: of the values' span, left free at each end.

    Returns:
        The lower and the upper limit.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    is_log = decades(known) > LOG_SPAN
    low, high = (float(np.log10(end) if is_log else end) for end in (known.min(), known.max()))
    free = share * (high - low or abs(low) or 1.0)
    return (10 ** (low - free), 10 ** (high + free)) if is_log else (low - free, high + free)


def setting_scale(axes: Axes, values: np.ndarray) -> None:
    """Fit the x axis to the values of a numeric setting: logarithmic where they span a factor of 10 or more.

    Zero beside such values gets a place of its own, one power of ten below the smallest of them.

    Args:
        axes: the axes.
        values: the setting's values, shape [N].
    """
    known = np.unique(values[np.isfinite(values)])
    positive = known[known > 0]
    spread = decades(positive)
    if spread < 1 - 1e-9 or (known.size and known[0] < 0):
        axes.xaxis.set_major_locator(FixedLocator(known.tolist()) if known.size <= 6 else MaxNLocator(6))
    elif known[0] > 0:
        log_scale(axes, "x", spread)
    else:
        axes.set_xscale("symlog", linthresh=float(positive[0]))
        axes.xaxis.set_major_locator(FixedLocator([0.0, *_powers(positive)]))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _powers(positive: np.ndarray) -> list[float]:
    """Some powers of ten within the values, at least the smallest value."""
    low, high = np.ceil(np.log10(positive[0]) - 1e-9), np.floor(np.log10(positive[-1]) + 1e-9)
    stride = int(max(1, np.ceil((high - low + 1) / 6)))
    return [10.0**power for power in np.arange(low, high + 1, stride)] or [float(positive[0])]


def whole_numbers(axes: Axes, low: float, high: float) -> None:
    """Fit the x axis to epochs or other counts.

    Args:
        axes: the axes.
        low: the first of them.
        high: the last.
    """
    margin = 0.5 if low == high else 0.02 * (high - low)
    ticks: Locator = MaxNLocator(nbins=6, integer=True) if low < high else FixedLocator([low])
    axes.xaxis.set_major_locator(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(low - margin, high + margin)
