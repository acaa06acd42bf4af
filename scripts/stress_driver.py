"""Runs nnlab again and again in forks of one process that has imported it, with signals at chosen calls."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parents[1] / "src"
#: seconds that one run may take
LIMIT_S = 300
#: reads a JSON line for each run, forks, and answers with how the fork ended; nothing is trained in the process itself
SERVER = """
import importlib, json, os, resource, signal, sys
from nnlab import collector
from nnlab.cli import main
import nnlab.command, nnlab.logger.tensorboard, nnlab.one_run, nnlab.report.verify, nnlab.resume_command
import nnlab.run_figures
import sklearn.datasets, torch._dynamo  # what data sets and optimizers import when they are made

def strike(at):
    number, place, count = at
    module_name, name = place.split(":")
    module = importlib.import_module(module_name)
    whole, calls = getattr(module, name), [0]
    def counted(*args, **kwargs):
        calls[0] += 1
        if calls[0] == count:
            os.write(2, f"struck {number}\\n".encode())
            os.kill(os.getpid(), number)
        return whole(*args, **kwargs)
    setattr(module, name, counted)

def child(task):
    os.setpgid(0, 0)
    os.chdir(task["folder"])
    output = os.open(task["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.alarm(task["limit_s"])
    for at in task["strikes"]:
        strike(at)
    if task["most_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (task["most_bytes"], task["most_bytes"]))
    collector.claim_process()  # as the command does
    try:
        code = main(task["words"])
    except SystemExit as ending:
        code = ending.code
    except BaseException:
        import traceback
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)

print("ready", flush=True)
for line in sys.stdin:
    forked = os.fork()
    if forked == 0:
        child(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]), flush=True)
"""


class Strike(NamedTuple):
    """A signal that a process sends itself just before a call of a function.

    Args:
        number: the signal.
        place: ``module:function``.
        count: which call, from 1.
    """

    number: int
    place: str
    count: int = 1


class Ended(NamedTuple):
    """How a run ended: its exit code (negative for a signal that killed it) and what it printed."""

    code: int
    output: str


class Driver:
    """Runs nnlab in a fork, which takes no time to import anything.

    Args:
        folder: where the runs work.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._output = folder / "output.txt"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self) -> "Driver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, *words: str, strikes: Sequence[Strike] = (), most_bytes: int | None = None) -> Ended:
        """Run nnlab to its end.

        Args:
            words: as typed after ``nnlab``.
            strikes: signals that it gets on the way.
            most_bytes: what a file can hold before the system refuses to write more, or None.

        Returns:
            How it ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        task = {
            "words": words,
            "strikes": strikes,
            "folder": str(self.folder),
            "output": str(self._output),
            "limit_s": LIMIT_S,
            "most_bytes": most_bytes,
        }
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Ended(code, self._output.read_text(errors="replace"))
