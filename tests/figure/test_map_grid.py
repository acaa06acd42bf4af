"""Maps of several models side by side."""

import numpy as np
import pytest

from nnlab.figure import Decisions, Values, decision_map, map_grid, png, value_map_grid

GRID = np.linspace(-1.0, 1.0, 11)
PLANE = np.add.outer(GRID, GRID)
CODES = (PLANE > 0).astype(int)
POINTS = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
CLASSES = (POINTS.sum(axis=1) > 0).astype(int)
CLASS_NAMES, INPUTS = ["inner", "outer"], ["x1", "x2"]


def decisions(name="a", grid=GRID, codes=CODES):
    return Decisions(name, grid, grid, codes, None, {"train": (POINTS, CLASSES)})


@pytest.mark.parametrize(("num", "drawn"), [(1, 1), (2, 2), (12, 12), (13, 12)])
def test_map_grid_at_most_twelve_maps_with_their_names(num, drawn):
    figure = map_grid([decisions(f"g{k}") for k in range(num)], CLASS_NAMES, INPUTS, "maps")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"g{k}" for k in range(drawn)]
    heading = "maps" if num == drawn else "maps (the first 12 of 13)"
    assert heading in [text.get_text() for text in figure.texts]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["inner", "outer", "train"]


def test_map_grid_draws_the_same_map_as_a_decision_map():
    alone = decision_map(GRID, GRID, CODES, 0.5 + abs(PLANE) / 4, {}, CLASS_NAMES, INPUTS, "a").axes[0]
    beside = map_grid([Decisions("a", GRID, GRID, CODES, 0.5 + abs(PLANE) / 4)], CLASS_NAMES, INPUTS).axes[0]
    np.testing.assert_array_equal(alone.images[0].get_array(), beside.images[0].get_array())
    assert alone.get_xlim() == beside.get_xlim()


def test_map_grid_many_rows_are_thinned_and_all_panels_show_the_same_plane():
    figure = map_grid([decisions("a"), decisions("b", 2 * GRID)], CLASS_NAMES, INPUTS)
    assert sum(len(line.get_xdata()) for line in figure.axes[0].lines) == 300
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == pytest.approx((-2.2, 2.2))
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim() == pytest.approx((-2.2, 2.2))


def test_value_map_grid_all_maps_have_the_colours_of_one_bar():
    splits = {"test": (POINTS, POINTS.sum(axis=1))}
    figure = value_map_grid([Values("a", GRID, GRID, PLANE, splits), Values("b", GRID, GRID, 9 * PLANE)], "y", INPUTS)
    *maps, bar = figure.axes
    most = abs(POINTS.sum(axis=1)).max()
    assert [axes.images[0].get_clim() for axes in maps] == [pytest.approx((-most, most))] * 2
    assert bar.get_ylabel() == "y"


def test_value_map_grid_predictions_that_are_not_finite_are_drawn():
    png(value_map_grid([Values("a", GRID, GRID, np.full_like(PLANE, np.nan))], "y", INPUTS))
