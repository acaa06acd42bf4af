"""Interrupts inside each other, and what a terminal gets to see."""

import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from nnlab.trainer import interrupt as module
from nnlab.trainer.interrupt import ENDINGS, Interrupt

TWICE = """
import importlib.util, os, signal, sys
spec = importlib.util.spec_from_file_location("interrupt", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
with module.Interrupt():
    os.write(2, b"\\x1b[?25l")  # as a live line hides the cursor
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGUSR2)
    print("went on")
"""


def test_codes_are_those_of_the_design():
    codes = {number.name: code for number, (_, code) in ENDINGS.items()}
    assert codes == {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 75, "SIGUSR2": 75}


@pytest.mark.parametrize("where", ["outer", "inner"])
def test_signal_is_known_to_both_of_two_and_obeyed_once_the_work_is_done(where, capfd):
    before = [signal.getsignal(number) for number in ENDINGS]
    with Interrupt() as outer:
        if where == "outer":
            os.kill(os.getpid(), signal.SIGTERM)
        with Interrupt() as inner:
            if where == "inner":
                os.kill(os.getpid(), signal.SIGTERM)
            assert inner.received is signal.SIGTERM
        assert outer.received is signal.SIGTERM
    assert [signal.getsignal(number) for number in ENDINGS] == before
    with pytest.raises(SystemExit) as ended:
        outer.obey()
    assert ended.value.code == 143
    assert capfd.readouterr().err.count("SIGTERM: what is under way is finished and saved") == 1


def test_no_signal_is_nothing_to_obey():
    with Interrupt() as interrupt, Interrupt() as inner:
        pass
    assert (interrupt.received, inner.received) == (None, None)
    interrupt.obey()


def test_second_signal_ends_at_once_and_the_terminal_has_its_cursor_back():
    master, slave = pty.openpty()
    answer = subprocess.run(
        [sys.executable, "-c", TWICE, str(Path(module.__file__))], stdout=subprocess.PIPE, stderr=slave, check=False
    )
    os.close(slave)
    shown = b""
    with suppress(OSError):  # how Linux says that nobody has the other end any more
        while part := os.read(master, 10_000):
            shown += part
    os.close(master)
    assert (answer.returncode, answer.stdout) == (75, b"")
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert b"SIGINT: what is under way is finished and saved; a second signal ends at once" in shown


def test_patient_one_outlives_every_signal_and_keeps_what_takes_the_place_away():
    # Any other would end this process at the second signal.
    with Interrupt(is_patient=True) as outer, Interrupt() as inner:
        signal.raise_signal(signal.SIGTERM)
        assert (outer.received, inner.received) == (signal.SIGTERM, signal.SIGTERM)
        signal.raise_signal(signal.SIGUSR2)
        assert (outer.received, inner.received) == (signal.SIGUSR2, signal.SIGUSR2)
        signal.raise_signal(signal.SIGINT)
    assert outer.received == signal.SIGUSR2
