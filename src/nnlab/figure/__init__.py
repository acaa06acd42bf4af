"""Pictures of runs: arrays in, a matplotlib Figure out; no pyplot, no files."""

from nnlab.figure.confusion_matrix import confusion_matrix
from nnlab.figure.decision_map import decision_map
from nnlab.figure.fitted_curve import fitted_curve
from nnlab.figure.learning_curves import learning_curves
from nnlab.figure.png import png
from nnlab.figure.predicted_vs_true import predicted_vs_true
from nnlab.figure.value_map import value_map

__all__ = [
    "confusion_matrix",
    "decision_map",
    "fitted_curve",
    "learning_curves",
    "png",
    "predicted_vs_true",
    "value_map",
]
