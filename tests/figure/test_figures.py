"""Every figure: what is in it, and that texts are shown as they are written."""

import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from nnlab.figure import (
    Decisions,
    GroupCurves,
    SettingCurve,
    Spread,
    StripRow,
    Values,
    confusion_matrix,
    decision_map,
    durations,
    fitted_curve,
    group_curves,
    heat_map,
    learning_curves,
    map_grid,
    parallel_coordinates,
    performance_profile,
    png,
    predicted_vs_true,
    random_networks,
    sensitivity,
    strip,
    time_to_target,
    tuning_budget,
    value_map,
    value_map_grid,
    weights,
)

AWKWARD = "_cost_$a$ \\frac"
GRID = np.linspace(-1.0, 1.0, 21)
PLANE = np.add.outer(GRID, GRID)
POINTS = np.random.default_rng(0).uniform(-1, 1, (50, 2))
SUM = POINTS.sum(axis=1)
CODES = (SUM > 0).astype(int)


def history(num_epochs: int, *metrics: str) -> dict[str, Any]:
    epoch = np.arange(1, num_epochs + 1)
    columns: dict[str, Any] = {"epoch": epoch, "step": 10 * epoch, "time_s": 0.1 * epoch}
    for metric in metrics:
        columns |= {f"train/{metric}": 1 / epoch, f"valid/{metric}": 1.5 / epoch}
    return columns | {"optim/lr": np.full(num_epochs, 0.1)}


EDGES = np.linspace(-1.0, 1.0, 46)


def spread(*tensors: np.ndarray) -> Spread:
    counts = [np.histogram(numbers, EDGES)[0] for numbers in tensors]
    return Spread(np.stack(counts), np.array([t.mean() for t in tensors]), np.array([t.std() for t in tensors]))


EPOCHS = np.arange(1, 6)
NONE = (np.nan, np.nan)
NORMAL, EVEN = 0.2 * np.random.default_rng(1).standard_normal((2, 5000)).clip(-4, 4), np.linspace(-1, 1, 90)


FIGURES: dict[str, Callable[[str], Figure]] = {
    "learning_curves": lambda name: learning_curves(history(20, "loss", name), name, best_epoch=7),
    "fitted_curve": lambda name: fitted_curve(
        GRID, 0 * GRID, GRID**2, {"train": (POINTS[:, 0], SUM), "valid": (POINTS[:, 1], SUM)}, name, name, name
    ),
    "decision_map": lambda name: decision_map(
        GRID, GRID, (PLANE > 0).astype(int), 0.5 + abs(PLANE) / 4, {"train": (POINTS, CODES)}, [name, "b"],
        [name, "x2"], name,
    ),
    "decision_map_without_probabilities": lambda name: decision_map(
        GRID, GRID, (PLANE > 0).astype(int), None, {"train": (POINTS, CODES)}, [name, "b"], [name, "x2"], name
    ),
    "value_map": lambda name: value_map(GRID, GRID, PLANE, {"test": (POINTS, SUM)}, name, [name, "x2"], name),
    "confusion_matrix": lambda name: confusion_matrix(np.array([[5, 1], [0, 9]]), [name, "b"], name),
    "predicted_vs_true": lambda name: predicted_vs_true({"train": (POINTS, POINTS + 0.1)}, [name, "t2"], name),
    "durations": lambda name: durations({name: 0.171, "product": 0.000584}, name),
    "random_networks": lambda name: random_networks(GRID, PLANE[:9], PLANE[:9] ** 2, name, name, name),
    "weights": lambda name: weights(
        [name, "b"], np.stack([EDGES, EDGES]), spread(NORMAL[0], EVEN), spread(NORMAL[1], EVEN), name
    ),
    "group_curves": lambda name: group_curves(
        [GroupCurves(f"{name}{k}", [(EPOCHS, k / EPOCHS)] * 2, [(EPOCHS, 2 * k / EPOCHS)]) for k in (1, 2)], name, name
    ),
    "strip": lambda name: strip(
        [StripRow(name, [1.0, 2.0, np.nan, np.nan]), StripRow("b", [3.0])], name, [(1.5, -9.0, 9.0), (3.0, *NONE)],
        title=name,
    ),
    "sensitivity": lambda name: sensitivity(
        [SettingCurve(name, [1.0, 10.0, 100.0], [1.0, 0.5, np.nan])], name, name, title=name
    ),
    "heat_map": lambda name: heat_map(
        [name, "b"], [name, "c", "d"], np.array([[1, 2], [3, np.nan], [0.01, 0.1]]), name, name, name, title=name
    ),
    "parallel_coordinates": lambda name: parallel_coordinates(
        {name: [name, "b"], "optim.lr": ["0.1", "1"], "model.width": ["8", "9"]}, [1.0, np.nan], name, title=name
    ),
    "map_grid": lambda name: map_grid(
        [Decisions(name, GRID, GRID, (PLANE > 0).astype(int), None, {"train": (POINTS, CODES)})] * 3,
        [name, "b"], [name, "x2"], name,
    ),
    "value_map_grid": lambda name: value_map_grid(
        [Values(name, GRID, GRID, PLANE, {"test": (POINTS, SUM)})] * 2, name, [name, "x2"], name
    ),
    "performance_profile": lambda name: performance_profile(
        [name, "b"], np.array([1.0, 2.0, 4.0]), np.array([[0.5, 0.5, 1.0], [0.5, 1.0, 1.0]]), name, name
    ),
    "time_to_target": lambda name: time_to_target([name, "b"], [[10, np.inf], [np.nan]], name, name, name),
    "tuning_budget": lambda name: tuning_budget([name, "b"], np.array([[3.0, 2.0], [4.0, np.nan]]), name, title=name),
    "weights_of_one_number": lambda name: weights([name], EDGES[None], spread(EVEN[:1]), spread(EVEN[5:6]), name),
}  # fmt: skip


def texts(figure: Figure) -> list[str]:
    """What a reader sees: every text after matplotlib's own reading of ``$``."""
    png(figure)
    shown = []
    for text in figure.findobj(Text):
        content, is_formula = text._preprocess_math(text.get_text())
        if content and text.get_visible():
            shown.append(f"formula {content}" if is_formula is True else content)
    return shown


@pytest.mark.parametrize("build", FIGURES.values(), ids=FIGURES)
def test_figure_any_awkward_names_are_shown_literally(build: Callable[[str], Figure]) -> None:
    shown = texts(build(AWKWARD))
    assert [text for text in shown if AWKWARD in text]
    assert not [text for text in shown if text.startswith("formula")]


@pytest.mark.parametrize("build", FIGURES.values(), ids=FIGURES)
def test_png_any_figure_gives_a_picture_of_the_stated_size_and_the_same_one_again(
    build: Callable[[str], Figure],
) -> None:
    content, width, height = png(build("name"))
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (width, height)
    assert png(build("name")) == (content, width, height)


@pytest.mark.parametrize("build", FIGURES.values(), ids=FIGURES)
def test_figure_any_texts_lie_within_the_picture(build: Callable[[str], Figure]) -> None:
    figure = build("a rather long name, and then some more of it")
    png(figure)
    # matplotlib keeps tick labels beyond an axis' limits, which it does not draw
    ticks = {label for axes in figure.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())}
    drawn = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible() and text not in ticks]
    assert len(drawn) >= 4
    for text in drawn:
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, text.get_text()
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, text.get_text()


def test_learning_curves_columns_one_panel_a_metric_with_both_splits_and_the_best_epoch() -> None:
    figure = learning_curves(history(20, "loss", "accuracy"), "a run", best_epoch=7)
    loss, accuracy = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "accuracy"]
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train", "valid", "best: epoch 7"]
    train, valid = loss.lines[:2]
    np.testing.assert_array_equal(train.get_ydata(), 1 / np.arange(1, 21))
    np.testing.assert_array_equal(valid.get_ydata(), 1.5 / np.arange(1, 21))
    assert "a run" in texts(figure)


def test_learning_curves_no_validation_split_draws_train_alone() -> None:
    figure = learning_curves({"epoch": [1, 2], "train/loss": [2.0, 1.5]}, "a run")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train"]
    assert figure.axes[0].get_yscale() == "linear"


@pytest.mark.parametrize(
    ("epoch", "loss"),
    [
        ([1], [0.5]),
        ([1, 2, 3], [0.5, np.nan, np.inf]),
        ([1, 2], [np.nan, np.nan]),
        ([1, 2], [0.0, -1.0]),
        (list(range(1, 10_001)), (1 / np.arange(1, 10_001)).tolist()),
        ([1, 2, 3], [1e-300, 1e99, 1e300]),
    ],
    ids=["one epoch", "diverged", "never finite", "not positive", "long", "extreme"],
)
def test_learning_curves_any_history_is_drawn(epoch: list[int], loss: list[float]) -> None:
    figure = learning_curves({"epoch": epoch, "train/loss": loss}, "a run", best_epoch=1)
    shown = texts(figure)
    assert ("no finite value" in shown) == (not np.isfinite(loss).any())


def test_learning_curves_value_between_gaps_has_a_marker() -> None:
    values = [1.0] * 50
    values[20] = values[22] = np.nan
    line = learning_curves({"epoch": range(1, 51), "train/loss": values}, "a run").axes[0].lines[0]
    assert line.get_markevery() == [21]


def test_learning_curves_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match=r"train/… or valid/…, found epoch, optim/lr"):
        learning_curves({"epoch": [1], "optim/lr": [0.1]}, "a run")


def test_fitted_curve_untrained_model_far_away_leaves_the_data_readable() -> None:
    splits = {"train": (GRID, GRID**2)}
    axes = fitted_curve(GRID, np.full(21, 1e6), GRID**2, splits, "x", "y", "a run").axes[0]
    assert axes.get_ylim()[1] < 2
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["train (21)", "model before training", "model after training"]
    np.testing.assert_array_equal(axes.lines[-1].get_ydata(), GRID**2)


@pytest.mark.parametrize("num_rows", [2000, 2001, 10_000])
def test_points_many_rows_at_most_2000_are_drawn_and_the_legend_says_so(num_rows: int) -> None:
    x = np.linspace(-1, 1, num_rows)
    axes = fitted_curve(GRID, None, GRID, {"train": (x, x)}, "x", "y", "a run").axes[0]
    drawn = np.asarray(axes.lines[0].get_xdata())
    assert len(drawn) == 2000
    assert (drawn[0], drawn[-1]) == (-1, 1)
    assert np.all(np.diff(drawn) > 0)
    label = axes.get_legend().get_texts()[0].get_text()
    assert label == ("train (2,000)" if num_rows == 2000 else f"train (2,000 of {num_rows:,} shown)")


def test_decision_map_confidence_shades_the_class_colour() -> None:
    codes = np.array([[0, 1], [1, 0]])
    confidence = np.array([[1.0, 0.5], [1.0, 0.75]])
    pair = np.array([0.0, 1.0])
    figure = decision_map(pair, pair, codes, confidence, {}, ["in", "out"], ["x1", "x2"], "a run")
    (sure_blue, unsure_orange), (sure_orange, half_blue) = np.asarray(figure.axes[0].images[0].get_array())
    blue, orange = np.array([0, 0x72, 0xB2]) / 255, np.array([0xE6, 0x9F, 0]) / 255
    for pixel, strength, color in [
        (sure_blue, 0.5, blue),
        (half_blue, 0.28, blue),
        (sure_orange, 0.5, orange),
        (unsure_orange, 0.06, orange),
    ]:
        np.testing.assert_allclose(pixel, 1 - strength * (1 - color), atol=1e-9)
    assert figure.axes[0].images[0].get_extent() == pytest.approx([-0.5, 1.5, -0.5, 1.5])


def test_decision_map_train_is_filled_and_held_out_rows_are_hollow() -> None:
    splits = {"train": (POINTS, CODES), "test": (POINTS, CODES)}
    axes = decision_map(GRID, GRID, PLANE > 0, None, splits, ["in", "out"], ["x1", "x2"], "a run").axes[0]
    faces = [line.get_markerfacecolor() for line in axes.lines]
    assert faces == ["#0072B2", "#E69F00", "white", "white"]
    assert [len(line.get_xdata()) for line in axes.lines] == 2 * [int((CODES == 0).sum()), int((CODES == 1).sum())]


def test_value_map_colours_follow_the_target_and_are_even_around_zero() -> None:
    figure = value_map(GRID, GRID, 100 * PLANE, {"train": (POINTS, SUM)}, "y", ["x1", "x2"], "a run")
    most = abs(SUM).max()
    assert figure.axes[0].images[0].get_clim() == pytest.approx((-most, most))
    assert figure.axes[0].collections[0].get_clim() == pytest.approx((-most, most))
    assert figure.axes[1].get_ylabel() == "y"


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([[5, 1], [0, 9]], ["5\n83%", "1\n17%", "0", "9\n100%"]),
        ([[999, 1], [1, 3]], ["999\n>99%", "1\n<1%", "1\n25%", "3\n75%"]),
        ([[0, 0], [2, 2]], ["0", "0", "2\n50%", "2\n50%"]),
    ],
)
def test_confusion_matrix_counts_and_row_shares_are_written(counts: list[list[int]], expected: list[str]) -> None:
    axes = confusion_matrix(np.array(counts), ["a", "b"], "a run").axes[0]
    assert [text.get_text() for text in axes.texts] == expected
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_confusion_matrix_ten_classes_no_two_numbers_touch() -> None:
    figure = confusion_matrix(np.full((10, 10), 9999), [f"class {code}" for code in range(10)], "digits")
    png(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not [1 for index, box in enumerate(boxes) if box.count_overlaps(boxes[:index])]


def test_predicted_vs_true_two_targets_two_panels_with_the_identity() -> None:
    figure = predicted_vs_true({"train": (2 * POINTS, POINTS), "test": (POINTS, POINTS)}, ["a [m]", "b"], "a run")
    assert [axes.get_xlabel() for axes in figure.axes] == ["true a [m]", "true b"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["predicted a [m]", "predicted b"]
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_xdata(), POINTS[:, 1])
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), 2 * POINTS[:, 1])
    assert figure.axes[0].lines[-1].get_slope() == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train (50)", "test (50)", "equal"]


def bars(axes: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Heights and edges of each histogram in a panel."""
    return [(patch.get_data().values, patch.get_data().edges) for patch in axes.patches if isinstance(patch, StepPatch)]


def test_weights_before_is_filled_and_after_a_line_over_the_same_bins() -> None:
    before, after = spread(NORMAL[0], EVEN[::9]), spread(NORMAL[1], EVEN[::-9])
    figure = weights(["w", "b"], np.stack([EDGES, EDGES]), before, after, "a run")
    for index, axes in enumerate(figure.axes):
        assert [patch.get_fill() for patch in axes.patches] == [True, False]
        for (heights, edges), moment in zip(bars(axes), (before, after), strict=True):
            np.testing.assert_array_equal(heights, moment.counts[index])
            np.testing.assert_array_equal(edges, EDGES)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["w", "b"]
    # ten numbers, 18/89 apart: from -1 upwards, and from 1 downwards
    assert figure.axes[1].get_xlabel() == "−0.09 ± 0.58 before, 0.09 ± 0.58 after"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["before training", "after training"]


def test_weights_of_some_hundreds_are_drawn_in_bins_three_times_as_wide() -> None:
    before = spread(EVEN)
    ((heights, edges),) = bars(weights(["w"], EDGES[None], before, None, "a run").axes[0])
    np.testing.assert_array_equal(heights, [before.counts[0][i : i + 3].sum() for i in range(0, 45, 3)])
    np.testing.assert_allclose(edges, np.linspace(-1, 1, 16))


def test_weights_without_training_show_the_initial_ones_alone() -> None:
    figure = weights(["w"], EDGES[None], spread(NORMAL[0]), None, "a run")
    assert len(figure.axes[0].patches) == 1
    assert figure.axes[0].get_xlabel().endswith(" before")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["before training"]


def test_weights_that_start_all_equal_do_not_flatten_the_trained_ones_and_the_panel_says_so() -> None:
    figure = weights(["w"], EDGES[None], spread(np.zeros(5000)), spread(NORMAL[0]), "a run")
    tallest = np.histogram(NORMAL[0], EDGES)[0].max()
    axes = figure.axes[0]
    assert axes.get_ylim()[1] == pytest.approx(1.08 * 4 * tallest)
    assert axes.get_title(loc="right") == "before: up to 5,000"
    assert axes.get_xlabel().startswith("0 before, ")


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        (1.0, 0.0, "1"),
        (-198.3627, 0.0, "−198"),
        (-0.0371, 0.408, "−0.04 ± 0.41"),
        (-0.0004, 0.058, "0.000 ± 0.058"),
        (-0.18, 8.8e-9, "−0.18"),
        (1234.0, 56.0, "1234 ± 56"),
        (3e-9, 2e-8, "3e−09 ± 2e−08"),
        (1e20, 3e21, "1e+20 ± 3e+21"),
        (0.5, 99.7, "0 ± 100"),
    ],
)
def test_weights_mean_is_written_as_far_as_the_deviation_goes(mean: float, std: float, expected: str) -> None:
    moment = Spread(np.ones((1, 45)), np.array([mean]), np.array([std]))
    assert weights(["w"], EDGES[None], moment, None, "a run").axes[0].get_xlabel() == f"{expected} before"


@pytest.mark.parametrize(("num", "drawn"), [(1, 1), (6, 6), (12, 12), (13, 12), (30, 12)])
def test_weights_of_many_tensors_show_the_first_six_and_the_last_six(num: int, drawn: int) -> None:
    names = [f"tensor {number}" for number in range(num)]
    figure = weights(names, np.tile(EDGES, (num, 1)), spread(*[EVEN] * num), None, "a run")
    assert len(figure.axes) == drawn
    shown = [axes.get_title(loc="left") for axes in figure.axes]
    assert shown == (names if num <= 12 else [*names[:6], *names[-6:]])
    heading = "a run" if num <= 12 else f"a run (the first 6 and the last 6 of {num})"
    assert heading in texts(figure)


def test_figure_non_finite_predictions_are_drawn_without_a_warning() -> None:
    broken = np.where(PLANE > 0, np.nan, PLANE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png(value_map(GRID, GRID, broken, {"train": (POINTS, SUM)}, "y", ["x1", "x2"], "a run"))
        png(value_map(GRID, GRID, np.full_like(PLANE, np.nan), {}, "y", ["x1", "x2"], "a run"))
        png(fitted_curve(GRID, None, np.full(21, np.inf), {"train": (GRID, GRID)}, "x", "y", "a run"))
        png(predicted_vs_true({"train": (np.full((3, 1), np.nan), np.ones((3, 1)))}, ["y"], "a run"))
        png(decision_map(GRID, GRID, PLANE > 0, broken, {}, ["a", "b"], ["x1", "x2"], "a run"))


def test_figure_import_brings_neither_torch_nor_pyplot() -> None:
    code = "import sys, nnlab.figure; print({'torch', 'matplotlib.pyplot', 'hydra'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_durations_bars_are_as_long_as_told_and_numbered() -> None:
    figure = durations({"loop": 0.171, "product": 0.000584}, "title")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([171, 0.584])
    low, high = axes.get_xlim()
    assert low < 0.584 < 171 <= high
    shown = texts(figure)
    assert shown.index("171 ms") < shown.index("0.584 ms")


def test_random_networks_curve_has_the_same_colour_in_both_panels() -> None:
    figure = random_networks(GRID, PLANE[:3], PLANE[:3] ** 2, "x", "y", "title")
    left, right = ([line for line in axes.lines if len(line.get_xdata()) == len(GRID)] for axes in figure.axes)
    assert [line.get_color() for line in left] == [line.get_color() for line in right]
    assert len({line.get_color() for line in left}) == 3
    np.testing.assert_array_equal([line.get_ydata() for line in left], PLANE[:3])
    np.testing.assert_array_equal([line.get_ydata() for line in right], PLANE[:3] ** 2)
