"""`nnlab tune`: measures this machine once, so that rules about threads and engines fit it."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from rich.table import Table
from torch import nn

from nnlab.console import table_text
from nnlab.device import native_work, num_cores
from nnlab.machine import Machine, forget, machine, processor, remember
from nnlab.native.library import NoCompilerError, load
from nnlab.trainer import Trainer
from nnlab.trainer.engine_choice import Compile

#: (rows in a batch, width of the layers): from half a million multiply-adds in a layer to 67 million
SIZES = ((32, 128), (128, 128), (256, 128), (512, 128), (1024, 128), (256, 512), (1024, 256))
#: for compiled steps: from 0.2 to 30 million of the rule's units
NATIVE_SIZES = ((128, 8), (128, 16), (128, 32), (512, 16), (512, 32), (512, 64), (1024, 96))
#: more threads count as a gain from here on; what is less is noise, and another program may want the core
GAIN = 1.1
ROUNDS = 5
#: of one measurement; each is as many steps as fit
LEAST_S = 0.03
#: where no size gains: beyond any layer
NEVER = 1_000_000_000_000


@dataclass(frozen=True)
class Timing:
    """Seconds of a step of one size: by one thread and by all.

    Args:
        work: of a step, as the rule counts it.
        one: with one thread.
        all: with as many as there are cores.
    """

    work: int
    one: float
    all: float


def tune(forgets: bool, say: Callable[[str], None]) -> None:
    """Measure this machine and keep the numbers, or forget them.

    Args:
        forgets: whether to go back to the defaults.
        say: prints a line.
    """
    if forgets:
        nothing = "there was nothing to forget: nnlab goes by its defaults"
        say("nnlab goes by its defaults again" if forget() else nothing)
        return
    say(f"{processor()}; {num_cores()} for this process; torch {torch.__version__}")
    say("measuring; other programs that work now would be measured too …")
    before, found = machine(), _measured(say)
    path = remember(found)
    say(_table(before, found))
    say(f"\nkept in {path}; runs from now on go by it and record its hash, {found.digest}")
    say("`nnlab tune --forget` goes back to the defaults; runs that exist go on as they were begun")


def _measured(say: Callable[[str], None]) -> Machine:
    defaults = Machine()
    eager = _timings("off")
    try:
        load(torch.float32)
    except NoCompilerError as error:
        say(f"steps are not compiled here: {error}")
        return Machine(per_thread(eager), defaults.native_work_per_thread, defaults.saved_us)
    native = _timings("step")
    saved_us = max(1.0, round((_tiny("off") - _tiny("step")) * 1e6, 1))
    return Machine(per_thread(eager), per_thread(native), saved_us)


def per_thread(timings: Sequence[Timing]) -> int:
    """The work that pays for one thread: from twice as much on, a second one gains.

    Args:
        timings: of growing sizes.

    Returns:
        Half the smallest size from which on all threads are faster than one by ``GAIN``; ``NEVER`` if there is none.
    """
    gains = [timing.one / timing.all >= GAIN for timing in timings]
    first = next((place for place in range(len(gains)) if all(gains[place:])), None)
    return NEVER if first is None else timings[first].work // 2


def _timings(compile: Compile) -> list[Timing]:
    cores = num_cores()
    if cores == 1:
        return []
    timings = []
    for batch_size, width in NATIVE_SIZES if compile == "step" else SIZES:
        widths = [width] * 4
        shapes = list(pairwise(widths))
        work = native_work(batch_size, shapes) if compile == "step" else batch_size * width * width
        timings.append(Timing(work, *_step_s(batch_size, widths, compile, (1, cores))))
    return timings


def _tiny(compile: Compile) -> float:
    """Seconds of a step that is nothing but overhead."""
    return _step_s(32, [2, 16, 16, 3], compile, (1,))[0]


def _step_s(batch_size: int, widths: Sequence[int], compile: Compile, threads: Sequence[int]) -> list[float]:
    """Median seconds of a step for each number of threads, measured in turns."""
    number = dict.fromkeys(threads, 8)
    for count in threads:
        while (taken := _train_s(batch_size, widths, compile, count, number[count])) < LEAST_S:
            number[count] = int(number[count] * min(8.0, 1.2 * LEAST_S / max(taken, 1e-4))) + 1
    times: dict[int, list[float]] = {count: [] for count in threads}
    for _ in range(ROUNDS):
        for count in threads:
            times[count].append(_train_s(batch_size, widths, compile, count, number[count]) / number[count])
    return [statistics.median(times[count]) for count in threads]


def _train_s(batch_size: int, widths: Sequence[int], compile: Compile, threads: int, num_steps: int) -> float:
    """Seconds that so many steps of a perceptron take, evaluation and start apart."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    rows = torch.randn(batch_size * num_steps, widths[0]), torch.randn(batch_size * num_steps, widths[-1])
    trainer = Trainer(
        model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=1e-4), device="cpu", max_epochs=1, threads=threads,
        batch_size=batch_size, shuffle=False, compile=compile, monitor="train/loss",
    )  # fmt: skip
    trainer.choose_engine(rows)
    before = time.perf_counter()
    trainer.fit(rows)
    return time.perf_counter() - before


def _table(before: Machine, found: Machine) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("rule", "default", "before", "now"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    rules = {
        "multiply_adds_per_thread": "multiply-adds of a layer for each thread",
        "native_work_per_thread": "work of a compiled step for each thread",
        "saved_us": "µs that a compiled step saves",
    }
    for name, words in rules.items():
        numbers = [getattr(one, name) for one in (Machine(), before, found)]
        table.add_row(words, *("never more than one" if number == NEVER else f"{number:,}" for number in numbers))
    return table_text(table, 110)
