"""Mean and range over the runs of each group."""

import numpy as np
import pytest

from nnlab.figure import GroupCurves, group_curves, png
from nnlab.figure.group_curves import band_of

EPOCHS = np.arange(1, 6)


def run(*values):
    return np.arange(1, len(values) + 1), np.array(values, dtype=float)


def finite(line):
    y = np.asarray(line.get_ydata(), dtype=float)
    return {int(x): float(v) for x, v in zip(line.get_xdata(), y, strict=True) if np.isfinite(v)}


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_group_curves_two_groups_train_above_valid_with_mean_and_range():
    first = GroupCurves("adam", [run(4, 2), run(2, 1)], [run(5, 3), run(3, 2)])
    second = GroupCurves("sgd", [run(6, 6), run(4, 4)], [run(7, 7), run(5, 5)])
    figure = group_curves([first, second], "loss")
    train, valid = figure.axes
    assert train.get_position().y0 > valid.get_position().y1
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["train", "valid"]
    assert (train.get_ylabel(), valid.get_xlabel()) == ("loss", "epoch")
    for axes, expected in ((train, [{1: 3, 2: 1.5}, {1: 5, 2: 5}]), (valid, [{1: 4, 2: 2.5}, {1: 6, 2: 6}])):
        # of each group the thin part, which is empty here, and the thick one
        assert [finite(line) for line in axes.lines] == [{}, expected[0], {}, expected[1]]
    low, high = (train.collections[0].get_datalim(train.transData).intervaly for _ in range(1)).__next__()
    assert (low, high) == (1, 4)
    assert train.get_ylim() == valid.get_ylim()
    assert train.get_ylim()[0] < 1
    assert train.get_ylim()[1] > 7
    assert legend_texts(figure) == ["adam", "sgd"]


def test_band_runs_of_unequal_length_is_whole_as_long_as_all_last():
    band = band_of([run(4, 3, 2, 1), run(2, 1), run(6, 5, np.nan, np.nan)])
    np.testing.assert_array_equal(band.epochs, [1, 2, 3, 4])
    np.testing.assert_allclose(band.mean, [4, 3, 2, 1])
    np.testing.assert_allclose(band.low, [2, 1, 2, 1])
    np.testing.assert_allclose(band.high, [6, 5, 2, 1])
    np.testing.assert_array_equal(band.is_whole, [True, True, False, False])


def test_band_run_evaluated_less_often_counts_by_a_straight_line():
    band = band_of([(np.array([1, 3]), np.array([1.0, 3.0])), (np.array([1, 2, 3]), np.array([0.0, 0.0, 0.0]))])
    np.testing.assert_allclose(band.mean, [0.5, 1.0, 1.5])
    assert band.is_whole.all()


def test_group_curves_where_some_runs_ended_the_line_goes_on_thin_from_the_last_common_epoch():
    figure = group_curves([GroupCurves("a", [run(4, 3, 2, 1), run(2, 1)])], "loss")
    thin, thick = figure.axes[0].lines
    assert finite(thick) == {1: 3, 2: 2}
    assert finite(thin) == {2: 2, 3: 2, 4: 1}
    assert thin.get_linewidth() < thick.get_linewidth()


@pytest.mark.parametrize(
    ("values", "scale"),
    [([31.0, 1.0], "log"), ([29.0, 1.0], "linear"), ([100.0, -1.0], "linear"), ([100.0, 0.0], "linear")],
)
def test_group_curves_scale_is_logarithmic_beyond_a_factor_of_30_of_positive_values(values, scale):
    figure = group_curves([GroupCurves("a", [run(*values)], [run(1, 1)])], "loss")
    assert [axes.get_yscale() for axes in figure.axes] == [scale] * 2


def test_group_curves_no_validation_split_has_one_panel():
    figure = group_curves([GroupCurves("a", [run(2, 1)])], "loss")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["train"]
    assert figure.axes[0].get_xlabel() == "epoch"
    assert not figure.axes[0].collections  # one run has no range


def test_group_curves_unequal_numbers_of_runs_stand_beside_the_names():
    figure = group_curves([GroupCurves("a", [run(2, 1)] * 3), GroupCurves("b", [run(2, 1)] * 1200)], "loss")
    assert legend_texts(figure) == ["a (3)", "b (1,200)"]


def test_group_curves_beyond_ten_groups_the_rest_is_grey_without_a_band():
    figure = group_curves([GroupCurves(f"g{k}", [run(k, k), run(k + 1, k + 1)]) for k in range(1, 61)], "loss")
    colors = [line.get_color() for line in figure.axes[0].lines[1::2]]
    assert len(colors) == 60
    assert set(colors[10:]) == {"#BDBDBD"}
    assert "#BDBDBD" not in colors[:10]
    assert len(figure.axes[0].collections) == 10
    assert legend_texts(figure)[-1] == "50 others, not told apart"
    assert len(legend_texts(figure)) == 11


@pytest.mark.parametrize(
    "curves",
    [[run(np.nan, np.inf)], [run(1.0)], [run(0.0, 0.0)], [run(1e-300, 1e300)], [run(3.0, 3.0), run(np.nan, np.nan)]],
    ids=["never finite", "one epoch", "equal", "extreme", "one run diverged at once"],
)
def test_group_curves_any_history_is_drawn(curves):
    figure = group_curves([GroupCurves("a", curves, curves)], "loss")
    png(figure)
    said = {text.get_text() for text in figure.axes[0].texts}
    assert ("no finite value" in said) == (not any(np.isfinite(values).any() for _, values in curves))


def test_group_curves_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="at least one run with a curve, found none"):
        group_curves([GroupCurves("a")], "loss")
