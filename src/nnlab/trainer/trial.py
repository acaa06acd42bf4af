"""Trying something out on a model that is about to be trained, without a trace."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from nnlab.trainer.static_step import Touched, streams_of
from nnlab.trainer.step import StepParts

#: what a module keeps in places of their own, which ``Touched`` looks after
_OWN_PLACES = ("_parameters", "_buffers", "_modules")


@contextmanager
def on_trial(parts: StepParts) -> Iterator[None]:
    """While it lasts, the model is in training mode; afterwards it, its gradients and random streams are as before.

    What a model of a user's keeps in attributes is put back too, but not what was added to a list of its own.

    Args:
        parts: what a step needs; its parameters are not to be updated meanwhile.
    """
    kept = [(layer, _attributes(layer)) for layer in parts.model.modules()]
    parts.model.train()
    try:
        with Touched(parts.model, parts.parameters, streams_of(parts.model), parts.parameters).put_back():
            for parameter in parts.parameters:
                parameter.grad = None  # a gradient that is there would be added to
            yield
    finally:
        for layer, attributes in kept:
            for name in _attributes(layer).keys() - attributes.keys():
                del layer.__dict__[name]
            layer.__dict__.update(attributes)


def _attributes(layer: nn.Module) -> dict[str, object]:
    return {name: value for name, value in layer.__dict__.items() if name not in _OWN_PLACES}
