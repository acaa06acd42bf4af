"""Which engine does the steps of a training: by rules on shapes and length, never by a stopwatch."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch

from nnlab.machine import machine
from nnlab.native import library
from nnlab.native.program import Rows, why_not
from nnlab.trainer.batches import Batches, TensorBatches
from nnlab.trainer.compile_cost import why_not_worth_it
from nnlab.trainer.compiler import why_no_compiler
from nnlab.trainer.engine import Eager, Engine, Native
from nnlab.trainer.graphed import Graphed, why_not_graphed
from nnlab.trainer.inductor import Inductor, why_not_compiled
from nnlab.trainer.native_stream import NativeStream
from nnlab.trainer.step import StepParts, why_only_by_torch
from nnlab.trainer.stream_batches import StreamBatches

Compile = Literal["auto", "off", "step"]
COMPILES: tuple[Compile, ...] = ("auto", "off", "step")

#: seconds that it has to save to be worth its loading. Compiling takes another one or two, once for a machine.
LEAST_SAVED_S = 0.2


class NotCompiledError(ValueError):
    """Compiled steps were asked for and are not possible."""


class Choice(NamedTuple):
    """An engine, and why it is that one.

    Args:
        engine: does the steps.
        reason: in words, for ``run.json``.
        note: what the user has to be told, or None.
    """

    engine: Engine
    reason: str
    note: str | None = None


def choose_engine(
    mode: Compile,
    parts: StepParts,
    batches: Batches,
    accumulate_steps: int,
    num_steps: int,
    device: torch.device,
    num_threads: int,
    say: Callable[[str], None],
) -> Choice:
    """The engine for a training.

    Args:
        mode: ``off`` for torch's own operations; ``step`` for whole steps, in C on the CPU (by torch.compile where
            there is no C form) and as CUDA graphs on CUDA; ``auto`` for what is faster.
        parts: what a step needs.
        batches: the training rows.
        accumulate_steps: batches whose gradients make one update.
        num_steps: optimizer steps of the whole training.
        device: where it computes.
        num_threads: CPU threads of steps in C.
        say: is told if the engine has to change its way later.

    Raises:
        NotCompiledError: if ``step`` is asked for and cannot be had, with the reason.
    """
    eager = Eager(parts, batches, accumulate_steps)
    if parts.sharing is not None:
        if mode == "step":
            raise _not_compiled("several processes share each batch, by torch's own operations")
        return Choice(eager, f"{parts.sharing.world.size} processes share each batch")
    if mode == "off":
        return Choice(eager, "trainer.compile=off")
    saved_s = num_steps * machine().saved_us / 1e6
    if device.type == "cuda":
        return _choose_on_cuda(mode, eager, parts, batches, accumulate_steps)
    problem = _problem(parts, batches, accumulate_steps)
    if mode == "auto" and problem is None and saved_s < LEAST_SAVED_S:
        return Choice(eager, f"{num_steps:,} steps would save about {saved_s:.2g} s, less than {LEAST_SAVED_S} s")
    note = None
    if problem is None:
        try:
            library.load(parts.precision.dtype)
        except library.NoCompilerError as error:
            problem = str(error)
            note = f"steps are done by torch's own operations, not by compiled ones: {error}"
    if problem is None:
        reason = "trainer.compile=step" if mode == "step" else f"{num_steps:,} steps save about {saved_s:.2g} s or more"
        if isinstance(batches, StreamBatches):
            return Choice(NativeStream(parts, batches, accumulate_steps, num_threads), reason)
        assert isinstance(batches, TensorBatches)
        return Choice(Native(parts, batches, accumulate_steps, num_threads), reason)
    return _choose_inductor(mode, Choice(eager, problem, note), parts, batches, accumulate_steps, num_steps, say)


def _choose_inductor(
    mode: Compile,
    without: Choice,
    parts: StepParts,
    batches: Batches,
    accumulate_steps: int,
    num_steps: int,
    say: Callable[[str], None],
) -> Choice:
    """The engine where there is no C form: ``without``, whose reason says why, or one of torch.compile's programs."""
    no_c, note = without.reason, without.note
    problem = why_not_compiled(parts, batches)
    if problem is None and mode == "auto":
        assert isinstance(batches, TensorBatches)
        problem = why_not_worth_it(parts, batches.epoch(0), accumulate_steps, num_steps)
    if problem is None and (problem := why_no_compiler()) is not None:
        note = note or f"steps are done by torch's own operations, not by compiled ones: {problem}"
    if problem is None:
        assert isinstance(batches, TensorBatches)
        engine = Inductor(parts, batches, accumulate_steps, say)
        problem = engine.make()
        if problem is None:
            reason = "trainer.compile=step" if mode == "step" else f"{num_steps:,} steps save what torch.compile takes"
            return Choice(engine, f"{reason}; by torch.compile, since {no_c}")
    reason = no_c if problem == no_c else f"{no_c}; {problem}"
    if mode == "step":
        raise _not_compiled(reason)
    return Choice(without.engine, reason, note)


def _choose_on_cuda(mode: Compile, eager: Eager, parts: StepParts, batches: Batches, accumulate_steps: int) -> Choice:
    if mode == "auto":
        return Choice(eager, "what CUDA graphs save was not measured yet; trainer.compile=step takes them")
    problem = why_not_graphed(parts, batches, accumulate_steps)
    if problem is not None:
        raise _not_compiled(problem)
    assert isinstance(batches, TensorBatches)
    return Choice(Graphed(parts, batches, accumulate_steps), "trainer.compile=step")


def _not_compiled(problem: str) -> NotCompiledError:
    return NotCompiledError(f"trainer.compile: step is not possible here: {problem}; use trainer.compile=auto or off")


def _problem(parts: StepParts, batches: Batches, accumulate_steps: int) -> str | None:
    if (reason := why_only_by_torch(parts)) is not None:
        return reason
    if isinstance(batches, StreamBatches):
        rows = Rows(*batches.first_rows, batches.batch_size, accumulate_steps)
    elif isinstance(batches, TensorBatches) and batches.weight is not None:
        return "its rows have weights"
    elif isinstance(batches, TensorBatches):
        rows = Rows(batches.inputs, batches.target, batches.batch_size, accumulate_steps)
    else:
        return "its rows come from a DataLoader, or are the same few in every epoch"
    return why_not(parts.model, parts.objective, parts.optimizer, rows, parts.grad_clip_norm)
