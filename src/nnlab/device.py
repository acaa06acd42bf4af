"""Where to compute, on how many threads, with what memory: chosen by rules, never by a stopwatch."""

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import torch

from nnlab.machine import machine

# MKL chooses among kernels by where in memory a matrix lies, and they round differently: a run's bits would depend on
# its place in a stack. This asks for one kernel, at no measurable cost. MKL reads it at its first product; what the
# user has set stays. (oneAPI MKL Developer Guide, "Obtaining Numerically Reproducible Results".)
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


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


def own_cores() -> int:
    """Cores that this process is bound to, for as many processes."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_cores() -> int:
    """Cores for the threads of this process: ``own_cores``, or fewer if OMP_NUM_THREADS says so."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(own_cores(), int(wanted)) if wanted.isdecimal() and int(wanted) > 0 else own_cores()


def choose_threads(device: torch.device, batch_size: int, shapes: Sequence[tuple[int, int]]) -> int:
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
    return max(1, min(num_cores(), multiply_adds // machine().multiply_adds_per_thread))


def choose_native_threads(batch_size: int, shapes: Sequence[tuple[int, int]]) -> int:
    """As ``choose_threads``, for compiled steps, whose threads meet at less cost.

    Args:
        batch_size: rows of an update.
        shapes: (inputs, outputs) of each linear layer.
    """
    return max(1, min(num_cores(), native_work(batch_size, shapes) // machine().native_work_per_thread))


def native_work(batch_size: int, shapes: Sequence[tuple[int, int]]) -> int:
    """Multiply-adds of a step's products, forward and back, and ten for each activation."""
    return batch_size * sum(3 * inputs * outputs + 10 * outputs for inputs, outputs in shapes)


@contextmanager
def flushing_denormals() -> Iterator[None]:
    """While it lasts, numbers too small for a leading 1 count as zero on this thread and those that it starts.

    The running means of optimizers decay through them where a unit is dead, and processors take a hundred times as long
    for each. Threads of OpenMP that are there already keep their own ways.
    """
    smallest = torch.tensor(1.4e-45)
    before = bool((smallest * 1 == 0).item())
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


#: glibc's mallopt: parameter and value
_KEEP_FREED_MEMORY = {"M_MMAP_THRESHOLD": (-3, 32 << 20), "M_TRIM_THRESHOLD": (-1, 256 << 20)}


@cache
def keep_freed_memory() -> bool:
    """Let this process keep up to 256 MiB of freed memory for its next tensors instead of handing it back each step.

    glibc returns a freed block to the system once it is larger than twice the largest tensor so far, and every page of
    the next tensor then has to be asked for again: 1-100-1 at batch 1,000 takes twice as long. Numbers are not touched.

    Returns:
        Whether the C library took it; False where it is not glibc.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return all(library.mallopt(parameter, value) == 1 for parameter, value in _KEEP_FREED_MEMORY.values())
