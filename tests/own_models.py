"""Models and a loss such as users write, for the tests of stacks."""

import torch
from torch import nn

from nnlab.loss.base import Loss


class Own(nn.Module):
    """Linear, Tanh and LayerNorm, not in a sequence, and whatever a test adds."""

    def __init__(self, seed: int, does: str = "", scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.norm, self.last = nn.Linear(2, 5), nn.LayerNorm(5), nn.Linear(5, 1)
        self.scale = scale
        self.does = does
        self.register_buffer("mean", torch.zeros(5))
        self.count = 0
        if does == "batch norm":
            self.norm = nn.BatchNorm1d(5)
        if does == "dropout":
            self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(torch.tanh(self.first(x))) * self.scale
        if self.does == "branch" and hidden.sum() > 0:
            hidden = hidden * 2
        if self.does == "dropout":
            hidden = self.dropout(hidden)
        if self.training and self.does == "replace":
            self.mean = 0.9 * self.mean + 0.1 * hidden.detach().mean(0)
        if self.training and self.does == "in place":
            self.mean.mul_(0.9).add_(hidden.detach().mean(0), alpha=0.1)
        if self.does == "count":
            self.count += 1
            hidden = hidden / self.count
        return self.last(hidden - self.mean)


def sequence_with_one_activation(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    tanh = nn.Tanh()
    return nn.Sequential(nn.Linear(2, 5), tanh, nn.Sequential(nn.Linear(5, 5), tanh), nn.Linear(5, 1))


class Scaled(Loss):
    """Known by autograd alone; how much it counts is its own affair."""

    tasks = frozenset({"regression"})
    reads = "value"

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def per_sample(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self._factor * (prediction - target).square().mean(dim=-1)
