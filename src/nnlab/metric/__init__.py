"""Figures over a whole split, beside the loss: one class for each."""

from nnlab.metric.accuracy import Accuracy, BalancedAccuracy
from nnlab.metric.auroc import AUROC
from nnlab.metric.base import Metric
from nnlab.metric.choice import auto
from nnlab.metric.f1 import F1
from nnlab.metric.log_loss import LogLoss
from nnlab.metric.r2 import R2
from nnlab.metric.readout import Readout
from nnlab.metric.regression import MAE, RMSE

__all__ = ["AUROC", "F1", "MAE", "R2", "RMSE", "Accuracy", "BalancedAccuracy", "LogLoss", "Metric", "Readout", "auto"]
