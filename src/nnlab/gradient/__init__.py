"""Ways to compute the gradient, one config word apart."""

from nnlab.gradient.autograd import Autograd
from nnlab.gradient.base import Gradient, Precision

__all__ = ["Autograd", "Gradient", "Precision"]
