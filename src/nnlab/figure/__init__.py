"""Pictures of runs: arrays in, a matplotlib Figure out; no pyplot, no files."""

from nnlab.figure.column_histograms import CategoryColumn, NumberColumn, column_histograms
from nnlab.figure.confusion_matrix import confusion_matrix
from nnlab.figure.decision_map import decision_map
from nnlab.figure.durations import durations
from nnlab.figure.film import decision_film, value_film
from nnlab.figure.fitted_curve import fitted_curve
from nnlab.figure.group_curves import GroupCurves, group_curves
from nnlab.figure.heat_map import heat_map
from nnlab.figure.learning_curves import learning_curves
from nnlab.figure.map_grid import Decisions, Values, map_grid, value_map_grid
from nnlab.figure.norms import norms
from nnlab.figure.parallel import parallel_coordinates
from nnlab.figure.performance_profile import performance_profile
from nnlab.figure.png import png
from nnlab.figure.predicted_vs_true import predicted_vs_true
from nnlab.figure.random_networks import random_networks
from nnlab.figure.search import search_history, search_importances, search_slices
from nnlab.figure.sensitivity import SettingCurve, sensitivity
from nnlab.figure.strip import StripRow, strip
from nnlab.figure.svg import svg
from nnlab.figure.time_to_target import time_to_target
from nnlab.figure.tuning_budget import tuning_budget
from nnlab.figure.value_map import value_map
from nnlab.figure.weights import Spread, weights

__all__ = [
    "CategoryColumn",
    "Decisions",
    "GroupCurves",
    "NumberColumn",
    "SettingCurve",
    "Spread",
    "StripRow",
    "Values",
    "column_histograms",
    "confusion_matrix",
    "decision_film",
    "decision_map",
    "durations",
    "fitted_curve",
    "group_curves",
    "heat_map",
    "learning_curves",
    "map_grid",
    "norms",
    "parallel_coordinates",
    "performance_profile",
    "png",
    "predicted_vs_true",
    "random_networks",
    "search_history",
    "search_importances",
    "search_slices",
    "sensitivity",
    "strip",
    "svg",
    "time_to_target",
    "tuning_budget",
    "value_film",
    "value_map",
    "value_map_grid",
    "weights",
]
