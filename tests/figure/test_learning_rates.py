"""What the figure of a search for a learning rate shows."""

import math

import numpy as np
import pytest

from nnlab.figure import png, svg
from nnlab.figure.learning_rates import learning_rates

RATES = [0.001, 0.01, 0.1, 1.0]
LOSSES = np.array([[1.0, 0.5, 0.02, math.nan], [1.0, 0.6, 0.03, 0.9]])
CURVE = np.array([1.0, 0.4, 0.05, 0.5])


def drawn(**settings):
    given = {"suggestion": 0.1, "own": 0.01, "title": "t"} | settings
    return learning_rates(RATES, LOSSES, CURVE, "valid/loss", **given)


def lines_at(axes):
    """The places of upright lines."""
    return [line.get_xdata()[0] for line in axes.lines if list(line.get_ydata()) == [0, 1]]


def test_learning_rates_are_points_a_curve_crosses_and_two_marks():
    (axes,) = drawn().axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata()[:3], np.stack([RATES, LOSSES[0]], 1)[:3])
    np.testing.assert_array_equal(axes.lines[2].get_xydata(), np.stack([RATES, CURVE], 1))
    assert lines_at(axes) == [0.1, 0.01]
    (crosses,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert list(crosses.get_xdata()) == [1.0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    names = [text.get_text() for text in drawn().legends[0].get_texts()]
    assert names == ["smoothed", "suggested: 0.1", "in the config: 0.01", "diverged"]


def test_learning_rates_without_a_suggestion_mark_none_and_leave_out_a_rate_beyond_them():
    figure = drawn(suggestion=None, own=5.0)
    assert lines_at(figure.axes[0]) == []
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["smoothed", "diverged"]


def test_learning_rates_that_all_diverge_say_so_and_can_be_drawn():
    nothing = np.full((1, 4), math.nan)
    figure = learning_rates(RATES, nothing, nothing[0], "valid/loss", suggestion=None, own=None, title="t")
    assert "every training diverged" in [text.get_text() for text in figure.axes[0].texts]
    assert png(figure)[0][:4] == b"\x89PNG"
    assert svg(figure).startswith(b"<svg")


def test_learning_rates_of_nothing_are_refused():
    with pytest.raises(ValueError, match="learning rates: expected at least one rate"):
        learning_rates([], np.empty((0, 0)), np.empty(0), "m", suggestion=None, own=None, title="t")
