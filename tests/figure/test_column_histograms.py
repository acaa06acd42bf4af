"""Columns by split: what the bars and lines are, and that odd columns stay readable."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from nnlab.figure import CategoryColumn, NumberColumn, column_histograms, png, svg
from nnlab.figure.column_histograms import MOST_BARS, bin_edges

RNG = np.random.default_rng(0)
SIZES = {"train": 600, "valid": 200, "test": 100}


def numbers(draw) -> dict[str, np.ndarray]:
    return {name: draw(size) for name, size in SIZES.items()}


def drawn(*columns: NumberColumn | CategoryColumn, note: str = "") -> Figure:
    return column_histograms(columns, SIZES, "house: columns", note)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts] + [
        text.get_text() for axes in figure.axes for text in (*axes.texts, *axes.get_yticklabels())
    ]


def test_number_column_shows_each_splits_shares_as_numpy_counts_them() -> None:
    values = numbers(lambda size: RNG.normal(size=size))
    (axes,) = drawn(NumberColumn("x", values)).axes
    steps = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    everything = np.concatenate(list(values.values()))
    edges = np.linspace(everything.min(), everything.max(), 10)  # twice the cube root of 100 rows: 9 bins
    for patch, of_split in zip(steps, values.values(), strict=True):
        shares, found, _ = patch.get_data()
        np.testing.assert_allclose(found, edges, rtol=1e-12)
        np.testing.assert_allclose(shares, np.histogram(of_split, edges)[0] / len(of_split), atol=1e-12)
        assert shares.sum() == pytest.approx(1)
    assert [patch.get_fill() for patch in steps] == [True, False, False]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 2.0, 1.0], [-0.5, 0.5, 1.5, 2.5]),  # a bin for each whole number
        ([7.0], [6.5, 7.5]),
        ([3.25], [1.625, 4.875]),  # of a constant, half of it to either side
        ([0.5, 1.0], [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
    ],
)
def test_bin_edges_fit_the_values(values, expected) -> None:
    np.testing.assert_allclose(bin_edges(np.array(values), 2), expected)


def test_category_column_shows_shares_and_adds_up_the_rare_ones() -> None:
    counts = {name: np.append(np.full(11, size // 20), size - 11 * (size // 20)) for name, size in SIZES.items()}
    labels = [f"city {place}" for place in range(12)]
    (axes,) = drawn(CategoryColumn("city", labels, counts)).axes
    assert len(axes.patches) == 3 * MOST_BARS
    # The commonest stands last in the column's own order; five of the others are named no more.
    assert [text.get_text() for text in axes.get_yticklabels()] == [f"city {n}" for n in (0, 1, 2, 3, 4, 5, 11)] + [
        "5 others"
    ]
    widths = [patch.get_width() for patch in axes.patches[:MOST_BARS]]
    np.testing.assert_allclose(widths, [0.05] * 6 + [0.45, 0.25])


def test_target_splits_and_what_is_left_out_are_named() -> None:
    figure = drawn(NumberColumn("price $", numbers(np.ones), is_target=True), note="3 more columns not shown")
    assert r"price \$ (target)" in texts(figure)
    assert "3 more columns not shown" in " ".join(texts(figure))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["train (600)", "valid (200)", "test (100)"]


@pytest.mark.parametrize(
    "column",
    [
        NumberColumn("constant", numbers(np.zeros)),
        NumberColumn("nothing", numbers(lambda size: np.full(size, np.nan))),
        NumberColumn("huge", numbers(lambda size: RNG.choice([-3e38, 3e38], size).astype(np.float32))),
        NumberColumn("far", numbers(lambda size: 1e9 + RNG.random(size))),
        NumberColumn("_x^$", {"train": np.ones(1), "valid": np.zeros(0)}),
        CategoryColumn("empty", ["a", "b"], {"train": np.zeros(2, int), "valid": np.array([1, 0])}),
        CategoryColumn("one", ["\u4e2d\u6587 with a name that is longer than its place"], {"train": np.ones(1, int)}),
    ],
    ids=lambda column: column.name,
)
def test_odd_columns_are_drawn_without_a_warning(column) -> None:
    figure = drawn(column)
    assert png(figure)[0].startswith(b"\x89PNG")
    assert svg(figure).startswith(b"<svg")
