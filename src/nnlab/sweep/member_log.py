"""``train.log`` of each member, as a lone run has it, however many are trained at a time."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final


@final
class MemberLogs(logging.Handler):
    """Appends each record to the log of the member that it concerns; warnings are said aloud as well.

    configs/hydra/job_logging/nnlab.yaml says the same to Hydra for a lone run.

    Args:
        say: takes a warning or an error, as one line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self._folder: Path | None = None
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    @contextmanager
    def of(self, folder: Path) -> Iterator[None]:
        """While it lasts, records that name no run of their own go to the log in a folder.

        Args:
            folder: a member's.
        """
        before, self._folder = self._folder, folder
        try:
            yield
        finally:
            self._folder = before

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``. A log that cannot be written ends nothing."""
        folder = getattr(record, "run_folder", None) or self._folder
        if record.levelno >= logging.WARNING:
            whose = f"{folder.name}: " if folder is not None else ""
            self._say(f"{record.levelname}: {whose}{record.getMessage()}")
        if folder is None:
            return
        try:
            with open(folder / "train.log", "a", encoding="utf-8") as file:
                file.write(f"{self.format(record)}\n")
        except OSError:
            return  # what could not be written is in the notes


@contextmanager
def member_logs(say: Callable[[str], None]) -> Iterator[MemberLogs]:
    """While it lasts, records go to the logs of the members that they concern.

    Args:
        say: takes warnings and errors.
    """
    logs = MemberLogs(say)
    root, ours = logging.getLogger(), logging.getLogger("nnlab")
    levels = root.level, ours.level
    root.addHandler(logs)
    root.setLevel(logging.WARNING)
    ours.setLevel(logging.INFO)
    try:
        yield logs
    finally:
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
        root.removeHandler(logs)
