"""Several processes that train one model, as torchrun starts them: who they are, and what they say to one another."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import final

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from nnlab.torchrun import RUN_ID, let_first_speak

#: the run id of a torchrun that was not given one
NO_ID = "none"
#: a process that has been silent for so long is taken for dead
SILENCE = timedelta(minutes=10)


@final
@dataclass(frozen=True)
class World:
    """The processes of one training.

    Args:
        rank: the number of this one, from 0.
        size: how many there are.
        local_rank: the number of this one on its host.
        run_id: of torchrun: the same for all processes and after a restart.
        restarts: how often torchrun has started them again.
        backend: what carries their messages: ``gloo`` or ``nccl``.
    """

    rank: int
    size: int
    local_rank: int
    run_id: str
    restarts: int
    backend: str

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, number: int) -> slice:
        """The rows of this process: neighbours, one more or less than another process has.

        Args:
            number: of rows that the processes share.
        """
        return slice(self.rank * number // self.size, (self.rank + 1) * number // self.size)

    def add(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, the same bits in each; the tensor itself is overwritten with it.

        Args:
            tensor: of the same shape in every process, on the device.

        Raises:
            RuntimeError: if another process is gone.
        """
        try:
            dist.all_reduce(tensor)
        except RuntimeError as error:
            raise RuntimeError("another process is gone; torchrun says which one ended first, and how") from error
        return tensor

    def tell(self, text: str) -> str:
        """What the first process says.

        Args:
            text: of the first process; that of the others counts for nothing.
        """
        payload = text.encode() if self.is_first else b""
        size = self.add(torch.tensor([len(payload)], device=self._device))
        buffer = torch.zeros(int(size), dtype=torch.int32, device=self._device)
        if self.is_first:
            buffer[:] = torch.tensor(list(payload), dtype=torch.int32)
        return bytes(self.add(buffer).tolist()).decode()

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.add(torch.zeros(1, device=self._device))

    @property
    def _device(self) -> str:
        return "cuda" if self.backend == "nccl" else "cpu"


_current: World | None = None


def current() -> World | None:
    """The processes that this one trains together with; None for a training by itself."""
    return _current


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Meet the other processes; while it lasts, trainings are shared with them.

    Args:
        device: as ``device`` has it: with ``cpu``, or where there is no CUDA, messages go by gloo, else by NCCL.

    Raises:
        ValueError: for a device that not every process can have, and where a restart would find no run.
    """
    global _current
    is_on_cpu = device == "cpu" or not torch.cuda.is_available()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if not is_on_cpu:
        _check_devices(device, local_rank)
        torch.cuda.set_device(local_rank)
    world = World(
        int(os.environ["RANK"]),
        int(os.environ["WORLD_SIZE"]),
        local_rank,
        _run_id(),
        int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
        "gloo" if is_on_cpu else "nccl",
    )
    store, rank, size = next(iter(rendezvous("env://")))
    # torchrun keeps its store for a restart, and with it the addresses of processes that are gone.
    store = PrefixStore(f"restart_{world.restarts}", store)
    dist.init_process_group(world.backend, store=store, rank=rank, world_size=size, timeout=SILENCE)
    _current = world
    try:
        yield world
        with suppress(RuntimeError):  # one that leaves early would take its connections from under the others
            world.wait()
    except ValueError:
        let_first_speak()  # it has to find the others connected until then
        raise
    finally:
        _current = None
        dist.destroy_process_group()


def _check_devices(device: str, local_rank: int) -> None:
    """Refuse a GPU that processes would have to share."""
    count = torch.cuda.device_count()
    if ":" in device:
        raise ValueError(f"device={device}: each of torchrun's processes has a GPU of its own; use device=cuda")
    if local_rank >= count:
        raise ValueError(
            f"torchrun has started more processes on this host than its {count} CUDA device{'s' * (count != 1)}: use "
            f"--nproc-per-node {count}, or device=cpu"
        )


def _run_id() -> str:
    """torchrun's id; where it has none, the name that it gives its folder of logs, which a restart does not change.

    Raises:
        ValueError: if it has neither.
    """
    found = os.environ[RUN_ID]
    if found == NO_ID:
        # torchrun's own: <folder of this launch>/attempt_<restarts>/<local rank>/error.json
        parents = Path(os.environ.get("TORCHELASTIC_ERROR_FILE", "")).parents
        if len(parents) < 3 or not parents[1].name.startswith("attempt_"):
            raise ValueError("torchrun has no run id that a restart would find: give it one, with --rdzv-id=NAME")
        found = f"torchrun_{parents[2].name.removeprefix(f'{NO_ID}_')}"
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in found)
