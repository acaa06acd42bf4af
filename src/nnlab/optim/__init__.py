"""Optimizers: torch.optim's own classes, and how parameters are grouped for them."""

from nnlab.optim.groups import parameter_groups, supports_fused

__all__ = ["parameter_groups", "supports_fused"]
