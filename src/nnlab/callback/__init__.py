"""What watches a training."""

from nnlab.callback.activation_matters import ActivationMatters
from nnlab.callback.base import Callback, FitView
from nnlab.callback.early_stopping import EarlyStopping
from nnlab.callback.film import Film
from nnlab.callback.histogram import Histograms
from nnlab.callback.matmul import Matmul
from nnlab.callback.norms import Norms
from nnlab.callback.progress import Progress
from nnlab.callback.trace import Trace
from nnlab.callback.weight_average import WeightAverage

__all__ = [
    "ActivationMatters",
    "Callback",
    "EarlyStopping",
    "Film",
    "FitView",
    "Histograms",
    "Matmul",
    "Norms",
    "Progress",
    "Trace",
    "WeightAverage",
]
