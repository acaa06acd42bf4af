"""What watches a training."""

from nnlab.callback.base import Callback, FitView
from nnlab.callback.early_stopping import EarlyStopping
from nnlab.callback.histogram import Histograms

__all__ = ["Callback", "EarlyStopping", "FitView", "Histograms"]
