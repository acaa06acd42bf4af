"""How the learning rate moves over a run: one class for each schedule."""

from nnlab.schedule.base import Schedule, Unit
from nnlab.schedule.constant import Constant
from nnlab.schedule.cosine import Cosine
from nnlab.schedule.decay import Exponential, Step
from nnlab.schedule.one_cycle import OneCycle
from nnlab.schedule.plateau import Plateau

__all__ = ["Constant", "Cosine", "Exponential", "OneCycle", "Plateau", "Schedule", "Step", "Unit"]
