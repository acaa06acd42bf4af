"""Orthogonal matrices."""

from torch import Tensor, nn


def orthogonal(weight: Tensor, gain: float) -> None:
    """Fill with a random matrix whose rows or columns, the fewer, are orthonormal (``torch.nn.init.orthogonal_``).

    Saxe et al., Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural Networks, 2014.

    Args:
        weight: shape [out, in].
        gain: factor of all elements.
    """
    nn.init.orthogonal_(weight, gain)
