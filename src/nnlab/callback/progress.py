"""How far a training is: a live line on a terminal or in a notebook, plain lines elsewhere."""

import time
from collections.abc import Mapping
from typing import ClassVar, final

from rich.console import Console
from rich.text import Text
from torch import Tensor

from nnlab.callback.base import Callback, FitView
from nnlab.callback.live_line import DisplayedLine, Line, ProgressConsole, live_line

#: seconds between two drawings of the live line; one takes as long as a short epoch
REFRESH_S = 0.5
#: plain lines in a whole training
NUM_LINES = 10


@final
class Progress(Callback):
    """Shows epoch, losses, one metric, speed and time left.

    Args:
        console: where to draw; None for standard output, or below the cell of a notebook.
    """

    every_step: ClassVar[bool] = False

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or ProgressConsole()
        self._live: Line | None = None
        self._started_s = 0.0
        self._first_step = 0
        self._drawn_s = 0.0
        self._metrics = ""
        self._printed = 0

    def on_fit_start(self, view: FitView) -> None:
        """See ``Callback``."""
        self._started_s = time.monotonic()
        self._first_step = view.resumed_at or 0
        if view.resumed_at is not None:
            self.console.print(f"goes on after step {view.resumed_at:,} of {view.num_steps:,}", highlight=False)
        self._live = live_line(self.console)
        if self._live is not None:
            self._live.start()

    def on_step_end(self, view: FitView, step: int, loss: Tensor) -> None:
        """See ``Callback``."""
        self.draw_if_due(view, step)

    def draw_if_due(self, view: FitView, step: int) -> None:
        """Bring the live line up to date, if there is one that is old.

        Args:
            view: the training.
            step: optimizer steps done.
        """
        if self._live is not None and time.monotonic() - self._drawn_s >= REFRESH_S:
            self._draw(view, step)

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """See ``Callback``."""
        shown = ["train/loss", view.monitor, *(key for key in metrics if key.startswith(("valid/", "train/")))]
        unique = [key for key in dict.fromkeys(shown) if key in metrics]
        held_out = [key for key in unique if key.startswith("valid/")] or unique
        chosen = dict.fromkeys([unique[0], *held_out[:2]])
        self._metrics = "  ".join(f"{key} {metrics[key]:.4g}" for key in chosen)
        line = step * NUM_LINES // max(1, view.num_steps)
        if self._live is None and (line > self._printed or epoch == 1):
            self._printed = line
            self.console.print(self._line(view, step), highlight=False, soft_wrap=True)

    def on_fit_end(self, view: FitView, step: int) -> None:
        """See ``Callback``."""
        if self._live is not None:
            if isinstance(self._live, DisplayedLine):  # which stays
                self._live.update(Text(self._line(view, step, is_over=True)))
            self._live.stop()
            self._live = None

    def _draw(self, view: FitView, step: int) -> None:
        assert self._live is not None
        self._drawn_s = time.monotonic()
        self._live.update(Text(self._line(view, step), no_wrap=True, overflow="ellipsis"), refresh=True)

    def _line(self, view: FitView, step: int, is_over: bool = False) -> str:
        elapsed = max(time.monotonic() - self._started_s, 1e-9)
        speed = (step - self._first_step) / elapsed
        left = (view.num_steps - step) / speed if speed else 0.0
        seconds, word = (elapsed, "in all") if is_over else (left, "left")
        epoch = step * view.num_epochs // max(1, view.num_steps)
        width = len(str(view.num_epochs))
        # A narrow terminal cuts the end off: what tells how far it is stands first.
        return (
            f"epoch {epoch:>{width}}/{view.num_epochs}  {int(seconds // 60)}:{int(seconds % 60):02d} {word}  "
            f"{speed:,.0f} steps/s  {self._metrics}"
        )


@final
class StackedProgress(Callback):
    """The same for a member of a stack, whose single steps nobody may look at: the live line moves at evaluations.

    Args:
        console: as for ``Progress``.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(console)

    def on_fit_start(self, view: FitView) -> None:
        """See ``Callback``."""
        self._progress.on_fit_start(view)

    def on_evaluation(self, view: FitView, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """See ``Callback``."""
        self._progress.on_evaluation(view, epoch, step, metrics)
        self._progress.draw_if_due(view, step)

    def on_fit_end(self, view: FitView, step: int) -> None:
        """See ``Callback``."""
        self._progress.on_fit_end(view, step)
