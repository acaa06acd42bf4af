"""Signals that ask a training to end: noticed at once, obeyed after the step."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from types import FrameType, TracebackType
from typing import Any, final

from nnlab import collector
from nnlab.torchrun import is_silent

#: signal -> (status of the run, exit code of the process)
ENDINGS = {
    signal.SIGINT: ("interrupted", 130),
    signal.SIGTERM: ("interrupted", 143),
    signal.SIGUSR1: ("preempted", 75),
    signal.SIGUSR2: ("preempted", 75),
}


@final
class Interrupt:
    """While it is entered, a first signal is only noted in ``received``; a second one ends the process at once.

    In a process that is not nnlab's own, such as a notebook's, a second interrupt from the keyboard raises
    KeyboardInterrupt, as it would without nnlab: what is under way is lost, and the process goes on.

    A patient one never ends the process: the scheduler of a cluster sends several, and means one thing by them. Of
    these, the one that takes the place away for a while (``preempted``) is kept. Those inside are as patient.

    One inside another knows what the outer one received, and the outer one what it received itself.
    Handlers can be set in the main thread only; elsewhere, signals do what they did before.

    Args:
        is_patient: whether a second signal is only noted, too.
    """

    def __init__(self, is_patient: bool = False) -> None:
        self.received: signal.Signals | None = None
        self._is_patient = is_patient
        self._outer: Interrupt | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in ENDINGS:
                self._before[number] = signal.signal(number, self._note)
            outer = getattr(self._before[signal.SIGTERM], "__self__", None)
            if isinstance(outer, Interrupt):
                self._outer = outer
                self.received = self.received or outer.received
                self._is_patient = outer._is_patient
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def obey(self) -> None:
        """End the process with the code of what was received, if anything was.

        Raises:
            SystemExit: in that case.
        """
        if self.received is not None:
            raise SystemExit(ENDINGS[self.received][1])

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked data-loading worker inherits the handler; the parent decides
        if self.received is not None and self._is_patient:
            if ENDINGS[signal.Signals(number)][0] == "preempted":
                self._receive(signal.Signals(number))
            return
        if self.received is not None:
            if number == signal.SIGINT and not collector.is_sole_user() and parent_process() is None:
                raise KeyboardInterrupt
            os._exit(ENDINGS[signal.Signals(number)][1])
        received = signal.Signals(number)
        self._receive(received)
        # A sweep's worker has a parent that says so, and torchrun's processes have a first one.
        if parent_process() is None and not is_silent():
            more = "" if self._is_patient else "; a second signal ends at once"
            _say(f"{received.name}: what is under way is finished and saved{more}")

    def _receive(self, number: signal.Signals) -> None:
        one: Interrupt | None = self
        while one is not None:
            one.received, one = number, one._outer


@contextmanager
def signals_blocked(*numbers: signal.Signals) -> Iterator[None]:
    """While it lasts, signals wait; a process that is started inherits that from its first instruction on.

    Args:
        numbers: which; none for all that end a training.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers or ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _say(text: str) -> None:
    """Write to standard error past Python's buffers, which the signal may have found in the middle of a write."""
    # A second signal may end the process before the live line shows the cursor again that it has hidden.
    shown = "\r\x1b[?25h" if os.isatty(2) else ""
    with suppress(OSError):
        os.write(2, f"{shown}{text}\n".encode())
