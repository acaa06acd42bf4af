"""Where to compute, and on how many threads: chosen by rules, never by a stopwatch."""

import os

import torch

#: multiply-adds of a layer, or elements of a hidden tensor, that pay for one more thread; below, waking a second
#: thread costs more than it brings. 2-100-100-3 at batch 100 loses with two threads, at batch 1,000 it gains 1.6 times.
MULTIPLY_ADDS_PER_THREAD = 2_000_000
ELEMENTS_PER_THREAD = 40_000


def resolve_device(name: str) -> torch.device:
    """The device that a name stands for.

    Args:
        name: ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        The device.

    Raises:
        ValueError: if the name is unknown or that device is absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not (kind == "cuda" and index.isdecimal())):
        raise ValueError(f"device: expected auto, cpu, cuda or cuda:N, found {name!r}")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            there = f"{count} CUDA device{'s' * (count != 1)}" if count else "no CUDA device"
            raise ValueError(f"device: {name!r} was asked for, but torch finds {there} here; use device=cpu or auto")
    return torch.device(name)


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_threads(device: torch.device, batch_size: int, shapes: list[tuple[int, int]]) -> int:
    """CPU threads for one run: more only where a layer is large enough to pay for them.

    Args:
        device: where the model computes; on CUDA the CPU only launches kernels, and one thread does.
        batch_size: rows in a batch.
        shapes: (inputs, outputs) of each linear layer.

    Returns:
        At least 1, at most the number of cores.
    """
    if device.type != "cpu" or not shapes:
        return 1
    multiply_adds = max(batch_size * inputs * outputs for inputs, outputs in shapes)
    elements = max(batch_size * outputs for _, outputs in shapes)
    wanted = max(multiply_adds // MULTIPLY_ADDS_PER_THREAD, elements // ELEMENTS_PER_THREAD)
    return max(1, min(num_cores(), wanted))
