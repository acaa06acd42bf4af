"""The multilayer perceptron."""

from collections.abc import Callable, Sequence
from typing import Literal, final

from torch import nn

from nnlab.model.activation import activation as named_activation
from nnlab.model.dropout import Dropout

Norm = Literal["none", "batch", "layer"]
Activation = str | Callable[[], nn.Module]


@final
class MLP(nn.Sequential):
    """Linear layers with an activation after each but the last.

    A hidden layer is linear, then norm, then activation, then dropout. A linear layer that a norm follows has no
    bias: the norm removes it, its gradient is rounding noise, and adaptive optimizers would amplify that.

    Args:
        num_inputs: F, width of a row.
        num_outputs: O, numbers put out for a row.
        depth: number of hidden layers, if ``widths`` is None.
        width: width of every hidden layer, if ``widths`` is None.
        widths: the width of each hidden layer; overrides ``depth`` and ``width``.
        activation: a name of ``nnlab.model.ACTIVATIONS``, or something that makes a module.
        output_activation: likewise, after the last layer.
        dropout: probability of zeroing a hidden unit while training, in [0, 1).
        norm: ``none``, ``batch`` or ``layer``.
        bias: whether linear layers have a bias.

    Raises:
        ValueError: for sizes below 1 (depth: 0), a dropout outside [0, 1), an unknown norm or activation.

    Example:
        >>> MLP(2, 3, depth=1, width=4, widths=None, activation="relu", output_activation="identity", dropout=0.0,
        ...     norm="none", bias=True)
        MLP(
          (linear1): Linear(in_features=2, out_features=4, bias=True)
          (activation1): ReLU()
          (output): Linear(in_features=4, out_features=3, bias=True)
        )
    """

    def __init__(
        self,
        num_inputs: int,
        num_outputs: int,
        *,
        depth: int,
        width: int,
        widths: Sequence[int] | None,
        activation: Activation,
        output_activation: Activation,
        dropout: float,
        norm: Norm,
        bias: bool,
    ) -> None:
        super().__init__()
        hidden = _hidden_widths(depth, width, widths)
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout: expected a probability in [0, 1), found {dropout}")
        if norm not in _NORMS:
            raise ValueError(f"model.norm: expected one of {', '.join(_NORMS)}, found {norm!r}")
        before = num_inputs
        for number, size in enumerate(hidden, 1):
            self.add_module(f"linear{number}", nn.Linear(before, size, bias=bias and norm == "none"))
            if norm != "none":
                self.add_module(f"norm{number}", _NORMS[norm](size))
            self.add_module(f"activation{number}", _make(activation))
            if dropout:
                self.add_module(f"dropout{number}", Dropout(dropout))
            before = size
        self.add_module("output", nn.Linear(before, num_outputs, bias=bias))
        last = _make(output_activation)
        if not isinstance(last, nn.Identity):
            self.add_module("output_activation", last)


_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": nn.Identity,
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


def linear(num_inputs: int, num_outputs: int, *, output_activation: Activation, bias: bool) -> MLP:
    """A single linear layer: the multilayer perceptron without hidden layers.

    Args:
        num_inputs: F, width of a row.
        num_outputs: O, numbers put out for a row.
        output_activation: after the layer; see ``MLP``.
        bias: whether the layer has a bias.

    Returns:
        The model.
    """
    return MLP(
        num_inputs,
        num_outputs,
        depth=0,
        width=1,
        widths=None,
        activation="identity",
        output_activation=output_activation,
        dropout=0.0,
        norm="none",
        bias=bias,
    )


def _make(activation: Activation) -> nn.Module:
    return named_activation(activation) if isinstance(activation, str) else activation()


def _hidden_widths(depth: int, width: int, widths: Sequence[int] | None) -> list[int]:
    if widths is not None:
        wrong = [size for size in widths if size < 1]
        if wrong:
            raise ValueError(f"model.widths: expected sizes of at least 1, found {list(widths)}")
        return list(widths)
    if depth < 0:
        raise ValueError(f"model.depth: expected a number of hidden layers of at least 0, found {depth}")
    if width < 1:
        raise ValueError(f"model.width: expected at least 1, found {width}")
    return [width] * depth
