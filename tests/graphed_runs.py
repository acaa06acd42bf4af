"""Trainings whose steps are CUDA graphs where there is a card; where there is none, the same steps are called."""

from typing import Any

import pytest
import torch

import together_runs
from nnlab import Trainer
from nnlab.trainer.batches import TensorBatches
from nnlab.trainer.engine import Eager
from nnlab.trainer.engine_choice import Choice, NotCompiledError
from nnlab.trainer.graphed import Graphed, why_not_graphed, why_not_repeated

NO_CARD = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CARD])]


def choose(mode: str, parts: Any, batches: Any, accumulate_steps: int, *others: Any) -> Choice:
    """Graphs with ``step``, on any device, else torch's own operations."""
    if mode != "step":
        return Choice(Eager(parts, batches, accumulate_steps), "off")
    is_on_cuda = isinstance(batches, TensorBatches) and batches.inputs.is_cuda
    problem = (why_not_graphed if is_on_cuda else why_not_repeated)(parts, batches, accumulate_steps)
    if problem is not None:
        raise NotCompiledError(problem)
    return Choice(Graphed(parts, batches, accumulate_steps), "step")


def use(device: str, patch: pytest.MonkeyPatch) -> None:
    """Let the trainings of ``together_runs`` be on a device, and their engines be chosen by ``choose``."""

    def on_device(*positional: Any, **settings: Any) -> Trainer:
        return Trainer(*positional, **{**settings, "device": device})

    patch.setattr(together_runs, "Trainer", on_device)
    patch.setattr("nnlab.trainer.trainer.choose_engine", choose)
