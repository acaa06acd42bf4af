"""Fillings whose spread follows from the layer's numbers of inputs and outputs."""

from typing import Literal, get_args

from torch import Tensor, nn

Mode = Literal["fan_in", "fan_out"]
#: the activations that ``torch.nn.init.calculate_gain`` knows, of those that a linear layer can feed
Nonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


def xavier_uniform(weight: Tensor, gain: float) -> None:
    """Fill evenly within ``±gain sqrt(6 / (in + out))`` (``torch.nn.init.xavier_uniform_``).

    Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks, 2010.

    Args:
        weight: shape [out, in].
        gain: factor of the spread.
    """
    nn.init.xavier_uniform_(weight, gain)


def xavier_normal(weight: Tensor, gain: float) -> None:
    """Fill normally with standard deviation ``gain sqrt(2 / (in + out))`` (``torch.nn.init.xavier_normal_``).

    Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks, 2010.

    Args:
        weight: shape [out, in].
        gain: factor of the spread, not negative.

    Raises:
        ValueError: if the gain is negative.
    """
    if not gain >= 0:
        raise ValueError(f"init.gain: expected a number >= 0, found {gain}")
    nn.init.xavier_normal_(weight, gain)


def kaiming_uniform(weight: Tensor, a: float, mode: Mode, nonlinearity: Nonlinearity) -> None:
    """Fill evenly within ``±gain sqrt(3 / fan)`` (``torch.nn.init.kaiming_uniform_``).

    He et al., Delving Deep into Rectifiers, 2015. The gain is ``torch.nn.init.calculate_gain`` of the nonlinearity.

    Args:
        weight: shape [out, in].
        a: the negative slope, for ``leaky_relu`` only.
        mode: ``fan_in`` keeps the spread of the outputs, ``fan_out`` that of the gradients.
        nonlinearity: the activation after the layer.

    Raises:
        ValueError: if the mode or the nonlinearity is unknown.
    """
    _check_kaiming(mode, nonlinearity)
    nn.init.kaiming_uniform_(weight, a, mode, nonlinearity)


def kaiming_normal(weight: Tensor, a: float, mode: Mode, nonlinearity: Nonlinearity) -> None:
    """Fill normally with standard deviation ``gain / sqrt(fan)`` (``torch.nn.init.kaiming_normal_``).

    He et al., Delving Deep into Rectifiers, 2015. The gain is ``torch.nn.init.calculate_gain`` of the nonlinearity.

    Args:
        weight: shape [out, in].
        a: the negative slope, for ``leaky_relu`` only.
        mode: ``fan_in`` keeps the spread of the outputs, ``fan_out`` that of the gradients.
        nonlinearity: the activation after the layer.

    Raises:
        ValueError: if the mode or the nonlinearity is unknown.
    """
    _check_kaiming(mode, nonlinearity)
    nn.init.kaiming_normal_(weight, a, mode, nonlinearity)


def _check_kaiming(mode: str, nonlinearity: str) -> None:
    for name, value, known in (("mode", mode, get_args(Mode)), ("nonlinearity", nonlinearity, get_args(Nonlinearity))):
        if value not in known:
            raise ValueError(f"init.{name}: expected one of {', '.join(known)}, found {value!r}")
