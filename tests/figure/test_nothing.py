"""Figures of nothing: each says itself what it lacks."""

import numpy as np
import pytest

from nnlab import figure
from nnlab.figure.graph import graph

NO_NUMBERS, NO_TABLE = np.empty(0), np.empty((0, 0))
NO_CODES = np.empty((0, 0), dtype=int)
PLANE = {"class_names": ["a", "b"], "input_names": ["x1", "x2"], "title": "t"}

#: a call -> what its error says
NOTHING = {
    "column histograms": (
        lambda: figure.column_histograms([], {"train": 1}, "t"),
        "column histograms: expected at least one column",
    ),
    "strip": (lambda: figure.strip([], "m", []), "strip plot: expected at least one group"),
    "group curves": (lambda: figure.group_curves([], "m"), "group curves: expected at least one run with a curve"),
    "group curves of groups without any": (
        lambda: figure.group_curves([figure.GroupCurves("a", [], [])], "m"),
        "group curves: expected at least one run with a curve",
    ),
    "heat map without columns": (
        lambda: figure.heat_map([], ["a"], np.empty((1, 0)), "m", "x", "y"),
        "heat map: expected at least one setting on the x axis",
    ),
    "heat map without rows": (
        lambda: figure.heat_map(["a"], [], np.empty((0, 1)), "m", "x", "y"),
        "heat map: expected at least one setting on the y axis",
    ),
    "sensitivity": (lambda: figure.sensitivity([], "m", "x"), "sensitivity: expected at least one group"),
    "parallel coordinates without settings": (
        lambda: figure.parallel_coordinates({}, [0.5], "m"),
        "parallel coordinates: expected at least one setting",
    ),
    "parallel coordinates without groups": (
        lambda: figure.parallel_coordinates({"lr": []}, [], "m"),
        "parallel coordinates: expected at least one group",
    ),
    "performance profile": (
        lambda: figure.performance_profile([], np.ones(1), np.empty((0, 1))),
        "performance profile: expected at least one group",
    ),
    "performance profile without axis": (
        lambda: figure.performance_profile(["a"], NO_NUMBERS, np.empty((1, 0))),
        "performance profile: expected at least one τ",
    ),
    "time to target": (lambda: figure.time_to_target([], [], "t"), "time to target: expected at least one group"),
    "tuning budget": (
        lambda: figure.tuning_budget([], np.empty((0, 2)), "m"),
        "tuning budget: expected at least one group",
    ),
    "tuning budget without trials": (
        lambda: figure.tuning_budget(["a"], np.empty((1, 0)), "m"),
        "tuning budget: expected at least one trial",
    ),
    "decision maps": (lambda: figure.map_grid([], ["a"], ["x1", "x2"]), "decision maps: expected at least one map"),
    "value maps": (lambda: figure.value_map_grid([], "z", ["x1", "x2"]), "predictions: expected at least one map"),
    "decision map": (
        lambda: figure.decision_map(NO_NUMBERS, NO_NUMBERS, NO_CODES, None, {}, **PLANE),
        "map: expected at least two values of each input, found 0 and 0",
    ),
    "decision map of a single point": (
        lambda: figure.decision_map(np.ones(3), np.ones(1), np.ones((1, 3), dtype=int), None, {}, **PLANE),
        "map: expected at least two values of each input, found 3 and 1",
    ),
    "value map": (
        lambda: figure.value_map(NO_NUMBERS, NO_NUMBERS, NO_TABLE, {}, "z", ["x1", "x2"], "t"),
        "map: expected at least two values of each input, found 0 and 0",
    ),
    "confusion matrix": (
        lambda: figure.confusion_matrix(NO_CODES, [], "t"),
        "confusion matrix: expected at least one class",
    ),
    "learning curves without columns": (
        lambda: figure.learning_curves({"epoch": [1]}, "t"),
        "learning curves: expected columns train/… or valid/…, found epoch",
    ),
    "learning curves without rows": (
        lambda: figure.learning_curves({"epoch": [], "train/loss": []}, "t"),
        "learning curves: expected at least one evaluation",
    ),
    "weights": (
        lambda: figure.weights([], NO_TABLE, figure.Spread(NO_TABLE, NO_NUMBERS, NO_NUMBERS), None, "t"),
        "weights: expected at least one tensor",
    ),
    "predicted against true without splits": (
        lambda: figure.predicted_vs_true({}, ["y"], "t"),
        "predicted against true: expected at least one split",
    ),
    "predicted against true without targets": (
        lambda: figure.predicted_vs_true({"train": (np.empty((3, 0)),) * 2}, [], "t"),
        "predicted against true: expected at least one target",
    ),
    "fitted curve": (
        lambda: figure.fitted_curve(NO_NUMBERS, None, NO_NUMBERS, {}, "x", "y", "t"),
        "fitted curve: expected at least one value of the input",
    ),
    "durations": (lambda: figure.durations({}, "t"), "durations: expected at least one duration"),
    "random networks": (
        lambda: figure.random_networks(np.ones(2), np.empty((0, 2)), np.empty((0, 2)), "x", "y", "t"),
        "random networks: expected at least one network",
    ),
    "graph": (lambda: graph([], [], "t"), "graph: expected at least one node"),
}


@pytest.mark.parametrize(("build", "expected"), NOTHING.values(), ids=NOTHING)
def test_figure_of_nothing_is_refused_in_its_own_words(build, expected):
    with pytest.raises(ValueError, match="expected") as caught:
        build()
    assert expected in str(caught.value)


#: groups and splits without rows, which a figure shows as such
EMPTY_PARTS = {
    "strip": lambda: figure.strip([figure.StripRow("a", [])], "m", [(np.nan,) * 3]),
    "sensitivity": lambda: figure.sensitivity([figure.SettingCurve("a", NO_NUMBERS, NO_NUMBERS)], "m", "x"),
    "time to target": lambda: figure.time_to_target(["a"], [[]], "t"),
    "predicted against true": lambda: figure.predicted_vs_true({"train": (np.empty((0, 1)),) * 2}, ["y"], "t"),
}


@pytest.mark.parametrize("build", EMPTY_PARTS.values(), ids=EMPTY_PARTS)
def test_figure_with_an_empty_part_is_drawn(build):
    assert figure.png(build())[1] > 200
