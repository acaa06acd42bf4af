"""Forward passes that can be repeated exactly."""

from itertools import chain
from typing import final

import torch
from torch import Tensor, nn


@final
class Rewind:
    """What a forward pass in training mode changes or draws from, as it is now: call it to go back to here.

    These are the buffers (batch norm's running values) and the random streams (dropout's masks): the layers' own, and
    torch's global one.

    Args:
        model: any module.
    """

    def __init__(self, model: nn.Module) -> None:
        self._streams = [(stream, stream.get_state()) for stream in _streams(model)]
        self._buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]

    def __call__(self) -> None:
        """Go back."""
        for stream, state in self._streams:
            stream.set_state(state)
        for buffer, kept in self._buffers:
            buffer.copy_(kept)


def _streams(model: nn.Module) -> list[torch.Generator]:
    own = [getattr(module, "generator", None) for module in model.modules()]
    first: Tensor | None = next(chain(model.parameters(), model.buffers()), None)
    is_on_cuda = first is not None and first.is_cuda
    default = torch.cuda.default_generators[first.device.index] if first is not None and is_on_cuda else None
    streams = [stream for stream in own if isinstance(stream, torch.Generator)]
    return list({id(stream): stream for stream in [*streams, default or torch.default_generator]}.values())
