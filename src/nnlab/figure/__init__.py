"""Pictures of runs: arrays in, a matplotlib Figure out; no pyplot, no files."""

from nnlab.figure.confusion_matrix import confusion_matrix
from nnlab.figure.decision_map import decision_map
from nnlab.figure.durations import durations
from nnlab.figure.fitted_curve import fitted_curve
from nnlab.figure.learning_curves import learning_curves
from nnlab.figure.png import png
from nnlab.figure.predicted_vs_true import predicted_vs_true
from nnlab.figure.random_networks import random_networks
from nnlab.figure.value_map import value_map
from nnlab.figure.weights import Spread, weights

__all__ = [
    "Spread",
    "confusion_matrix",
    "decision_map",
    "durations",
    "fitted_curve",
    "learning_curves",
    "png",
    "predicted_vs_true",
    "random_networks",
    "value_map",
    "weights",
]
