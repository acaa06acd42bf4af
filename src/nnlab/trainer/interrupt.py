"""Signals that ask a training to end: noticed at once, obeyed after the step."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, final

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

    Handlers can be set in the main thread only; elsewhere, signals do what they did before.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in ENDINGS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked data-loading worker inherits the handler; the parent decides
        if self.received is not None:
            os._exit(ENDINGS[signal.Signals(number)][1])
        self.received = signal.Signals(number)
