"""Drawings that stand in one page together."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from nnlab.figure import (
    Decisions,
    GroupCurves,
    StripRow,
    Values,
    decision_map,
    group_curves,
    heat_map,
    map_grid,
    png,
    predicted_vs_true,
    strip,
    svg,
    value_map_grid,
)

GRID = np.linspace(-1.0, 1.0, 5)
NAME = "--><script>alert(1)</script>\"'&$a$ _b 中"


def curves(name="a", slope=1.0):
    return group_curves([GroupCurves(name, [(np.arange(1, 20), slope / np.arange(1, 20))] * 2)], "loss", name)


FIGURES = {
    "curves": curves,
    "strip": lambda name="a": strip([StripRow(name, [1, 2, np.nan])], "m", [(1.5, 1, 2)]),
    "heat_map": lambda name="a": heat_map([name, "b"], ["c"], np.array([[1, np.nan]]), "m", "x", "y"),
    "map_grid": lambda name="a": map_grid(
        [Decisions(name, GRID, GRID, np.eye(5, dtype=int), None)], ["a", "b"], ["x1", "x2"]
    ),
}


def identifiers(drawing):
    return set(re.findall(r'\bid="([^"]*)"', drawing))


@pytest.mark.parametrize("build", FIGURES.values(), ids=FIGURES)
def test_svg_same_figure_gives_the_same_bytes_with_every_reference_within(build):
    drawing = svg(build()).decode()
    assert svg(build()).decode() == drawing
    assert drawing.startswith("<svg ")
    assert drawing.rstrip().endswith("</svg>")
    references = set(re.findall(r'(?:href="|url\()#([^")]*)', drawing))
    assert references
    assert references <= identifiers(drawing)
    outside = [target for target in re.findall(r'href="([^"]*)"', drawing) if target[0] != "#"]
    assert all(target.startswith("data:image/png;base64,") for target in outside)
    assert set(re.findall(r'https?://[^"\s<]*', drawing)) <= {
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg",
    }
    assert not re.search(r"<style|<!DOCTYPE|<\?xml|<metadata|<text|20\d\d-\d\d", drawing)


def test_svg_of_two_figures_have_no_identifier_in_common():
    first, second = (svg(curves(slope=slope)).decode() for slope in (1.0, 0.9))
    assert identifiers(first)
    assert not identifiers(first) & identifiers(second)


@pytest.mark.parametrize("build", FIGURES.values(), ids=FIGURES)
def test_svg_any_name_neither_breaks_the_drawing_nor_gets_into_the_page(build):
    drawing = svg(build(NAME))
    root = ET.fromstring(drawing)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert b"script" not in drawing
    assert not [element for element in root.iter() if not str(element.tag).startswith("{http://www.w3.org/2000/svg}")]


def test_svg_size_is_the_figures_and_scales():
    figure = curves()
    root = ET.fromstring(svg(figure))
    width, height = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(width, abs=0.01)
    assert [float(number) for number in root.attrib["viewBox"].split()] == pytest.approx(
        [0, 0, width, height], abs=0.01
    )


def cloud(num):
    values = np.linspace(0, 1, num)[:, None]
    return predicted_vs_true({"train": (values, values**2)}, ["y"], "cloud")


def count(drawing, kind):
    return sum(element.tag.endswith(f"}}{kind}") for element in ET.fromstring(drawing).iter())


@pytest.mark.parametrize(("num", "is_picture"), [(1000, False), (1001, True)])
def test_svg_cloud_of_more_than_a_thousand_points_is_one_picture(num, is_picture):
    drawing = svg(cloud(num))
    assert count(drawing, "image") == is_picture
    assert (count(drawing, "use") > num) != is_picture
    assert len(drawing) < 250_000


def value_maps():
    return value_map_grid([Values("a", GRID, GRID, np.eye(5))], "y", ["x1", "x2"])


def decisions():
    return decision_map(GRID, GRID, np.eye(5, dtype=int), None, {}, ["a", "b"], ["x1", "x2"], "map")


@pytest.mark.parametrize(("build", "is_in_blocks"), [(value_maps, False), (decisions, True)])
def test_svg_map_is_embedded_point_by_point_and_smooth_where_it_is_in_pixels(build, is_in_blocks):
    drawing = svg(build()).decode()
    assert re.search(r'<image [^>]*width="5"[^>]*>', drawing.replace("\n", " "))
    assert ("pixelated" in drawing) == is_in_blocks


def rasterized(figure):
    return [artist.get_rasterized() for axes in figure.axes for artist in (*axes.lines, *axes.collections)]


@pytest.mark.parametrize("build", [value_maps, decisions, lambda: cloud(2000)])
def test_svg_leaves_the_figure_as_it_was(build):
    figure = build()
    before = rasterized(figure)
    pixels, first = png(figure), svg(figure)
    assert png(figure) == pixels
    assert svg(figure) == first
    assert rasterized(figure) == before
    assert svg(build()) == first


def test_svg_long_noisy_curve_stays_small():
    values = np.random.default_rng(0).lognormal(size=(2, 10_000))
    epochs = np.arange(1, 10_001)
    drawing = svg(group_curves([GroupCurves("a", [(epochs, values[0])], [(epochs, values[1])])], "loss"))
    assert len(drawing) < 500_000
    assert not re.search(r"^L -?\d+\.\d{3}", drawing.decode(), re.MULTILINE)
