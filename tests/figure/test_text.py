"""Names that must fit their place."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from nnlab.figure import png
from nnlab.figure.palette import MOST_GROUPS, OTHERS, line_style
from nnlab.figure.text import fitted, folded, short_names, width_of

LONG = "optim=adam, model.width=100, optim.lr=0.001"


@pytest.mark.parametrize("text", [LONG, "WWWWWWWW", "iiiiiiiiiiiiiiii", "Σ_ünïcode ≤ 0.1"])
@pytest.mark.parametrize("size", [7.5, 9.0, 12.0])
def test_width_of_is_what_matplotlib_draws_and_rather_more(text, size):
    figure = Figure(figsize=(10, 1))
    drawn = figure.text(0, 0, text, fontsize=size)
    png(figure)
    inches = drawn.get_window_extent().width / figure.dpi
    assert inches <= width_of(text, size) * 1.01
    assert width_of(text, size) <= 1.12 * inches + 0.05


@pytest.mark.parametrize("inches", [0.4, 1.0, 2.0, 9.0])
def test_fitted_text_is_as_long_as_its_place_allows(inches):
    shown = fitted(LONG, inches, 9)
    assert width_of(shown, 9) <= inches
    assert (shown == LONG) == (inches == 9.0)
    assert inches == 9.0 or width_of(shown, 9) > inches - 0.2


@pytest.mark.parametrize(
    ("text", "inches", "lines"),
    [
        ("short", 1.0, ["short"]),
        (LONG, 2.3, ["optim=adam, model.width=100,", "optim.lr=0.001"]),
        ("model.activation", 1.0, ["model.", "activation"]),
        ("$a$", 1.0, [r"\$a\$"]),
    ],
)
def test_folded_text_breaks_after_commas_and_signs(text, inches, lines):
    assert folded(text, inches, 9).split("\n") == lines


def test_folded_text_too_long_for_all_lines_loses_its_middle():
    first, second = folded("x" * 100, 1.0, 9).split("\n")
    assert "…" not in first
    assert "…" in second
    assert all(width_of(line, 9) <= 1.0 for line in (first, second))


@pytest.mark.parametrize(
    ("names", "expected", "remark"),
    [
        (["a=1, b=2", "a=2, b=2"], ["1, 2", "2, 2"], "groups: a, b"),
        (["w=[8, 8], b=2", "w=[9, 9], b=2"], ["[8, 8], 2", "[9, 9], 2"], "groups: w, b"),
        (["a=1, b=2", "a=2"], ["a=1, b=2", "a=2"], ""),
        (["all the runs"], ["all the runs"], ""),
        (["a=x=y"], ["x=y"], "groups: a"),
    ],
)
def test_short_names_without_room_keep_values_where_keys_agree(names, expected, remark):
    assert short_names(names, 0.1, 9) == (expected, remark)
    assert short_names(names, 9.0, 9) == (names, "")


def test_line_styles_of_ten_groups_differ_and_in_grey_print_too():
    styles = [line_style(index) for index in range(MOST_GROUPS)]
    assert len({(style.color, str(style.dashes)) for style in styles}) == MOST_GROUPS
    assert len({style.marker for style in styles}) == MOST_GROUPS
    assert all(str(a.dashes) != str(b.dashes) for a, b in pairwise(styles))
    assert line_style(MOST_GROUPS) == line_style(10**6) == OTHERS


def test_line_colours_are_dark_enough_for_white_paper():
    # relative luminance after WCAG 2.1; white has 1
    for index in range(MOST_GROUPS):
        channels = np.array([int(line_style(index).color[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) > 2
