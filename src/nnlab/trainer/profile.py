"""`trainer.profile=true`: where the time of a training went, as tables and as a trace."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch

from nnlab.durable import write_atomic
from nnlab.trainer.phases import OTHER, Phase, Phases

FOLDER = "profile"
TRACE_FILE = "trace.json.gz"
TABLE_FILE = "table.txt"
#: steps before the recorded ones, in which memory is found and code is read for the first time
WARM_UP_STEPS = 5
#: steps that are recorded at most
NUM_STEPS = 50
#: seconds after which recording ends, whatever the number of steps: a second of operations is a trace of some MB
MOST_S = 1.0
#: seconds of a step that is recorded at most; a longer one is thousands of operations, and its trace gigabytes
MOST_STEP_S = 2.0
#: what recording and writing take, which a training without them does not
OWN = "the profiler itself"
#: operations in the table
MOST_OPERATIONS = 20
#: what a name may take of a line
_WIDTH = 44


@final
class Profile:
    """Records a window of steps with torch's profiler, and the phases of the whole training.

    Neither changes a number of the training.

    Args:
        folder: the run's folder; None leaves nothing on disk.
        phases: the training's clock.
        device: where it computes.
    """

    def __init__(self, folder: Path | None, phases: Phases, device: torch.device) -> None:
        self.phases = phases
        self._folder = folder
        self._device = device
        self._profiler: torch.profiler.profile | None = None
        self._num_done = 0  # steps of this process
        self._steps_s = 0.0  # of those before the window
        self._first = 0  # the first recorded step, counted by the training, from 1
        self._began_s = 0.0
        self._num_recorded = 0
        self._is_recording = False
        self._is_over = False
        self._why_no_trace = "no step was recorded"
        #: the phases as they are printed, once written
        self.lines: list[str] = []

    def most_steps(self, most: int, num_left: int) -> int:
        """Before steps: begin to record if it is time to.

        Args:
            most: that somebody wants to do in one call.
            num_left: in the whole training.

        Returns:
            How many of them may be done in one call, so that the window begins and ends between two calls.
        """
        if self._is_over:
            return most
        if not self._is_recording:
            warm_up = WARM_UP_STEPS if self._num_done or num_left > WARM_UP_STEPS else 0
            if self._num_done < warm_up:
                return min(most, warm_up - self._num_done)
            self._begin()
        return min(most, NUM_STEPS - self._num_recorded) if self._is_recording else most

    def did_steps(self, number: int, seconds: float) -> None:
        """After steps: end recording if it is time to.

        Args:
            number: how many.
            seconds: that they took.
        """
        self._num_done += number
        if not self._is_recording:
            self._steps_s += seconds
            return
        self._num_recorded += number
        if self._num_recorded >= NUM_STEPS or time.perf_counter() - self._began_s > MOST_S:
            self._end()

    def write(self) -> list[str]:
        """Write what was found; nothing if the training has no folder or did no step.

        Returns:
            One sentence for each thing that could not be written.
        """
        if self._is_recording:
            self._end()
        if self._folder is None or self.lines or not self._num_done:
            return []
        try:
            (self._folder / FOLDER).mkdir(exist_ok=True)
            with self.phases.during(OWN):
                trace = self._trace()
                operations = [] if self._profiler is None else _operations(self._profiler, self._device)
            self.lines = [*_phase_lines(self.phases), "", self._window()]
            if trace is not None:
                write_atomic(self._folder / FOLDER / TRACE_FILE, trace)
            else:  # that of an earlier process is out of date
                (self._folder / FOLDER / TRACE_FILE).unlink(missing_ok=True)
            text = "\n".join([*self.lines, *([""] if operations else []), *operations])
            write_atomic(self._folder / FOLDER / TABLE_FILE, f"{text}\n".encode())
        except OSError as error:
            return [f"{FOLDER}/ could not be written ({error.strerror or error})"]
        return []

    def _begin(self) -> None:
        if self._num_done and self._steps_s / self._num_done > MOST_STEP_S:
            self._is_over = True
            self._why_no_trace = f"a step takes {self._steps_s / self._num_done:.1f} s, too long a trace"
            return
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if self._device.type == "cuda":
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        with self.phases.during(OWN):
            self._profiler = torch.profiler.profile(activities=kinds)
            self._profiler.start()
        self._first = self._num_done + 1
        self._began_s = time.perf_counter()
        self._is_recording = self.phases.is_marking = True

    def _end(self) -> None:
        assert self._profiler is not None
        self._is_recording = self.phases.is_marking = False
        self._is_over = True
        with self.phases.during(OWN):
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            self._profiler.stop()

    def _trace(self) -> bytes | None:
        if self._profiler is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / TRACE_FILE
            self._profiler.export_chrome_trace(str(path))
            return path.read_bytes()

    def _window(self) -> str:
        if self._profiler is None:
            return f"no trace: {self._why_no_trace}"
        last = self._first + self._num_recorded - 1
        which = f"step {last:,}" if last == self._first else f"steps {self._first:,} to {last:,}"
        return f"{TRACE_FILE}: {which} of this process; open it at https://ui.perfetto.dev or chrome://tracing"


def _phase_lines(phases: Phases) -> list[str]:
    found = phases.so_far()
    own = found.pop(OWN, Phase())
    total = sum(phase.seconds for phase in found.values()) or 1.0
    rows = [("phase", "seconds", "share", "calls")]
    for name, phase in found.items():
        calls = "" if name == OTHER else f"{phase.calls:,}"
        rows.append((name, f"{phase.seconds:.3f}", f"{100 * phase.seconds / total:.1f} %", calls))
    return _aligned([*rows, ("all", f"{total:.3f}", "", ""), (OWN, f"{own.seconds:.3f}", "", "")])


def _operations(profiler: torch.profiler.profile, device: torch.device) -> list[str]:
    """The operations that took longest by themselves, in the recorded steps."""
    on_device = device.type == "cuda"
    found = [event for event in profiler.key_averages() if not event.key.startswith("ProfilerStep")]
    cpu_us = sum(event.self_cpu_time_total for event in found) or 1.0
    found.sort(key=lambda event: -(event.self_device_time_total if on_device else event.self_cpu_time_total))
    head = ("operation", "calls", "CPU ms", "share", *(("GPU ms",) if on_device else ()))
    rows: list[Sequence[str]] = [head]
    for event in found[:MOST_OPERATIONS]:
        rows.append((*_cells(event, cpu_us), *((f"{event.self_device_time_total / 1e3:.3f}",) if on_device else ())))
    title = "the recorded steps by operation, each without what it calls"
    note = "(nnlab: … is Python between operations, and all of a compiled step)"
    return [title, note, *_aligned(rows)]


def _cells(event: Any, cpu_us: float) -> tuple[str, str, str, str]:
    name = event.key if len(event.key) <= _WIDTH else f"{event.key[: _WIDTH - 1]}…"
    own_us = event.self_cpu_time_total
    return name, f"{event.count:,}", f"{own_us / 1e3:.3f}", f"{100 * own_us / cpu_us:.1f} %"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they need to be: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]
