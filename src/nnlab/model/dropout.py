"""Dropout with a random stream of its own."""

from typing import final

import torch
from torch import Tensor, nn


@final
class Dropout(nn.Module):
    """Zeroes each element with probability p while training and scales the rest by 1/(1-p).

    torch's own layer draws from the one global generator, so whatever else draws there moves the masks; this one has
    a stream of its own, set by ``seed_dropout``.

    Args:
        p: probability of zeroing an element, in [0, 1).

    Source: Srivastava et al., "Dropout", JMLR 15 (2014), in its inverted form.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator = torch.Generator()
        #: (rows of the whole batch, the first of them that is here) where several processes share a batch
        self.part: tuple[int, int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The input, masked and scaled in training mode, as it is in evaluation mode."""
        return x * self.mask(x) if self.training else x

    def mask(self, x: Tensor) -> Tensor:
        """Draw what a tensor is multiplied by: 0 with probability p, else 1 / (1 - p).

        Args:
            x: any shape.

        Returns:
            Shape of x.
        """
        keep = 1 - self.p
        with torch.no_grad():
            if self.part is not None:
                num_rows, first = self.part
                whole = x.new_empty((num_rows, *x.shape[1:])).bernoulli_(keep, generator=self.generator)
                return whole[first : first + len(x)].div_(keep)
            return torch.empty_like(x).bernoulli_(keep, generator=self.generator).div_(keep)

    def extra_repr(self) -> str:
        """What print(model) shows."""
        return f"p={self.p}"


def seed_dropout(model: nn.Module, seed: int, device: torch.device) -> list[torch.Generator]:
    """Give a model's dropout layers one seeded stream on a device.

    Args:
        model: any module.
        seed: of the stream.
        device: where the model computes.

    Returns:
        The generators in use: one that all layers share, or none where there is no such layer.
    """
    layers = [module for module in model.modules() if isinstance(module, Dropout)]
    stream = torch.Generator(device=device).manual_seed(seed)
    for layer in layers:
        layer.generator = stream
    return [stream] if layers else []
