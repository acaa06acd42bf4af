"""Models: modules that map rows of inputs to rows of outputs."""

from nnlab.model.activation import ACTIVATIONS, activation
from nnlab.model.dropout import Dropout, seed_dropout
from nnlab.model.mlp import MLP, linear
from nnlab.model.slope import Slope, slope_of

__all__ = ["ACTIVATIONS", "MLP", "Dropout", "Slope", "activation", "linear", "seed_dropout", "slope_of"]
