"""The training and evaluation loop, with plain arguments."""

from nnlab.trainer.result import FitResult
from nnlab.trainer.trainer import Trainer

__all__ = ["FitResult", "Trainer"]
