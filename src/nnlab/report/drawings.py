"""The figures of a comparison: what the runs' files hold, given to nnlab's own figures."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nnlab import figure
from nnlab.report.comparison import Comparison, Row
from nnlab.report.groups import as_number
from nnlab.report.maps import maps_of
from nnlab.report.runs import RunData
from nnlab.report.text import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: groups that a strip plot has room for
_MOST_ROWS = 60


@dataclass(frozen=True)
class Drawing:
    """A figure, drawn.

    Args:
        name: of its files, without ending.
        title: what it shows, in a few words.
        caption: how to read it.
        svg: the picture.
        png: the same in pixels.
    """

    name: str
    title: str
    caption: str
    svg: bytes
    png: bytes


@dataclass(frozen=True)
class Sketch:
    """A figure to be drawn.

    Args:
        name: as of a ``Drawing``.
        title: likewise.
        caption: likewise.
        make: draws it; None where there is nothing to show.
    """

    name: str
    title: str
    caption: str
    make: Callable[[], "Figure | None"]


def drawn(sketches: Iterable[Sketch]) -> tuple[list[Drawing], list[str]]:
    """Draw figures.

    Args:
        sketches: what to draw.

    Returns:
        The drawings, and a sentence for each that could not be made.
    """
    drawings: list[Drawing] = []
    problems: list[str] = []
    for sketch in sketches:
        try:
            made = sketch.make()
            if made is not None:
                pictures = figure.svg(made), figure.png(made)[0]
                drawings.append(Drawing(sketch.name, sketch.title, sketch.caption, *pictures))
        except Exception as error:  # whatever a figure stumbles over, the table stands
            text = f"{type(error).__name__}: {shown(str(error))}"
            problems.append(f"the figure {sketch.name} could not be drawn ({text})")
    return drawings, problems


def short_names(comparison: Comparison) -> list[str]:
    """What the rows are called in figures: the words alone where there is one key, and it has words."""
    if len(comparison.keys) == 1 and not _is_numeric(comparison, comparison.keys[0]):
        return [next(iter(row.group.label.values())) for row in comparison.rows]
    return [row.group.name for row in comparison.rows]


def sketches_of(comparison: Comparison) -> Iterator[Sketch]:
    """Whatever the runs of a comparison have figures for.

    Args:
        comparison: what was found.
    """
    metric, sense = comparison.metric, "more" if comparison.grows else "less"
    yield Sketch(
        "curves",
        "Over the epochs",
        "The mean of each group's runs; the band goes from the smallest to the largest of them.",
        lambda: _curves(comparison),
    )
    yield Sketch(
        "strip",
        f"Best {metric} of every run",
        f"A point for each run, the mean and its 95 % interval; {sense} is better. Crosses: runs that did not end.",
        lambda: _strip(comparison),
    )
    numeric = [key for key in comparison.keys if _is_numeric(comparison, key)]
    for key in numeric[:2]:
        yield sensitivity_sketch(comparison, key)
    if len(comparison.keys) == 2:
        caption = "The mean of the runs in each cell."
        yield Sketch("heat_map", "Both settings at once", caption, lambda: _heat_map(comparison))
    if len(comparison.keys) > 2:
        caption = "A line for each group through its settings to its mean; the darker the better."
        yield Sketch("parallel", "All settings at once", caption, lambda: _parallel(comparison))
    if comparison.asked.target is not None:
        caption = "The share of each group's runs that had reached the target, against the steps that it took."
        yield Sketch("time_to_target", "Time to target", caption, lambda: _time_to_target(comparison))
    caption = "The map of the first run of each group, with the parameters of its best epoch."
    groups = list(zip(short_names(comparison), (row.group.runs for row in comparison.rows), strict=True))
    yield Sketch("maps", "What was learnt, side by side", caption, lambda: maps_of(groups))


def sensitivity_sketch(comparison: Comparison, key: str) -> Sketch:
    """How the metric depends on a setting.

    Args:
        comparison: of groups that differ in the key.
        key: whose values are numbers.
    """
    return Sketch(
        f"sensitivity_{key}",
        f"How {comparison.metric} depends on {key}",
        "A point for each run; lines join the means, and break where a run did not come to its end.",
        lambda: _sensitivity(comparison, key),
    )


def _curves(comparison: Comparison) -> "Figure | None":
    name = comparison.metric.partition("/")[2]
    groups = [
        figure.GroupCurves(title, *(_of_split(row, f"{split}/{name}") for split in ("train", "valid")))
        for title, row in zip(short_names(comparison), comparison.rows, strict=True)
    ]
    groups = [group for group in groups if group.train or group.valid]
    return figure.group_curves(groups, name) if groups else None


def _of_split(row: Row, metric: str) -> list[tuple[np.ndarray, np.ndarray]]:
    curves = [run.curve(metric) for run in row.group.runs]
    return [(curve.epochs, curve.values) for curve in curves if curve is not None]


def _figure_of(run: RunData, metric: str) -> float:
    return run.best(metric) if run.is_counted else math.nan


def _strip(comparison: Comparison) -> "Figure":
    rows = comparison.rows[:_MOST_ROWS]
    values = [np.array([_figure_of(run, comparison.metric) for run in row.group.runs]) for row in rows]
    intervals = [
        (math.nan,) * 3 if row.interval is None else (row.interval.mean, *_finite(row.interval.low, row.interval.high))
        for row in rows
    ]
    names = short_names(comparison)
    strips = [figure.StripRow(name, found) for name, found in zip(names, values, strict=False)]
    return figure.strip(strips, comparison.metric, [_triple(one) for one in intervals], comparison.grows)


def _finite(low: float, high: float) -> tuple[float, float]:
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (math.nan, math.nan)


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    mean, low, high = values
    return mean, low, high


def _is_numeric(comparison: Comparison, key: str) -> bool:
    values = {row.group.label[key] for row in comparison.rows}
    return len(values) > 1 and all(as_number(value) is not None for value in values)


def _sensitivity(comparison: Comparison, key: str) -> "Figure":
    others = [other for other in comparison.keys if other != key]
    lines: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for row in comparison.rows:
        points = lines.setdefault(tuple(row.group.label[other] for other in others), [])
        setting = float(row.group.label[key])
        points += [(setting, _figure_of(run, comparison.metric)) for run in row.group.runs]
    curves = [figure.SettingCurve(_line_name(others, values), *np.array(points).T) for values, points in lines.items()]
    return figure.sensitivity(curves, comparison.metric, key, comparison.grows)


def _line_name(keys: Sequence[str], values: Sequence[str]) -> str:
    if len(keys) == 1:
        return values[0]
    return ", ".join(f"{key}={value}" for key, value in zip(keys, values, strict=True)) or "all runs"


def _heat_map(comparison: Comparison) -> "Figure | None":
    x_key, y_key = comparison.keys
    x_names, y_names = (_in_order({row.group.label[key] for row in comparison.rows}) for key in (x_key, y_key))
    if min(len(x_names), len(y_names)) < 2:
        return None
    values = np.full((len(y_names), len(x_names)), math.nan)
    for row in comparison.rows:
        place = y_names.index(row.group.label[y_key]), x_names.index(row.group.label[x_key])
        values[place] = math.nan if row.interval is None else row.interval.mean
    return figure.heat_map(x_names, y_names, values, comparison.metric, x_key, y_key, comparison.grows)


def _in_order(values: set[str]) -> list[str]:
    """Numbers by size, words by name."""
    numbers = {value: as_number(value) for value in values}
    return sorted(values, key=lambda value: (numbers[value] is None, numbers[value] or 0.0, value))


def _parallel(comparison: Comparison) -> "Figure":
    settings = {key: [row.group.label[key] for row in comparison.rows] for key in comparison.keys}
    means = [math.nan if row.interval is None else row.interval.mean for row in comparison.rows]
    return figure.parallel_coordinates(settings, means, comparison.metric, comparison.grows)


def _time_to_target(comparison: Comparison) -> "Figure":
    target = comparison.asked.target
    assert target is not None
    sign = ">=" if comparison.grows else "<="
    times = [row.times_to_target for row in comparison.rows]
    return figure.time_to_target(short_names(comparison), times, f"{comparison.metric} {sign} {target:g}")
