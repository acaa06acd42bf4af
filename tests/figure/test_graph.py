"""The picture of a graph, and where its boxes go."""

import struct
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text

from nnlab.figure.graph import Box, graph
from nnlab.figure.layered import layered
from nnlab.figure.png import png

CHAIN = [
    Box("loss", "scalar", "operation", 1, ((1, ""), (4, ""))),
    Box("layer2", "[8, 3]", "operation", 2, ((5, ""), (2, ""), (6, "T"))),
    Box("relu", "[8, 5]", "operation", 3, ((3, ""),)),
    Box("layer1", "[8, 5]", "operation", 4, ((7, ""), (8, ""), (9, "T"))),
    Box("target", "[8]", "constant"),
    Box("b2", "[3]", "parameter"),
    Box("w2", "[3, 5]", "parameter"),
    Box("b1", "[5]", "parameter"),
    Box("inputs", "[8, 2]", "constant"),
    Box("w1", "[5, 2]", "parameter"),
]
SPARE = [Box(f"a_rather_long_name_{number}.weight", "[3, 3]", "parameter") for number in range(6)]


def texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def patches(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]


def centre(figure, word):
    (text,) = [text for text in texts(figure) if text.get_text() == word]
    return text.get_position()


def test_graph_arrows_lead_down_and_operations_stand_in_one_line():
    figure = graph(CHAIN, [], "a run")
    for child in CHAIN:
        for parent, _ in child.parents:
            assert centre(figure, CHAIN[parent].name)[1] > centre(figure, child.name)[1]
    x = [centre(figure, word)[0] for word in ("loss", "layer2", "relu", "layer1")]
    assert np.ptp(x) < 0.1  # inches
    assert centre(figure, "b2")[0] < centre(figure, "relu")[0] < centre(figure, "w2")[0]
    num_arrows = sum(len(box.parents) for box in CHAIN)
    assert len(figure.findobj(FancyArrowPatch)) == num_arrows == 9


@pytest.mark.parametrize("aside", [[], SPARE], ids=["all reached", "some not reached"])
def test_graph_boxes_and_texts_lie_within_the_picture_and_apart(aside):
    figure = graph(CHAIN, aside, "a rather long title " * 6, ["a remark", "another one"])
    png(figure)
    boxes = [patch.get_window_extent() for patch in patches(figure)]
    assert len(boxes) == len(CHAIN) + len(aside)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    for extent in [*boxes, *(text.get_window_extent() for text in texts(figure))]:
        assert figure.bbox.x0 <= extent.x0 <= extent.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= extent.y0 <= extent.y1 <= figure.bbox.y1


def test_graph_every_text_of_a_box_lies_within_it():
    wide = [Box("WWWWWWWWWWWWWWWWWWWWWWWWW", "[1]", "operation", 100), Box("i" * 30, "[10000000, 1000000]", "constant")]
    figure = graph(wide, SPARE[:1], "a run")
    png(figure)
    boxes = [patch.get_window_extent() for patch in patches(figure)]
    for word in [text for box in [*wide, *SPARE[:1]] for text in (box.name, box.detail)]:
        extent = next(text for text in texts(figure) if text.get_text() == word).get_window_extent()
        assert any(box.x0 < extent.x0 and extent.x1 < box.x1 and box.y0 < extent.y0 < box.y1 for box in boxes), word


def test_graph_what_is_not_reached_is_dashed_and_named():
    styles = [patch.get_linestyle() for patch in patches(graph(CHAIN, SPARE[:2], "a run"))]
    assert [style in ("-", "solid") for style in styles] == [True] * len(CHAIN) + [False] * 2
    shown = [text.get_text() for text in texts(graph(CHAIN, SPARE[:2], "a run"))]
    assert {"not reached:", "not reached", *(box.name for box in SPARE[:2])} <= set(shown)
    assert "not reached" not in [text.get_text() for text in texts(graph(CHAIN, [], "a run"))]


def test_graph_awkward_names_are_shown_literally_and_the_picture_repeats():
    name = "_cost_$a$ \\frac"
    boxes = [Box(name, "scalar", "operation", 1, ((1, name),)), Box(f"{name}1", "", "parameter")]
    figure = graph(boxes, [], name, [name])
    content, width, height = png(figure)
    assert struct.unpack(">II", content[16:24]) == (width, height)
    assert png(graph(boxes, [], name, [name]))[0] == content
    read = [text._preprocess_math(text.get_text()) for text in texts(figure)]
    assert sum(name in shown for shown, _ in read) == 5  # the title, two boxes, an arrow, the remark
    assert not any(is_formula is True for _, is_formula in read)


def test_layered_longest_way_decides_and_a_passing_arrow_keeps_clear_of_boxes():
    # 0 was computed from 1 and 3, 1 from 2, 2 from 3: the arrow from 3 to 0 passes beside 2 and 1.
    layout = layered([1.0, 1.0, 1.0, 1.0], [(1, 0), (3, 0), (2, 1), (3, 2)], [True] * 4, gap=0.2)
    assert layout.layer == [0, 1, 2, 3]
    assert [len(lanes) for lanes in layout.lanes] == [0, 2, 0, 0]
    for lane, box in zip(layout.lanes[1], (2, 1), strict=True):
        assert abs(lane - layout.x[box]) >= 0.5 + 0.2
    assert min(layout.x) == pytest.approx(0.5)
    assert layout.width >= 1 + 0.2


def test_layered_box_that_two_others_use_stands_between_those_that_only_one_does():
    # 1 uses 3 and 4, 2 uses 5 and 3: only with 3 in the middle no arrows cross.
    layout = layered([1.0] * 6, [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (3, 2)], [True] * 6, gap=0.2)
    assert [leaf for _, leaf in sorted((layout.x[leaf], leaf) for leaf in (3, 4, 5))] in ([4, 3, 5], [5, 3, 4])
    assert (layout.x[1] < layout.x[2]) == (layout.x[4] < layout.x[5])


def test_layered_boxes_of_one_layer_keep_their_distance():
    widths = [1.0, *np.random.default_rng(0).uniform(0.3, 2.0, 12)]
    layout = layered(widths, [(leaf, 0) for leaf in range(1, 13)], [True] + [False] * 12, gap=0.25)
    order = sorted(range(1, 13), key=lambda leaf: layout.x[leaf])
    for left, right in pairwise(order):
        assert layout.x[right] - layout.x[left] == pytest.approx((widths[left] + widths[right]) / 2 + 0.25)
    assert order == list(range(1, 13))  # as the parents were given
    assert layout.width == pytest.approx(sum(widths[1:]) + 11 * 0.25)
