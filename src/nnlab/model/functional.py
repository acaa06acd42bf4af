"""Models of one's own, K at a time, through torch.func."""

import copy
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from nnlab.model.stacked import settings_of


@final
class FunctionalStack(nn.Module):
    """K models of any class with equal layers: one is called with the parameters of each (``torch.func.vmap``).

    Args:
        model: one of them; it is copied.
        weights: the parameters by name, of the model's shapes with a leading axis K.
        buffers: likewise; a forward pass may change them in place.

    Raises:
        ValueError: if the model has layers that torch.func cannot run for several at once, with the reason.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> None:
        super().__init__()
        moving = [name for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._NormBase)]
        if moving:
            raise ValueError(f"batch norm inside a model of your own ({', '.join(moving)})")
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.by_name = {name: nn.Parameter(view, requires_grad=name in trained) for name, view in weights.items()}
        self._buffers_by_name = dict(buffers)
        self._of_one = (_without_memory(model),)  # no module of this one: its parameters are on no device

    def check(self, model: nn.Module, x: Tensor) -> None:
        """Try it out, in training and in evaluation mode; nothing is changed by it.

        Args:
            model: one of them, with numbers of its own.
            x: inputs, shape [K, B, F].

        Raises:
            ValueError: if torch.func cannot run several at once, or if they would not have what each has alone.
        """
        kept = {name: buffer.clone() for name, buffer in self._buffers_by_name.items()}
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            _check_memory(copy.deepcopy(model), x[0])
            for training in (False, True):
                self.train(training)
                self(x)
        for name, buffer in self._buffers_by_name.items():
            buffer.copy_(kept[name])

    def forward(self, x: Tensor) -> Tensor:
        """From [K, B, F] to [K, B, O]."""
        model = self._of_one[0]
        model.train(self.training)

        def call(weights: dict[str, Tensor], buffers: dict[str, Tensor], rows: Tensor) -> Tensor:
            output: Tensor = functional_call(model, (weights, buffers), (rows,))
            return output

        try:
            stacked: Tensor = vmap(call, randomness="error")(dict[str, Tensor](self.by_name), self._buffers_by_name, x)
        except Exception as error:  # it is anybody's code
            text = f"{type(error).__name__}: {error}".splitlines()[0].partition(". ")[0]
            raise ValueError(f"torch.func cannot run it for several runs at once: {text}") from error
        return stacked


def _check_memory(model: nn.Module, x: Tensor) -> None:
    """Refuse a model whose forward pass leaves behind what functional_call drops, or what several runs would share."""
    buffers, settings = dict(model.named_buffers()), [settings_of(layer) for layer in model.modules()]
    model.train()
    try:
        model(x)
    except Exception as error:  # it fails alone, too, and says so there
        raise ValueError(f"its forward pass failed: {type(error).__name__}: {error}") from error
    replaced = [name for name, buffer in model.named_buffers() if buffer is not buffers.get(name)]
    if replaced:
        raise ValueError(f"its forward pass puts another tensor in place of {', '.join(replaced)}")
    after = [settings_of(layer) for layer in model.modules()]
    changed = sorted(
        {name for old, new in zip(settings, after, strict=True) for name in new if old.get(name) != new[name]}
    )
    if changed:
        raise ValueError(f"its forward pass changes {', '.join(changed)}, which is no buffer")


def _without_memory(model: nn.Module) -> nn.Module:
    """A copy whose parameters hold nothing, so that a number used past torch.func's is an error."""
    return copy.deepcopy(model).to(torch.device("meta"))
