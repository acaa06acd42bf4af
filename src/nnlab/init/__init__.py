"""Where the weights start: one function for each filling, run over the linear layers by ``layers.apply``.

A filling takes one weight tensor ``[out, in]`` first and fills it in place under torch's global generator; its other
parameters are the keys of its YAML file. A filling that has a parameter ``layer`` or ``num_layers`` is told the
layer's index, from 0, or how many there are. torch.nn.init's own functions fit as they are.
"""

from nnlab.init.discrete import bernoulli, multinomial
from nnlab.init.fan import kaiming_normal, kaiming_uniform, xavier_normal, xavier_uniform
from nnlab.init.given import values
from nnlab.init.plain import constant, default, normal, uniform, zeros
from nnlab.init.qr import orthogonal

__all__ = [
    "bernoulli",
    "constant",
    "default",
    "kaiming_normal",
    "kaiming_uniform",
    "multinomial",
    "normal",
    "orthogonal",
    "uniform",
    "values",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]
