"""Parts of one's own for nnlab: a data set, a model, a loss, an optimizer, a metric, a callback and a logger.

nnlab imports this package once it is granted with ``plugins=[my_lab]``; the folder ``configs`` beside it gives each
part a name and its settings.
"""

from my_lab.callback import Sharpness
from my_lab.data import waves
from my_lab.logger import JsonLines
from my_lab.loss import Focal
from my_lab.metric import Matthews
from my_lab.model import ResidualMLP
from my_lab.optim import Lion

__all__ = ["Focal", "JsonLines", "Lion", "Matthews", "ResidualMLP", "Sharpness", "waves"]
