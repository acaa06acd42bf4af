"""Ways to compute the gradient, one config word apart."""

from nnlab.gradient.autograd import Autograd
from nnlab.gradient.backprop import Backprop
from nnlab.gradient.base import Gradient, Precision
from nnlab.gradient.finite_difference import FiniteDifference

__all__ = ["Autograd", "Backprop", "FiniteDifference", "Gradient", "Precision"]
