"""The engine for models without a C form: steps whose gradient torch.compile has made one program of."""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, final

import torch

from nnlab.trainer.batches import Batches, TensorBatches
from nnlab.trainer.compiled_gradient import CompiledGradient
from nnlab.trainer.compiler import NotTracedError
from nnlab.trainer.engine import Ahead, Eager, Engine
from nnlab.trainer.step import StepParts, why_only_by_torch
from nnlab.trainer.stream_batches import StreamBatches
from nnlab.trainer.trial import on_trial


@final
class Inductor(Engine):
    """One step at a time: forward, loss, backward and clipping are one program, the update is the optimizer's own.

    With the update in the program too, 2-16-16-3 took 80 microseconds a step instead of 105, and 64-256-1024-1 more
    than without; compiling took four to six seconds longer, as long as 200,000 steps save.

    Args:
        parts: what a step needs, for which ``why_not_compiled`` knows no reason.
        batches: the training rows.
        accumulate_steps: batches whose gradients make one update.
        say: is told if the program can no longer be used.
    """

    name: ClassVar[str] = "inductor"

    def __init__(
        self, parts: StepParts, batches: TensorBatches, accumulate_steps: int, say: Callable[[str], None]
    ) -> None:
        clips = accumulate_steps == 1
        self._parts = parts
        self._batches = batches
        self._gradient = CompiledGradient(parts, clips, say)
        own = replace(parts, gradient=self._gradient, grad_clip_norm=None if clips else parts.grad_clip_norm)
        self._eager = Eager(own, batches, accumulate_steps)

    def make(self) -> str | None:
        """Make the programs, which takes a quarter of a minute and leaves no trace in the model.

        Returns:
            Why there are none, in words; None if there are.
        """
        views = self._batches.epoch(0)
        sizes = {len(batch.inputs): batch for batch in (views[0], views[-1])}
        parts = self._parts
        try:
            with on_trial(parts):  # a loss may keep from its first call what a program then relies on
                parts.gradient(parts.model, parts.objective, views[0].inputs, views[0].target, parts.precision, 1)
            with on_trial(parts):
                self._gradient.make(list(sizes.values()))
        except NotTracedError as error:
            return f"torch.compile cannot make one program of its step: {error}"
        except Exception as error:  # whatever a model of a user's raises: training raises it again, and says more
            return f"a step failed: {error}"
        return None

    def start_epoch(self, ahead: Ahead) -> None:
        """See ``Engine``."""
        self._eager.start_epoch(ahead)

    def steps(self, most: int) -> int:
        """See ``Engine``."""
        return self._eager.steps(most)


def why_not_compiled(parts: StepParts, batches: Batches) -> str | None:
    """Why torch.compile is not even asked for the steps of a training; None if it may be.

    Args:
        parts: what a step needs.
        batches: the training rows.
    """
    if (reason := why_only_by_torch(parts)) is not None:
        return reason
    if isinstance(batches, StreamBatches):
        return "its rows stay on disk"
    if not isinstance(batches, TensorBatches):
        return "its rows come from a DataLoader, or are the same few in every epoch"
    if batches.weight is not None:
        return "its rows have weights"
    if isinstance(parts.optimizer, torch.optim.LBFGS):
        return "LBFGS goes another way after a difference in the last digit of a loss"
    if any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in parts.parameters):
        return "there are hooks on the model's parameters"
    return None
