"""What every logger offers: four methods, and two more for those that need them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # event files are also written where torch is not wanted
    from torch import nn


@dataclass(frozen=True)
class Run:
    """What a logger is told once, before training.

    Args:
        folder: the run's folder.
        config: the resolved config as plain values.
        model: the model, for its structure.
        resumed_at: the step that a resumed training goes on from; None for one that begins.
        history: the steps and scalars of the evaluations until then.
    """

    folder: Path
    config: Mapping[str, Any]
    model: "nn.Module"
    resumed_at: int | None = None
    history: Sequence[tuple[int, Mapping[str, float]]] = ()


@dataclass(frozen=True)
class Histogram:
    """The distribution of ``values`` (any shape)."""

    values: np.ndarray


@dataclass(frozen=True)
class Image:
    """An encoded PNG picture, ``width`` by ``height`` pixels."""

    png: bytes
    width: int
    height: int


Media = Histogram | Image


class Logger(ABC):
    """Somewhere to send what happens in a run."""

    @abstractmethod
    def start(self, run: Run) -> None:
        """Open whatever is needed and record the config."""

    @abstractmethod
    def scalars(self, step: int, values: Mapping[str, float], time_s: float) -> None:
        """Record named numbers at one step.

        Args:
            step: optimizer steps done.
            values: such as ``{"train/loss": 0.3, "valid/loss": 0.4, "optim/lr": 1e-3}``.
            time_s: the moment, as time.time() gives it.
        """

    @abstractmethod
    def media(self, step: int, tag: str, item: Media) -> None:
        """Record a histogram or a picture under a tag at one step."""

    def sync(self) -> None:  # noqa: B027 - a logger without files has nothing to bring to safety
        """Bring to the disk, durably, what was recorded so far; a checkpoint is about to point behind it."""

    def end(self, status: str) -> None:  # noqa: B027 - a logger that records no status has nothing to do
        """Record how the run ended; it comes at most once, before ``close``.

        Args:
            status: as in ``result.json``: ``completed``, ``early_stopped``, ``diverged``, ``failed``, or, for a run
                that can be resumed, ``interrupted`` or ``preempted``.
        """

    @abstractmethod
    def close(self) -> None:
        """Write what is still held back and let go of files."""
