"""Named, independent random streams from one seed."""

import hashlib

import torch


def derive(seed: int, *names: str | int) -> int:
    """The seed of a named stream: a 63-bit hash of the run's seed and the names.

    Args:
        seed: the run's (or the data's) seed.
        names: what the stream is for, such as ``"order", epoch``.

    Returns:
        A non-negative integer below 2^63, the same on every machine.

    Example:
        >>> derive(0, "order", 3) == derive(0, "order", 3), derive(0, "order", 3) == derive(0, "order", 4)
        (True, False)
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for a named stream, so that one part's draws never move another's.

    Args:
        seed: the run's (or the data's) seed.
        names: what the stream is for.
        device: where the numbers are drawn.

    Returns:
        A freshly seeded generator.
    """
    return torch.Generator(device=device).manual_seed(derive(seed, *names))


def epoch_order(seed: int, epoch: int, num_rows: int) -> torch.Tensor:
    """The order of the training rows in one epoch, a function of (seed, epoch) alone.

    Args:
        seed: the run's seed.
        epoch: the epoch, from 0.
        num_rows: N, rows in the training split.

    Returns:
        A permutation of ``0 … N-1``, int64, shape [N], on the CPU.
    """
    return torch.randperm(num_rows, generator=generator(seed, "order", epoch))


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the generators that torch's own layers draw from, as ``torch.manual_seed`` does.

    That one prepares the seeding of every kind of device that torch knows, which takes a millisecond and is kept until
    such a device is used.

    Args:
        seed: as for ``torch.manual_seed``.
        device: where numbers are going to be drawn, beside the CPU.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
