"""What every callback offers: four hooks, each of which may stay as it is."""

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from torch import Tensor, nn

from nnlab.logger.base import Media

if TYPE_CHECKING:  # matplotlib takes half a second, which only those who draw shall pay
    from matplotlib.figure import Figure


class Outlet(Protocol):
    """Where a callback may send something. A full disk costs what cannot be written, never the training."""

    def media(self, step: int, tag: str, item: Media) -> None:
        """Send a histogram or a picture to every logger."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Send named numbers to every logger."""

    def table_row(self, name: str, row: Mapping[str, float | int | None]) -> None:
        """Add a row to ``<name>.csv`` in the run's folder: the same columns every time, None for an empty cell."""

    def figure(self, step: int, name: str, figure: "Figure") -> None:
        """Draw ``figures/<name>`` in the run's formats, and a picture for every logger; nothing with ``figures=[]``."""

    def say(self, text: str) -> None:
        """Put one sentence into the log, the notes of ``result.json`` and the summary."""


@dataclass(frozen=True)
class FitView:
    """What a callback may look at; it changes nothing through it.

    Args:
        model: the model that trains, gradients of the last step included.
        out: where to send what the callback finds.
        monitor: the metric that selects, such as ``valid/loss``.
        num_epochs: epochs in the whole training, if nothing ends it earlier.
        num_steps: optimizer steps in the whole training, if nothing ends it earlier.
        metrics: the metrics that every evaluation has, such as ``train/loss`` and ``valid/accuracy``.
        growing: the names, such as ``accuracy``, of those that are the better the greater they are.
        resumed_at: the step that a resumed training goes on from; None for one that begins.
        evaluate: from a state of the model, by name, to the loss and the metrics of the other splits with it, such as
            ``valid/loss``; the model is what it was afterwards.
    """

    model: nn.Module
    out: Outlet
    monitor: str
    num_epochs: int
    num_steps: int
    metrics: tuple[str, ...]
    growing: frozenset[str]
    resumed_at: int | None = None
    evaluate: Callable[[Mapping[str, Tensor]], dict[str, float]] = lambda state: {}

    def grows(self, metric: str) -> bool:
        """Whether a metric is the better the greater it is."""
        return metric.partition("/")[2] in self.growing

    def gain(self, metric: str, value: float, best: float) -> float:
        """How much better a value of a metric is than another; negative if it is worse, NaN if either is."""
        return value - best if self.grows(metric) else best - value


class Callback(ABC):  # noqa: B024 - abstract as a type; each hook has a default that does nothing
    """Watches a training and may ask it to stop. The order of callbacks never matters."""

    #: whether ``on_step_end`` has to see every single step; where it is False, several may be done between two calls
    every_step: ClassVar[bool] = True

    def on_fit_start(self, view: FitView) -> None:  # noqa: B027
        """Called once, before the first step."""

    def on_step_end(self, view: FitView, step: int, loss: Tensor) -> None:  # noqa: B027
        """Called after every optimizer step, or after some where ``every_step`` is False; only if it is overridden.

        Args:
            view: what may be looked at.
            step: optimizer steps done.
            loss: what the step made smaller, before its update: a scalar on the device.
        """

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> str | None:
        """Called after every evaluation.

        Args:
            view: what may be looked at.
            epoch: finished epochs.
            step: optimizer steps done.
            metrics: the row that ``metrics.csv`` gets.

        Returns:
            The reason to stop training here, or None to go on.
        """
        return None

    def on_fit_end(self, view: FitView, step: int) -> None:  # noqa: B027
        """Called once, after the last step, however training ended."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values that a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        assert not state
