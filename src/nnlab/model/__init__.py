"""Models: modules that map rows of inputs to rows of outputs."""

from nnlab.model.activation import ACTIVATIONS, activation
from nnlab.model.dropout import Dropout, seed_dropout
from nnlab.model.mlp import MLP, linear

__all__ = ["ACTIVATIONS", "MLP", "Dropout", "activation", "linear", "seed_dropout"]
