"""What the names of precisions stand for."""

from typing import Literal

import torch

from nnlab.gradient.base import Precision

PrecisionName = Literal["fp32", "fp64", "bf16", "fp16"]


def make_precision(name: str, device: torch.device, optimizer: torch.optim.Optimizer) -> Precision:
    """What a precision's name stands for on a device.

    Args:
        name: ``fp32``, ``fp64``, ``bf16`` or ``fp16``.
        device: where the model computes.
        optimizer: L-BFGS cannot skip the steps that fp16 overflows.

    Returns:
        The precision.

    Raises:
        ValueError: for another name, fp16 on the CPU, or fp16 with L-BFGS.
    """
    if name == "fp16":
        if device.type != "cuda":
            raise ValueError("trainer.precision: fp16 needs a CUDA device; on the CPU use bf16, fp32 or fp64")
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError("trainer.precision: fp16 does not work with L-BFGS; use bf16 or fp32")
        return Precision(torch.float32, torch.float16, device.type, torch.amp.GradScaler(device.type))
    known = {"fp32": (torch.float32, None), "fp64": (torch.float64, None), "bf16": (torch.float32, torch.bfloat16)}
    if name not in known:
        raise ValueError(f"trainer.precision: expected one of {', '.join(known)}, fp16, found {name!r}")
    return Precision(*known[name], device.type)
