"""A cluster of Ray: one that is there already, or one on this machine for as long as a sweep lasts."""

import logging
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import torch
from hydra.core.utils import env_override

from nnlab.config import ConfigError
from nnlab.device import own_cores
from nnlab.sweep.ray_asked import RayAsked

#: bytes of a local cluster's store for what tasks are sent and send back
STORE_BYTES = 256 << 20
#: while a local cluster starts: Ray reports no use, and listens to this machine alone (it reads the second one, whose
#: name speaks of other systems, when it is imported)
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@final
class Cluster:
    """A connection, from the first time it is asked for until it is closed.

    Args:
        asked: what for.
    """

    def __init__(self, asked: RayAsked) -> None:
        self._asked = asked
        self._is_ours = False
        self._folder: str | None = None

    def room(self) -> int:
        """Tasks that fit at a time; at least 1.

        Raises:
            ConfigError: if no node has what one needs, or no cluster answers.
        """
        asked = self._asked
        if asked.address is None and not self._is_connected():
            return self._room_here()
        self.connect()
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        places = sum(_fits(asked.needs, has) for has in nodes)
        if places == 0 and asked.num_workers is None:
            needs = ", ".join(f"{amount:g} {name}" for name, amount in asked.needs.items())
            has = "; ".join(", ".join(f"{node.get(name, 0):g} {name}" for name in asked.needs) for node in nodes)
            raise ConfigError(
                f"hydra/launcher=ray: a task needs {needs}, and no node has that ({has}); ask for less, or set "
                "hydra.launcher.num_workers for a cluster that grows"
            )
        return max(1, places)

    def connect(self) -> None:
        """Connect, if that is not so already; a cluster of one's own starts now.

        Raises:
            ConfigError: if no cluster answers.
        """
        if self._is_connected():
            return
        address = self._asked.address
        with _handlers_kept():
            if address is None:
                self._start()
            else:
                self._join(address)
        self._is_ours = True

    def close(self) -> None:
        """Disconnect, if it was connected here; a cluster of one's own ends."""
        if self._is_ours:
            import ray

            ray.shutdown()
        self._is_ours = False
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _is_connected(self) -> bool:
        ray = sys.modules.get("ray")
        return ray is not None and bool(ray.is_initialized())

    def _room_here(self) -> int:
        asked = self._asked
        if asked.resources:
            raise ConfigError("hydra.launcher.resources: only a cluster with an address has such; leave it null")
        num_gpus = torch.cuda.device_count() if asked.num_gpus else 0
        if asked.num_gpus > num_gpus:
            raise ConfigError(
                f"hydra.launcher.num_gpus: expected at most {num_gpus}, which this machine has, found "
                f"{asked.num_gpus:g}; hydra.launcher.address names a cluster with more"
            )
        return max(1, _fits(asked.needs, {"CPU": self._num_cpus(), "GPU": num_gpus}))

    def _num_cpus(self) -> int:
        return max(own_cores(), math.ceil(self._asked.num_cpus))

    def _start(self) -> None:
        with env_override(_QUIET):
            import ray

            # Paths of sockets in it may have 107 bytes: no folder of the user's is surely short enough.
            self._folder = tempfile.mkdtemp(prefix="nnlab-ray-", dir="/tmp" if os.path.isdir("/tmp") else None)
            ray.init(
                address="local",
                num_cpus=self._num_cpus(),
                num_gpus=torch.cuda.device_count() if self._asked.num_gpus else 0,
                object_store_memory=STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=self._folder,
            )

    def _join(self, address: str) -> None:
        import ray

        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(
                f"hydra.launcher.address: no cluster of Ray can be joined at {address!r}: {text[:300]}; null starts "
                "one on this machine"
            ) from error


def _fits(needs: Mapping[str, float], has: Mapping[str, float]) -> int:
    """Tasks that fit on a node at a time."""
    room = min((has.get(name, 0.0) / amount for name, amount in needs.items()), default=float(own_cores()))
    return int(room + 1e-9)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """While it lasts, Ray may set a handler for SIGTERM, as it does when it connects; afterwards ours counts."""
    is_main = threading.current_thread() is threading.main_thread()
    before: Any = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if is_main and before is not None:
            signal.signal(signal.SIGTERM, before)
