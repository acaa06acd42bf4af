"""Where the seconds of a training go: each belongs to one phase, the innermost that is under way."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import final

from torch.profiler import record_function

#: what is under way where no phase is
OTHER = "other"
_NOTHING = nullcontext()


@dataclass
class Phase:
    """What a phase came to.

    Args:
        seconds: in it, without the phases inside it.
        calls: how often it was entered.
    """

    seconds: float = 0.0
    calls: int = 0


@final
class Phases:
    """A clock that knows what is under way.

    Args:
        is_on: False for one that measures nothing, at the price of a call.
        clock: seconds.
    """

    def __init__(self, is_on: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        self.is_on = is_on
        #: whether phases are marked in the trace that is being recorded
        self.is_marking = False
        self._clock = clock
        self._found: dict[str, Phase] = {}
        self._under_way = [OTHER]
        self._since: float | None = None

    def during(self, name: str) -> AbstractContextManager[None]:
        """While it lasts, seconds belong to this phase.

        Args:
            name: of the phase.
        """
        return self._during(name) if self.is_on else _NOTHING

    def so_far(self) -> dict[str, Phase]:
        """Every phase since the first one began, the longest first; ``other`` last, for what is in none of them."""
        self._pass_time()
        found = {name: phase for name, phase in self._found.items() if name != OTHER}
        longest_first = sorted(found, key=lambda name: -found[name].seconds)
        return {name: found[name] for name in longest_first} | {OTHER: self._found.get(OTHER, Phase())}

    @contextmanager
    def _during(self, name: str) -> Iterator[None]:
        self._pass_time()
        self._under_way.append(name)
        self._found.setdefault(name, Phase()).calls += 1
        try:
            with record_function(f"nnlab: {name}") if self.is_marking else _NOTHING:
                yield
        finally:
            self._pass_time()
            self._under_way.pop()

    def _pass_time(self) -> None:
        """Give the phase under way what has passed."""
        now = self._clock()
        if self._since is not None:
            self._found.setdefault(self._under_way[-1], Phase()).seconds += now - self._since
        self._since = now
