"""The figures of a search."""

import numpy as np
import pytest

from nnlab import figure

NAN = float("nan")


def points(axes):
    """The places of all marks of lines without a line."""
    return [line.get_xydata() for line in axes.lines if line.get_linestyle() == "None"]


@pytest.mark.parametrize(("grows", "expected"), [(False, [3, 3, 1, 1, 1]), (True, [3, 5, 5, 5, 7])])
def test_history_has_a_point_for_each_trial_and_the_best_so_far(grows, expected):
    (axes,) = figure.search_history([3, 5, 1, NAN, 7], "valid/loss", grows).axes
    marks, crosses = points(axes)
    np.testing.assert_array_equal(marks[:, 1], [3, 5, 1, NAN, 7])
    assert crosses.tolist() == [[3, 1]]
    (best,) = (line for line in axes.lines if line.get_linestyle() != "None")
    np.testing.assert_array_equal(best.get_ydata(), expected)


def test_history_of_failures_says_so():
    (axes,) = figure.search_history([NAN, NAN], "valid/loss").axes
    assert "no trial came to its end" in [text.get_text() for text in axes.texts]


def test_history_before_the_first_good_trial_has_no_best():
    (axes,) = figure.search_history([NAN, 2, 1], "valid/loss").axes
    (best,) = (line for line in axes.lines if line.get_linestyle() != "None")
    np.testing.assert_array_equal(best.get_xdata(), [1, 2])


def test_importances_have_the_greatest_on_top():
    (axes,) = figure.search_importances({"a": 0.1, "b": 0.7, "c": 0.2}, "valid/loss").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c", "a"]
    assert [bar.get_width() for bar in axes.patches] == [0.7, 0.2, 0.1]
    assert [text.get_text() for text in axes.texts] == ["70%", "20%", "10%"]
    assert axes.yaxis_inverted()


def test_slices_have_a_panel_for_each_key():
    settings = {"lr": [0.001, 0.1, 0.01], "optim": ["sgd", "adam", "sgd"]}
    numbers, words = figure.search_slices(settings, [3, NAN, 1], "valid/loss").axes
    assert numbers.get_xscale() == "log"
    drawn = numbers.collections[0].get_offsets().filled(NAN)
    np.testing.assert_array_equal(drawn[[0, 2]], [[0.001, 3], [0.01, 1]])
    assert np.isnan(drawn[1, 1])
    assert points(numbers)[0].tolist() == [[0.1, 1]]
    assert [label.get_text() for label in words.get_xticklabels()] == ["sgd", "adam"]
    places = words.collections[0].get_offsets().filled(NAN)[:, 0]
    assert np.round(places[[0, 2]]).tolist() == [0, 0]


def test_slices_leave_out_what_there_is_no_room_for_and_say_so():
    made = figure.search_slices({f"k{place}": [1.0] for place in range(12)}, [1], "valid/loss")
    assert len(made.axes) == 9
    assert any("3 more keys are not shown" in text.get_text() for text in made.texts)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: figure.search_history([], "m"), "search history: expected at least one trial"),
        (lambda: figure.search_importances({}, "m"), "search importances: expected at least one key"),
        (lambda: figure.search_slices({}, [], "m"), "search slices: expected at least one key"),
    ],
)
def test_figure_of_nothing_says_what_it_lacks(make, message):
    with pytest.raises(ValueError, match=message):
        make()
