"""One point for each run, a row for each group."""

from itertools import combinations

import numpy as np
import pytest

from nnlab.figure import StripRow, png, strip

NAN = (np.nan,) * 3


def rows_of(num, name="g{}"):
    values = np.random.default_rng(0).uniform(1, 2, (num, 5))
    rows = [StripRow(name.format(k), column) for k, column in enumerate(values)]
    return rows, [(column.mean(), column.mean() - 0.1, column.mean() + 0.1) for column in values]


def lines_with(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


def test_strip_first_group_is_on_top_and_every_run_a_point():
    axes = strip([StripRow("a", [1, 2]), StripRow("b", [3, 4, 5])], "valid/loss", [(1.5, 1, 2), (4, 3, 5)]).axes[0]
    labels = dict(zip(axes.get_yticks(), [text.get_text() for text in axes.get_yticklabels()], strict=True))
    bottom, top = axes.get_ylim()
    assert (labels[0], labels[1]) == ("a", "b")
    assert bottom > 1 > 0 > top  # the axis grows downwards
    points = lines_with(axes, "o")
    assert [list(line.get_xdata()) for line in points] == [[1, 2], [3, 4, 5]]
    assert all(len(set(line.get_ydata())) == len(line.get_ydata()) for line in points)
    assert [line.get_xdata() for line in lines_with(axes, "|")] == [pytest.approx([1.5]), pytest.approx([4])]
    bars = [list(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 7]
    assert bars == [[1, 2], [3, 5]]
    assert axes.get_xlabel() == "valid/loss (less is better)"


def test_strip_runs_without_a_value_are_counted_crosses_beside_the_panel():
    rows = [StripRow("a", [1, 2]), StripRow("b", [3, np.nan]), StripRow("c", [np.nan, np.inf])]
    figure = strip(rows, "valid/accuracy", [(1.5, 1, 2), (3, np.nan, np.nan), NAN], grows=True)
    axes = figure.axes[0]
    crosses = lines_with(axes, "x")
    assert [line.get_ydata()[0] for line in crosses] == [1, 2]
    assert all(line.get_xdata()[0] > 1 for line in crosses)  # in parts of the panel's width
    assert [text.get_text() for text in axes.texts] == ["2"]
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "diverged or unfinished"
    assert axes.get_xlabel() == "valid/accuracy (more is better)"


def test_strip_interval_far_beyond_the_points_is_cut_with_arrows():
    axes = strip([StripRow("a", [1.0, 2.0])], "valid/loss", [(1.5, -4.9, 7.9)]).axes[0]
    low, high = axes.get_xlim()
    assert -1 < low < 1 < 2 < high < 4
    (bar,) = [line for line in axes.lines if line.get_linewidth() == 7]
    assert list(bar.get_xdata()) == [low, high]
    arrows = [line for line in axes.lines if line.get_marker() in (4, 5)]
    assert [line.get_xdata()[0] for line in arrows] == [low, high]


def test_strip_interval_that_fits_has_no_arrows():
    axes = strip([StripRow("a", [1.0, 2.0])], "valid/loss", [(1.5, 0.9, 2.1)]).axes[0]
    assert not [line for line in axes.lines if line.get_marker() in (4, 5)]


@pytest.mark.parametrize(
    ("values", "interval", "scale"),
    [([0.1, 4.0], (2.0, -3.0, 7.0), "log"), ([1.0, 20.0], (10.0, 0.05, 20.0), "linear"), ([-1, 99], NAN, "linear")],
)
def test_strip_scale_follows_the_points_not_their_intervals(values, interval, scale):
    axes = strip([StripRow("a", values)], "valid/loss", [interval]).axes[0]
    assert axes.get_xscale() == scale
    low, high = axes.get_xlim()
    assert low < min(values)
    assert high > max(values)
    assert scale == "linear" or low > 0


@pytest.mark.parametrize(
    "values", [[np.nan, np.nan], [0.5], [0.5, 0.5, 0.5], [0.0], []], ids=["all lost", "one", "equal", "zero", "none"]
)
def test_strip_any_values_are_drawn(values):
    figure = strip([StripRow("a", values)], "valid/loss", [NAN])
    png(figure)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert ("no run came to its end" in said) == (not np.isfinite(values).any())


@pytest.mark.parametrize("num", [2, 12, 60])
def test_strip_any_number_of_groups_names_do_not_touch_and_the_height_is_capped(num):
    rows, intervals = rows_of(num, "optim=adam, optim.lr={}, model.width=100, init=xavier_uniform")
    figure = strip(rows, "valid/loss", intervals)
    png(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
    assert len(boxes) == num
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert min(box.x0 for box in boxes) > 0
    assert figure.get_figheight() < 11.7  # a page


def test_strip_long_names_keep_their_values_and_the_keys_stand_above():
    rows, intervals = rows_of(3, "optim=adam, optim.lr={}, model.width=100, init=xavier_uniform")
    figure = strip(rows, "valid/loss", intervals)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names[1] == "adam, 1, 100, xavier_uniform"
    assert "groups: optim, optim.lr, model.width, init" in [text.get_text() for text in figure.texts]
