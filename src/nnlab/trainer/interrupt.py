"""Signals that ask a training to end: noticed at once, obeyed after the step."""

import os
import signal
import threading
from contextlib import suppress
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

    One inside another knows what the outer one received, and the outer one afterwards what it received itself.
    Handlers can be set in the main thread only; elsewhere, signals do what they did before.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._outer is not None:
            self._outer.received = self._outer.received or self.received
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
        if self.received is not None:
            if number == signal.SIGINT and not collector.is_sole_user() and parent_process() is None:
                raise KeyboardInterrupt
            os._exit(ENDINGS[signal.Signals(number)][1])
        self.received = signal.Signals(number)
        # A sweep's worker has a parent that says so, and torchrun's processes have a first one.
        if parent_process() is None and not is_silent():
            _say(f"{self.received.name}: what is under way is finished and saved; a second signal ends at once")


def _say(text: str) -> None:
    """Write to standard error past Python's buffers, which the signal may have found in the middle of a write."""
    # A second signal may end the process before the live line shows the cursor again that it has hidden.
    shown = "\r\x1b[?25h" if os.isatty(2) else ""
    with suppress(OSError):
        os.write(2, f"{shown}{text}\n".encode())
