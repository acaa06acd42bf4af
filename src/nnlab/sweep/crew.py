"""Who does the jobs of a sweep: processes of this machine, or whatever a launcher brings along."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, final

from nnlab.config import ConfigError
from nnlab.sweep.jobs import Job
from nnlab.sweep.work import Working
from nnlab.sweep.workers import run_jobs

#: told of a job's index and each of its messages, in the order in which the job sent them
OnMessage = Callable[[int, Any], None]


class Crew(ABC):
    """Those who do the jobs of a sweep."""

    #: jobs at a time; None to choose by a rule on the work and the cores of this machine
    num_workers: int | None

    @abstractmethod
    def run(self, jobs: Sequence[Job], num_workers: int, work: Working, on_message: OnMessage) -> dict[int, str]:
        """Do jobs, in order, as many at a time as there are workers.

        A job that is tried again goes on with its members from where they are saved: ``work`` sees to that. At the
        first signal (see ``nnlab.trainer.interrupt``) no further job begins and those under way are told of it.

        Args:
            jobs: what to do; can be pickled.
            num_workers: jobs at a time.
            work: does one, and sends messages; can be pickled.
            on_message: called in the thread that ``run`` was called in.

        Returns:
            For each job that began and did not end well, what became of it: index -> one sentence.
        """

    def close(self) -> None:
        """Let go of what ``run`` has taken hold of; called once the sweep is over."""
        return

    @abstractmethod
    def line(self, num_workers: int) -> str | None:
        """Who works, for people; None where there is nothing to say.

        Args:
            num_workers: jobs at a time.
        """


@final
class Processes(Crew):
    """Worker processes of this machine; a single one is this process.

    Args:
        num_workers: at a time; None for one a core, or none beside this one where there is little to do.

    Raises:
        ConfigError: for less than one.
    """

    def __init__(self, num_workers: int | None = None) -> None:
        if num_workers is not None and num_workers < 1:
            raise ConfigError(
                f"hydra.launcher.num_workers: expected at least 1, or null for a rule, found {num_workers}"
            )
        self.num_workers = num_workers

    def run(self, jobs: Sequence[Job], num_workers: int, work: Working, on_message: OnMessage) -> dict[int, str]:
        """See ``Crew``."""
        return run_jobs(jobs, num_workers, work, on_message)

    def line(self, num_workers: int) -> str | None:
        """See ``Crew``."""
        return f"on {num_workers} worker processes" if num_workers > 1 else None


def own_paths() -> list[str]:
    """Where this process finds packages beside those that are installed; others that work for it shall, too."""
    installed = (sys.prefix, sys.base_prefix)
    paths = [os.path.abspath(path) for path in sys.path]
    return [path for path in dict.fromkeys(paths) if os.path.isdir(path) and not path.startswith(installed)]


def count_problem(number: int, least: int) -> str | None:
    """What is wrong with a key that counts something, if anything is.

    Args:
        number: its value.
        least: that it may have.
    """
    return None if number >= least else f"expected at least {least}, found {number}"
