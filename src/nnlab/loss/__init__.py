"""What training makes small: one class for each loss."""

from nnlab.loss.base import Loss, Penalty
from nnlab.loss.bce import BCE
from nnlab.loss.bce_probability import BCEProbability
from nnlab.loss.choice import auto
from nnlab.loss.cross_entropy import CrossEntropy
from nnlab.loss.hinge import Hinge
from nnlab.loss.huber import Huber, SmoothL1
from nnlab.loss.l1 import L1
from nnlab.loss.mse import MSE, HalfMSE
from nnlab.loss.polynomial import Polynomial

__all__ = [
    "BCE",
    "L1",
    "MSE",
    "BCEProbability",
    "CrossEntropy",
    "HalfMSE",
    "Hinge",
    "Huber",
    "Loss",
    "Penalty",
    "Polynomial",
    "SmoothL1",
    "auto",
]
