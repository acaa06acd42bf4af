"""Norms by layer: which line shows what, and that one layer and many stay readable."""

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from nnlab.figure import norms, png, svg

STEPS = np.arange(0, 101, 10)


def flow(num: int, is_scale: Sequence[bool] | None = None, names: Sequence[str] | None = None) -> Figure:
    """Weights from 1 to L times their start, gradients that vanish by tens towards the input."""
    weight = np.outer(1 + STEPS / 50, np.arange(1, num + 1))
    gradient = np.outer(1 / (1 + STEPS), 10.0 ** -np.arange(num)[::-1])
    gradient[0] = np.nan
    names = names or [*(f"linear{number}" for number in range(1, num)), "output"]
    return norms(STEPS, names, is_scale or [False] * num, weight, gradient)


def lightness(color: str) -> float:
    return float(np.dot(to_rgb(color), (0.299, 0.587, 0.114)))


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes if axes.legend_ for text in axes.legend_.get_texts()]


def test_norms_lines_are_the_layers_norms_over_the_steps() -> None:
    gradient, weight = flow(3).axes[:2]
    assert [axes.get_title(loc="left") for axes in (gradient, weight)] == ["gradient norm", "weight norm"]
    for layer, line in enumerate(weight.lines):
        np.testing.assert_array_equal(line.get_xdata(), STEPS)
        np.testing.assert_array_equal(line.get_ydata(), (1 + STEPS / 50) * (layer + 1))
    for layer, line in enumerate(gradient.lines):
        assert np.isnan(line.get_ydata()[0])
        np.testing.assert_allclose(line.get_ydata()[1:], 10.0 ** (layer - 2) / (1 + STEPS[1:]), rtol=1e-12)
    assert (gradient.get_yscale(), weight.get_yscale()) == ("log", "linear")


@pytest.mark.parametrize("num", [2, 3, 12, 13, 20, 200])
def test_norms_colours_grow_lighter_with_depth_and_are_the_same_in_both_panels(num: int) -> None:
    gradient, weight = flow(num).axes[:2]
    colors = [line.get_color() for line in weight.lines]
    assert [line.get_color() for line in gradient.lines] == colors
    shades = [lightness(color) for color in colors]
    assert len(shades) == num
    assert sorted(shades) == shades
    assert shades[-1] - shades[0] > 0.4


def test_norms_few_layers_are_named_one_by_one_and_many_by_their_ends() -> None:
    assert labels(flow(3)) == ["linear1", "linear2", "output"]
    assert labels(flow(12))[-1] == "output"
    figure = flow(20)
    assert labels(figure) == []
    bar = figure.axes[2]
    png(figure)
    assert [text.get_text() for text in bar.get_yticklabels()] == ["linear1", "output"]
    assert bar.get_title(loc="left") == "20 layers"
    assert bar.yaxis_inverted()


def test_norms_of_norm_layers_are_dashed() -> None:
    lines = flow(4, [False, True, False, False]).axes[1].lines
    assert [line.is_dashed() for line in lines] == [False, True, False, False]
    assert labels(flow(13, [True] * 6 + [False] * 7)) == ["norm layers"]


def remark(figure: Figure) -> str:
    (found,) = [text.get_text() for text in figure.texts if text.get_text().startswith("Euclidean")]
    return found


def test_norms_of_zero_have_no_place_on_a_logarithmic_axis_and_it_is_said() -> None:
    assert "left out" not in remark(flow(3))
    gradient = np.array([[1.0], [1e-3], [0.0]])
    figure = norms(np.arange(3), ["output"], [False], np.ones((3, 1)), gradient)
    assert "norms of 0 are left out" in remark(figure)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [1, 1e-3, np.nan])
    figure = norms(np.arange(3), ["output"], [False], np.ones((3, 1)), np.array([[1.0], [0.9], [0.0]]))
    assert "left out" not in remark(figure)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [1, 0.9, 0])


ODD = {
    "one row": (np.array([0]), np.ones((1, 2)), np.full((1, 2), np.nan)),
    "no gradient": (np.arange(4), np.ones((4, 2)), np.full((4, 2), np.nan)),
    "not finite": (np.arange(4), np.full((4, 2), np.inf), np.full((4, 2), np.nan)),
    "all zero": (np.arange(4), np.zeros((4, 2)), np.zeros((4, 2))),
    "extreme": (np.arange(3), np.array([[1e-300, 1], [1e99, 2], [1e300, 3]]), np.ones((3, 2))),
    "many rows": (np.arange(10_000), np.ones((10_000, 2)), np.random.default_rng(0).uniform(0, 1, (10_000, 2))),
}


@pytest.mark.parametrize("case", ODD.values(), ids=ODD)
def test_norms_any_numbers_are_drawn_and_give_the_same_picture_again(
    case: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    steps, weight, gradient = case

    def figure() -> Figure:
        return norms(steps, ["a", "b"], [False, True], weight, gradient)

    assert png(figure()) == png(figure())
    assert svg(figure()) == svg(figure())


@pytest.mark.parametrize("num", [1, 3, 12, 13, 40])
def test_norms_texts_lie_within_the_picture(num: int) -> None:
    names = [f"a rather long name of a layer, and then some more of it {number}" for number in range(num)]
    figure = flow(num, [number % 2 == 1 for number in range(num)], names)
    png(figure)
    ticks = {label for axes in figure.axes[:2] for label in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    drawn = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible() and text not in ticks]
    assert len(drawn) >= 7
    for text in drawn:
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, text.get_text()
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, text.get_text()


@pytest.mark.parametrize("num", [1, 13])
def test_norms_awkward_names_are_shown_literally(num: int) -> None:
    name = "_layer_$a$ \\frac"
    figure = flow(num, names=[name] * num)
    png(figure)
    shown = [text._preprocess_math(text.get_text()) for text in figure.findobj(Text) if text.get_text()]
    assert [content for content, is_formula in shown if content == name and is_formula is not True]
    assert not [content for content, is_formula in shown if is_formula is True]


def test_norms_of_nothing_are_refused_in_their_own_words() -> None:
    with pytest.raises(ValueError, match="norms: expected at least one layer, found none"):
        norms(np.arange(2), [], [], np.empty((2, 0)), np.empty((2, 0)))
    with pytest.raises(ValueError, match="norms: expected at least one moment, found none"):
        norms(np.empty(0), ["a"], [False], np.empty((0, 1)), np.empty((0, 1)))
