"""Parameters as an optimizer wants them."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

NO_DECAY = ("bias", "norm")


def parameter_groups(model: nn.Module, no_decay: Sequence[str]) -> list[dict[str, Any]]:
    """The model's parameters, those that weight decay should leave alone in a group of their own.

    Args:
        model: the model.
        no_decay: what is not decayed: ``bias`` (every bias), ``norm`` (weights of norm layers).

    Returns:
        Groups for a torch optimizer's constructor.

    Raises:
        ValueError: for another word in ``no_decay``.
    """
    unknown = [word for word in no_decay if word not in NO_DECAY]
    if unknown:
        raise ValueError(f"optim.no_decay: expected a list of {', '.join(NO_DECAY)}, found {', '.join(unknown)}")
    kept = {id(parameter) for module in model.modules() for parameter in _undecayed(module, no_decay)}
    parameters = list(model.parameters())
    groups: list[dict[str, Any]] = [{"params": [p for p in parameters if id(p) not in kept]}]
    if kept:
        groups.append({"params": [p for p in parameters if id(p) in kept], "weight_decay": 0.0})
    return groups


def _undecayed(module: nn.Module, no_decay: Sequence[str]) -> list[nn.Parameter]:
    is_norm = isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm)
    named = dict(module.named_parameters(recurse=False))
    names = ["bias"] * ("bias" in no_decay) + ["weight"] * ("norm" in no_decay and is_norm)
    return [named[name] for name in names if name in named]


def supports_fused(optimizer: type[torch.optim.Optimizer], device: torch.device) -> bool:
    """Whether torch updates all parameters in one kernel for this class on this device."""
    if device.type != "cuda":
        return optimizer in _FUSED_ON_CPU  # a signature takes milliseconds to read
    return "fused" in inspect.signature(optimizer).parameters


_FUSED_ON_CPU = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)
