"""An engine whose steps are timed and, for a while, recorded."""

import time
from typing import final

from nnlab.trainer.engine import Ahead, Engine
from nnlab.trainer.profile import Profile


@final
class Profiled(Engine):
    """Does steps as another engine does them, to the same bits.

    Args:
        inner: does them.
        profile: is told of them.
        num_steps: of the whole training.
    """

    def __init__(self, inner: Engine, profile: Profile, num_steps: int) -> None:
        self._inner = inner
        self._profile = profile
        self._num_left = num_steps
        self.name = inner.name  # type: ignore[misc]
        self.plans_rates = inner.plans_rates  # type: ignore[misc]

    def start_epoch(self, ahead: Ahead) -> None:
        """See ``Engine``."""
        with self._profile.phases.during("data order"):
            self._inner.start_epoch(ahead)

    def steps(self, most: int) -> int:
        """See ``Engine``."""
        most = self._profile.most_steps(most, self._num_left)
        began_s = time.perf_counter()
        with self._profile.phases.during("steps"):
            number = self._inner.steps(most)
        self._num_left -= number
        self._profile.did_steps(number, time.perf_counter() - began_s)
        return number
