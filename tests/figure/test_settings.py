"""A metric against one, two and more settings."""

import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.patches import Rectangle

from nnlab.figure import SettingCurve, heat_map, parallel_coordinates, png, sensitivity
from nnlab.figure.sensitivity import means_of

#: the dark end of cividis
DARKEST = to_rgba("#00224E")
LRS = [0.001, 0.001, 0.01, 0.01, 0.1, 0.1]


def mean_line(axes, number=0):
    return [line for line in axes.lines if line.get_linestyle() != "None" and len(line.get_xdata())][number]


def crosses(axes):
    return [line for line in axes.lines if line.get_marker() == "x"]


def rings(axes):
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_markerfacecolor() == "none"]


def test_sensitivity_line_passes_the_means_and_breaks_where_a_run_was_lost():
    curve = SettingCurve("sgd", LRS, [4, 2, np.nan, 1, 2, 2])
    axes = sensitivity([curve], "valid/loss", "optim.lr").axes[0]
    np.testing.assert_array_equal(means_of(curve)[0], [0.001, 0.01, 0.1])
    np.testing.assert_array_equal(means_of(curve)[1], [3, np.nan, 2])
    np.testing.assert_array_equal(mean_line(axes).get_ydata(), [3, np.nan, 2])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), curve.values)
    (lost,) = crosses(axes)
    assert list(lost.get_xdata()) == [0.01]
    assert lost.get_ydata()[0] > 1  # above the panel
    assert rings(axes) == [(0.1, 2)]
    assert axes.get_xscale() == "log"


def test_sensitivity_best_mean_follows_the_direction_of_the_metric():
    curve = SettingCurve("a", [1, 2, 3], [0.1, 0.9, 0.5])
    assert rings(sensitivity([curve], "m", "x", grows=True).axes[0]) == [(2, 0.9)]
    assert rings(sensitivity([curve], "m", "x").axes[0]) == [(1, 0.1)]


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ([0.01, 0.1], "log"),
        ([1, 9.9], "linear"),
        ([0, 0.001, 0.1], "symlog"),
        ([0, 0.1, 0.5], "linear"),
        ([-1, 100], "linear"),
        ([3], "linear"),
    ],
)
def test_sensitivity_setting_is_logarithmic_from_a_factor_of_ten_on(settings, scale):
    axes = sensitivity([SettingCurve("a", settings, np.ones(len(settings)))], "m", "x").axes[0]
    assert axes.get_xscale() == scale
    png(axes.figure)


def test_sensitivity_crosses_of_groups_stand_one_above_the_other():
    curves = [SettingCurve(f"g{k}", LRS, [1, 1, 1, 1, np.nan, 1]) for k in range(4)]
    heights = [line.get_ydata()[0] for line in crosses(sensitivity(curves, "m", "x").axes[0])]
    assert len(set(heights)) == 4
    many = [SettingCurve(f"g{k}", LRS, [1, 1, 1, 1, np.nan, 1]) for k in range(60)]
    figure = sensitivity(many, "m", "x")
    assert len({line.get_ydata()[0] for line in crosses(figure.axes[0])}) == 1
    assert figure.get_figheight() < 7


@pytest.mark.parametrize("values", [[np.nan] * 6, [1] * 6, [np.inf, 1, 1, 1, 1, 1]])
def test_sensitivity_any_values_are_drawn(values):
    figure = sensitivity([SettingCurve("a", LRS, values)], "m", "x")
    png(figure)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert ("no run came to its end" in said) == (not np.isfinite(values).any())


def outlines(axes):
    frames = [patch for patch in axes.patches if not patch.get_fill()]
    return {tuple(np.add(patch.get_xy(), 0.5)) for patch in frames}


def hatched(axes):
    return {tuple(np.add(patch.get_xy(), 0.5)) for patch in axes.patches if patch.get_hatch()}


@pytest.mark.parametrize(("grows", "best"), [(False, (0, 1)), (True, (1, 1))])
def test_heat_map_cells_have_numbers_and_the_best_an_outline(grows, best):
    values = np.array([[0.5, np.nan, 0.25], [0.125, 0.75, 0.3]])
    figure = heat_map(["8", "16", "32"], ["sgd", "adam"], values, "valid/loss", "model.width", "optim", grows)
    axes, bar = figure.axes
    numbers = {text.get_position(): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): "0.5", (2, 0): "0.25", (0, 1): "0.125", (1, 1): "0.75", (2, 1): "0.3"}
    assert outlines(axes) == {best}
    assert hatched(axes) == {(1, 0)}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["best", "no run"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["sgd", "adam"]
    assert axes.images[0].origin == "lower"
    assert bar.get_ylabel() == "valid/loss"
    shades = axes.images[0].get_cmap()
    norm = axes.images[0].norm
    dark = shades(norm(0.75 if grows else 0.125))
    assert dark == pytest.approx(DARKEST, abs=0.005)


def test_heat_map_numbers_contrast_with_their_cells():
    axes = heat_map(["a", "b"], ["c"], np.array([[0.0, 1.0]]), "m", "x", "y").axes[0]
    assert [text.get_color() for text in axes.texts] == ["white", "#222222"]


def test_heat_map_many_cells_have_no_numbers_and_some_names():
    values = np.random.default_rng(0).random((40, 50))
    names = [f"{1.234 * k:.3f}" for k in range(50)]
    axes = heat_map(names, names[:40], values, "m", "x", "y").axes[0]
    assert not axes.texts
    assert 5 < len(axes.get_xticklabels()) < 50


@pytest.mark.parametrize(("values", "is_log"), [([[1, 31]], True), ([[1, 29]], False), ([[0, 31]], False)])
def test_heat_map_colours_are_logarithmic_beyond_a_factor_of_30(values, is_log):
    figure = heat_map(["a", "b"], ["c"], np.array(values), "m", "x", "y")
    assert isinstance(figure.axes[0].images[0].norm, LogNorm) == is_log
    png(figure)
    assert not [text for text in figure.axes[1].get_yticklabels() if "$" in text.get_text()]


@pytest.mark.parametrize("values", [[[np.nan]], [[0.5]], [[0.0, 0.0]], [[-2.0, -2.0]]])
def test_heat_map_degenerate_values_are_drawn(values):
    values = np.array(values)
    figure = heat_map(["a", "b"][: values.shape[1]], ["c"], values, "m", "x", "y")
    png(figure)
    assert len(hatched(figure.axes[0])) == np.isnan(values).sum()
    assert len([patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]) >= 1


SETTINGS = {
    "optim": ["adam", "sgd", "adam", "sgd"],
    "optim.lr": ["0.001", "0.01", "0.1", "1"],
    "model.width": ["8", "16", "12", "8"],
}


def drawn_lines(axes, num_axes=4):
    return [line for line in axes.lines if len(line.get_xdata()) == num_axes]


def test_parallel_coordinates_lines_pass_their_values_and_the_best_is_drawn_last_and_thick():
    axes = parallel_coordinates(SETTINGS, [0.4, 0.1, 0.3, 0.2], "valid/loss").axes[0]
    lines = drawn_lines(axes)
    # from the worst to the best: the groups 0, 2, 3, 1; the best on top of the metric's axis
    np.testing.assert_allclose([line.get_ydata()[3] for line in lines], [0, 1 / 3, 2 / 3, 1], atol=1e-12)
    expected = [[0, 0, 0], [0, 2 / 3, 0.5], [1, 1, 0], [1, 1 / 3, 1]]
    np.testing.assert_allclose([line.get_ydata()[:3] for line in lines], expected, atol=0.016)
    assert [line.get_linewidth() > 2 for line in lines] == [False, False, False, True]
    assert [line.get_zorder() for line in lines] == sorted(line.get_zorder() for line in lines)
    assert to_rgba(lines[-1].get_color()) == pytest.approx(DARKEST, abs=0.005)


def test_parallel_coordinates_metric_that_grows_has_its_greatest_on_top():
    axes = parallel_coordinates(SETTINGS, [0.4, 0.1, 0.3, 0.2], "m", grows=True).axes[0]
    best = drawn_lines(axes)[-1]
    np.testing.assert_allclose(best.get_ydata(), [0, 0, 0, 1], atol=0.016)
    assert to_rgba(best.get_color()) == pytest.approx(DARKEST, abs=0.005)


def test_parallel_coordinates_names_and_values_stand_at_the_axes():
    axes = parallel_coordinates(SETTINGS, [0.4, 0.1, 0.3, 0.2], "valid/loss").axes[0]
    labels = {(text.xy[0], round(text.xy[1], 3)): text.get_text() for text in axes.texts if text.xy[1] < 1}
    assert labels[(0, 0)] == "adam"
    assert labels[(1, 0.333)] == "0.01"
    assert labels[(2, 0.5)] == "12"
    assert {"optim", "optim.lr", "model.width", "valid/loss"} <= {text.get_text() for text in axes.texts}


def test_parallel_coordinates_group_without_a_result_ends_in_a_cross_below():
    figure = parallel_coordinates(SETTINGS, [0.4, np.nan, 0.3, 0.2], "valid/loss")
    axes = figure.axes[0]
    (lost,) = crosses(axes)
    assert lost.get_ydata()[0] < 0
    assert drawn_lines(axes)[0].get_ydata()[3] == lost.get_ydata()[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["the best", "no run came to its end"]


def test_parallel_coordinates_zero_beside_powers_of_ten_has_a_place_of_its_own():
    axes = parallel_coordinates({"wd": ["0", "0.001", "0.1"], "b": ["x"] * 3}, [3.0, 2.0, 1.0], "m").axes[0]
    heights = [line.get_ydata()[0] for line in drawn_lines(axes, 3)]
    np.testing.assert_allclose(heights, [0, 1 / 3, 1], atol=0.016)


@pytest.mark.parametrize("values", [[np.nan] * 4, [0.5] * 4, [1e-9, 1, 1e9, np.inf]], ids=["lost", "equal", "extreme"])
def test_parallel_coordinates_any_result_is_drawn(values):
    png(parallel_coordinates(SETTINGS, values, "m"))


def test_parallel_coordinates_one_group_and_one_value_are_drawn():
    png(parallel_coordinates({key: column[:1] for key, column in SETTINGS.items()}, [0.5], "m"))
    png(parallel_coordinates({"a": ["none", "8", "nan"], "b": ["", "x", "inf"]}, [0.5, 0.6, 0.7], "m"))
