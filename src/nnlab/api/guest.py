"""Being a guest in somebody's process: its settings are put aside for a run, and are afterwards what they were."""

import gc
import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, final

import numpy as np
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.version import VersionBase
from omegaconf.basecontainer import BaseContainer

from nnlab.trainer.interrupt import Interrupt

#: settings of torch belong to the process: two runs at a time would have each other's
_one_at_a_time = threading.RLock()
#: what of Hydra's belongs to one program; what it knows of plugins and stored configs is the same for all
_HYDRAS = (GlobalHydra, HydraConfig, JobRuntime, VersionBase)


@contextmanager
def undisturbed() -> Iterator[None]:
    """While it lasts, the process is to a run what one of its own would be; then everything is as it was before.

    Of several threads, one at a time is let in; the others wait.
    """
    with _one_at_a_time, ExitStack() as stack:
        for part in (_numbers, _settings_of_torch, _modes_of_torch, _random_states, _python, _logging, _hydra):
            stack.enter_context(part())
        yield


@contextmanager
def signals() -> Iterator[Interrupt]:
    """While it lasts, the first interrupt from the keyboard, or a notebook's stop button, ends a training cleanly.

    It is not raised where the result says it: see ``raise_late``. Any other signal is sent once more at the end, to
    whoever else waits for it.
    """
    with Interrupt() as interrupt:
        yield interrupt
    if interrupt.received not in (None, signal.SIGINT):
        signal.raise_signal(interrupt.received)


def raise_late(interrupt: Interrupt, status: str, outcome: object) -> None:
    """Raise an interrupt that came too late to stop the training: no status tells of it.

    Args:
        interrupt: from ``signals``.
        status: of what was trained.
        outcome: what was trained; the error names it.

    Raises:
        KeyboardInterrupt: in that case.
    """
    if interrupt.received is signal.SIGINT and status != "interrupted":
        raise KeyboardInterrupt(f"after the end of {outcome!r}")


@contextmanager
def _numbers() -> Iterator[None]:
    with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
        yield


@contextmanager
def _settings_of_torch() -> Iterator[None]:
    threads, dtype, device = torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device()
    precision = torch.get_float32_matmul_precision()
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn: Any = torch.backends.cudnn
    cudnn_before = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = False, False, True
    if device.type != "cpu":
        torch.set_default_device(None)
    if is_deterministic:
        torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(precision)
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = cudnn_before
        if device.type != "cpu":
            torch.set_default_device(device)
        if is_deterministic or torch.are_deterministic_algorithms_enabled():  # the call imports much of the compiler
            torch.use_deterministic_algorithms(is_deterministic, warn_only=only_warns)


@contextmanager
def _modes_of_torch() -> Iterator[None]:
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        yield


@contextmanager
def _random_states() -> Iterator[None]:
    python, numpy, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torchs)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def _python() -> Iterator[None]:
    folder, environment, collects = os.getcwd(), dict(os.environ), gc.isenabled()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.chdir(folder)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        (gc.enable if collects else gc.disable)()


@contextmanager
def _logging() -> Iterator[None]:
    """What a run logs goes to its own train.log, and its warnings to standard error, by a handler for them alone."""
    root, ours = logging.getLogger(), logging.getLogger("nnlab")
    levels, raises = (root.level, ours.level), logging.raiseExceptions
    logging.raiseExceptions = False  # a train.log that cannot be written is in the notes
    theirs, stranger = list(root.handlers), _Stranger()
    for handler in theirs:
        handler.addFilter(stranger)
    try:
        yield
    finally:
        for handler in theirs:
            handler.removeFilter(stranger)
        root.handlers[:] = theirs
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
        logging.raiseExceptions = raises


@final
class _Stranger(logging.Filter):
    """Lets everything pass but nnlab's own records."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name.partition(".")[0] != "nnlab"


@contextmanager
def _hydra() -> Iterator[None]:
    """Hydra's state is one for a process, which may be a program of Hydra's itself."""
    singletons: dict[type, Any] = Singleton._instances
    before = {kind: singletons.pop(kind) for kind in _HYDRAS if kind in singletons}
    resolvers = dict(BaseContainer._resolvers)
    try:
        yield
    finally:
        for kind in _HYDRAS:
            singletons.pop(kind, None)
        singletons.update(before)
        BaseContainer._resolvers.clear()
        BaseContainer._resolvers.update(resolvers)
