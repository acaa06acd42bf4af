"""What the workers of tests/sweep/test_workers.py do: here, where every process can import it."""

import ctypes
import logging
import os
import signal
import sys
import threading
import time

import torch

from nnlab.device import num_cores
from nnlab.trainer.interrupt import Interrupt

if os.environ.get("STRIKE_AT_IMPORT") and __name__ == "worker_jobs" and "pytest" not in sys.modules:
    os.kill(os.getpid(), signal.SIGINT)


def pid(job, send):
    send(os.getpid())


def first_waits_for_last(job, send):
    """Jobs are (index, number of jobs, folder)."""
    index, num_jobs, folder = job
    send(("began", os.getpid()))
    while index == 0 and not (folder / str(num_jobs - 1)).exists():
        time.sleep(0.01)
    (folder / str(index)).touch()
    send(("ended", os.getpid()))


def burst(job, send):
    for number in range(job):
        send((number, "x" * 100))
    send("y" * 5_000_000)


def end_badly(job, send):
    send(job)
    match job:
        case "raises":
            raise ValueError("first line\nsecond line")
        case "says nothing":
            raise KeyError
        case "leaves":
            sys.exit(3)
        case "leaves in peace":
            sys.exit(0)
        case "cannot be sent":
            send(threading.Lock())
        case "segfaults":
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # pytest's own handler would write a page
            ctypes.string_at(0)
        case "exits":
            os._exit(3)
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "is killed, a child lives":
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            send(child)
            os.kill(os.getpid(), signal.SIGKILL)


def wait_to_be_killed(job, send):
    send(os.getpid())
    while job == "wait":
        time.sleep(0.01)


def work_for_ever(job, send):
    send("began")
    while job == "sleeps":
        time.sleep(0.01)
    while job == "sends":
        send("x" * 1000)
    with Interrupt() as interrupt:
        while interrupt.received is None:
            time.sleep(0.01)
        send("heard")
        while True:
            time.sleep(0.01)


def save_when_told(job, send):
    with Interrupt() as interrupt:
        send("began")
        while interrupt.received is None:
            time.sleep(0.01)
        time.sleep(0.3)  # a signal that counted twice would end this
        send(f"saved {interrupt.received.name}")
    interrupt.obey()


def threads(job, send):
    send((torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], num_cores()))


def multiply(job, send):
    a = torch.ones(700, 700, requires_grad=True)
    (a @ a).tanh().sum().backward()
    send("multiplied")


def chatter(job, send):
    print("printed in a worker", flush=True)
    os.write(1, b"written in a worker\n")
    os.write(2, b"an error of a worker\n")
    print("an error of a worker", file=sys.stderr, flush=True)
    for handler in logging.getLogger().handlers:
        handler.flush()


def be_told_to_end(job, send):
    """Jobs are folders."""
    with Interrupt() as interrupt:
        send("began")
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.received == signal.SIGTERM
    (job / "done").touch()
