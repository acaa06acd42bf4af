"""How far a sweep is: a live line on a terminal or in a notebook, a plain line now and then elsewhere."""

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import final

from rich.console import Console
from rich.text import Text

from nnlab.callback.live_line import Line, live_line

#: seconds between two drawings of the live line
REFRESH_S = 0.5
#: seconds between two plain lines
PLAIN_S = 10.0
#: the time left is not told before this share of the members' training is done, and this many seconds have passed
FIRST_SHARE = 0.01
FIRST_S = 3.0
#: what a run's status means here; any other one is that of a member which has done its training
FAILED = ("failed",)
UNFINISHED = ("interrupted", "preempted")


@final
class SweepProgress:
    """Shows how many members are done, running and failed, the time left, and the best value so far.

    It draws when it is told something, and has no thread: processes may be forked while it is entered.

    Args:
        console: where to draw.
        num_members: of the whole sweep.
        num_done: those of them that were done before, in a sweep that goes on.
        clock: seconds, from any start.
    """

    def __init__(
        self, console: Console, num_members: int, num_done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console
        self._num_members = num_members
        self._num_done = num_done
        self._num_failed = 0
        self._num_here = 0  # members that were done since it was entered
        self._fractions: dict[str, float] = {}  # of those that are running
        self._sum_of_fractions = 0.0
        self._best: dict[str, tuple[float, str]] = {}
        self._clock = clock
        self._live: Line | None = None
        self._started_s = 0.0
        self._drawn_s = 0.0

    def __enter__(self) -> "SweepProgress":
        self._started_s = self._drawn_s = self._clock()
        self._live = live_line(self.console)
        if self._live is not None:
            self._live.start()
            self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._draw()
            self._live.stop()
            self._live = None

    def began(self, name: str) -> None:
        """A member runs.

        Args:
            name: the member's, each another.
        """
        self._fractions[name] = 0.0
        self._draw_if_due()

    def advanced(self, name: str, fraction: float) -> None:
        """A member has come so far.

        Args:
            name: a running member's.
            fraction: of its training, from 0 to 1.
        """
        self._sum_of_fractions += fraction - self._fractions[name]
        self._fractions[name] = fraction
        self._draw_if_due()

    def ended(self, name: str, status: str, metric: str, best: float | None, greater_is_better: bool) -> None:
        """A member runs no more.

        Args:
            name: a running member's, or one's that could not begin.
            status: as in ``result.json``.
            metric: what selects, such as ``valid/loss``.
            best: the member's best value of it, or None if it has none.
            greater_is_better: whether that is the greatest one.
        """
        self._sum_of_fractions -= self._fractions.pop(name, 0.0)
        if status in FAILED:
            self._num_failed += 1
        elif status not in UNFINISHED:
            self._num_done += 1
            self._num_here += 1
        if best is not None and math.isfinite(best):
            before = self._best.get(metric)
            if before is None or (best > before[0] if greater_is_better else best < before[0]):
                self._best[metric] = (best, name)
        self._draw_if_due()

    def _draw_if_due(self) -> None:
        if self._clock() - self._drawn_s >= (PLAIN_S if self._live is None else REFRESH_S):
            self._draw()

    def _draw(self) -> None:
        self._drawn_s = self._clock()
        if self._live is None:
            self.console.print(self._line(), highlight=False, markup=False, soft_wrap=True)
        else:
            self._live.update(Text(self._line(), no_wrap=True, overflow="ellipsis"), refresh=True)

    def _line(self) -> str:
        # A narrow terminal cuts the end off: what tells how far it is stands first.
        counts = f"{self._num_done} of {self._num_members} done, {len(self._fractions)} running"
        parts = [counts + (f", {self._num_failed} failed" if self._num_failed else "")]
        left_s = self._left_s()
        if left_s is not None:
            parts.append(f"{_clock_time(left_s)} left")
        parts += [f"best {metric} {value:.4g} ({name})" for metric, (value, name) in self._best.items()]
        return "  ".join(parts)

    def _left_s(self) -> float | None:
        """Seconds left at the pace so far, or None while that says too little.

        Members that failed count neither as work done nor as work to do: most fail at once, and set no pace.
        """
        elapsed_s = self._clock() - self._started_s
        done = self._num_here + self._sum_of_fractions
        to_do = self._num_members - self._num_done - self._num_failed - self._sum_of_fractions
        if elapsed_s < FIRST_S or done <= 0 or done < FIRST_SHARE * (done + to_do):
            return None
        return elapsed_s * max(0.0, to_do) / done


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
