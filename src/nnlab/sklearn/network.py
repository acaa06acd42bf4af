"""The network of an estimator, with scikit-learn's initial weights."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from nnlab.model.mlp import MLP, Norm


def new_network(
    num_inputs: int,
    num_outputs: int,
    widths: Sequence[int],
    activation: str,
    dropout: float,
    norm: Norm,
    random_state: np.random.RandomState,
) -> MLP:
    """A multilayer perceptron whose weights and biases are those that scikit-learn would draw.

    Uniform within ``sqrt(6 / (inputs + outputs))``, with 2 in place of 6 for the logistic activation (Glorot and
    Bengio, 2010; ``BaseMultilayerPerceptron._init_coef``).

    Args:
        num_inputs: F, width of a row.
        num_outputs: O, numbers put out for a row.
        widths: of the hidden layers.
        activation: a name of ``nnlab.model.ACTIVATIONS``.
        dropout: probability of zeroing a hidden unit while training.
        norm: ``none``, ``batch`` or ``layer``.
        random_state: is drawn from.

    Returns:
        The model in float64, on the CPU.
    """
    with torch.random.fork_rng(devices=[]):  # torch's own initial weights are drawn too, and overwritten
        model = MLP(
            num_inputs,
            num_outputs,
            depth=len(widths),
            width=1,
            widths=widths,
            activation=activation,
            output_activation="identity",
            dropout=dropout,
            norm=norm,
            bias=True,
        ).double()
    factor = 2.0 if activation == "sigmoid" else 6.0
    with torch.no_grad():
        for layer in linear_layers(model):
            bound = np.sqrt(factor / (layer.in_features + layer.out_features))
            weight = random_state.uniform(-bound, bound, (layer.in_features, layer.out_features))
            layer.weight.copy_(torch.from_numpy(weight.T))
            bias = random_state.uniform(-bound, bound, layer.out_features)
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(bias))
    return model


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """The linear layers of a model in their order."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
