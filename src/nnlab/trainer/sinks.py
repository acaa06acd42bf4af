"""Where a training writes: metrics.csv, loggers, checkpoints. None of them can end it."""

import logging
import math
import re
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from nnlab.folder import METRICS_FILE, RESULT_FILE, FolderError, TableFile, write_atomic, write_json
from nnlab.logger.base import Image, Logger, Media, Run
from nnlab.manifest import MANIFEST_FILE, write_manifest
from nnlab.trainer.checkpoint import Checkpoints

if TYPE_CHECKING:  # matplotlib takes half a second, which only those who draw shall pay
    from matplotlib.figure import Figure

log = logging.getLogger("nnlab")

#: seconds between two writes of rows to metrics.csv; every row is there at each checkpoint and at the end
FLUSH_S = 0.5
#: what checkpoints are called in notes
CHECKPOINT = "the checkpoint"


@final
class Sinks:
    """Everything that a training writes to.

    A part that fails (a full disk, most often) is reported once, noted, and tried again only where nothing is lost by
    it: metrics and checkpoints at their next turn; a logger is let go of, since its file may be torn.

    Args:
        folder: the run's folder; None for a training that leaves nothing on disk.
        loggers: where scalars, histograms and pictures go.
        notes: gets one sentence for each thing that failed.
        name: the run's name.
    """

    def __init__(self, folder: Path | None, loggers: Sequence[Logger], notes: list[str], name: str) -> None:
        self.folder = folder
        self.name = name
        self.notes = notes
        self._loggers = list(loggers)
        self._metrics = TableFile(folder / METRICS_FILE) if folder is not None else None
        self._tables: dict[str, TableFile] = {}
        self._checkpoints = Checkpoints(folder) if folder is not None else None
        self._flushed_s = -math.inf
        self._failed: set[str] = set()

    def note(self, text: str, level: int = logging.WARNING) -> None:
        """Say something in the log and in the result's notes.

        Args:
            text: one sentence.
            level: logging.INFO for what the header says as well, which a terminal need not show twice.
        """
        self.notes.append(text)
        log.log(level, text)

    def start(self, run: Run) -> None:
        """Start every logger."""
        self._each_logger(lambda logger: logger.start(run))

    def row(self, row: Mapping[str, float | int], scalars: Mapping[str, float], time_s: float) -> None:
        """Write one evaluation.

        Args:
            row: for ``metrics.csv``.
            scalars: for the loggers.
            time_s: the moment, as time.time() gives it.
        """
        metrics = self._metrics
        if metrics is not None:
            metrics.append(row)
            now = time.monotonic()
            if now - self._flushed_s >= FLUSH_S:
                self._flushed_s = now
                self._flush_tables()
        self._each_logger(lambda logger: logger.scalars(int(row["step"]), scalars, time_s))

    def table_row(self, name: str, row: Mapping[str, float | int | None]) -> None:
        """Add a row to ``<name>.csv``; it is there at the next row of ``metrics.csv`` that is written.

        Args:
            name: of the table.
            row: the same columns every time; None for an empty cell.
        """
        if self.folder is not None:
            self._tables.setdefault(name, TableFile(self.folder / f"{name}.csv")).append(row)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Send named numbers to every logger."""
        self._each_logger(lambda logger: logger.scalars(step, values, time.time()))

    def media(self, step: int, tag: str, item: Media) -> None:
        """Send a histogram or a picture to every logger."""
        self._each_logger(lambda logger: logger.media(step, tag, item))

    def figure(self, step: int, name: str, figure: "Figure") -> None:
        """Draw a figure into ``figures/<name>.png`` and into every logger.

        Args:
            step: optimizer steps done.
            name: of the file, without ending.
            figure: what to draw.
        """
        from nnlab.figure.png import png

        payload, width, height = png(figure)
        folder = self.folder
        if folder is not None:
            self._attempt(f"figures/{name}.png", lambda: _write_figure(folder / "figures", name, payload))
        self.media(step, f"figures/{name}", Image(payload, width, height))

    def say(self, text: str) -> None:
        """Put one sentence into the log and the notes: something found, not something wrong."""
        self.note(text, logging.INFO)

    def num_rows(self) -> dict[str, int]:
        """How many rows each table of the folder has by now."""
        tables = {"metrics": self._metrics} if self._metrics is not None else {}
        return {name: table.num_rows for name, table in (tables | self._tables).items()}

    def resume(self, num_rows: Mapping[str, int]) -> None:
        """Go on with the tables that an earlier process left; rows that it wrote after its checkpoint are dropped.

        Args:
            num_rows: what ``num_rows`` was at the checkpoint; a table that it does not name begins anew.

        Raises:
            FolderError: if a table has fewer rows.
            OSError: if a table cannot be written.
        """
        assert self.folder is not None
        odd = [name for name in num_rows if not re.fullmatch(r"[\w-][\w.-]*", name)]
        if odd:  # a checkpoint may come from a stranger, and the name becomes that of a file
            raise FolderError(f"{self.folder}: the checkpoint names a table {odd[0][:100]!r}; it is damaged or foreign")
        for name, count in num_rows.items():
            if name != "metrics":
                self._tables[name] = TableFile(self.folder / f"{name}.csv")
                self._tables[name].cut(count)
        assert self._metrics is not None
        self._metrics.cut(num_rows.get("metrics", 0))

    def checkpoint(self, step: int, state: dict[str, Any], best: tuple[int, dict[str, Any]] | None) -> None:
        """Write a checkpoint: its payload, then the rows and events that belong to it, then what points to it."""
        checkpoints = self._checkpoints
        if checkpoints is not None:
            # Rows first, as far as there is room: on a nearly full disk they fit where a checkpoint does not.
            self._flush_tables()
            self._attempt(CHECKPOINT, lambda: checkpoints.save(step, state, best, self._sync))

    def _sync(self) -> None:
        # Not guarded: a checkpoint that counts rows which are not there could never be resumed.
        for table in self._every_table():
            table.flush(durably=True)
        self._each_logger(lambda logger: logger.sync())

    def result(self, content: Mapping[str, Any]) -> None:
        """Rewrite ``result.json``."""
        folder = self.folder
        if folder is not None:
            self._attempt(RESULT_FILE, lambda: write_json(folder / RESULT_FILE, content))

    def manifest(self, final: bool) -> None:
        """Write down the size and the digest of every file.

        Args:
            final: whether nothing follows.
        """
        folder = self.folder
        if folder is not None:
            self._attempt(MANIFEST_FILE, lambda: write_manifest(folder, final))

    def has_lost(self, what: str) -> bool:
        """Whether something could not be written at its last turn.

        Args:
            what: ``CHECKPOINT`` or the name of a file in the run's folder.
        """
        return what in self._failed

    def end(self, status: str) -> None:
        """Tell every logger how the run ended; nothing but ``close`` follows."""
        self._each_logger(lambda logger: logger.end(status))

    def close(self) -> None:
        """Write what is held back and close every logger."""
        self._flush_tables()
        self._each_logger(lambda logger: logger.close())

    def _every_table(self) -> list[TableFile]:
        return [table for table in (self._metrics, *self._tables.values()) if table is not None]

    def _flush_tables(self) -> None:
        for table in self._every_table():
            self._attempt(table.path.name, table.flush)

    def _each_logger(self, action: Callable[[Logger], None]) -> None:
        for logger in list(self._loggers):
            what = f"logger {type(logger).__name__}"
            try:
                works = self._attempt(what, partial(action, logger))
            except Exception as error:  # whoever wrote it, a logger is worth no training
                works = False
                self.note(f"{what} failed ({type(error).__name__}: {error}); training goes on without it")
                log.info("%s", traceback.format_exc())
            if not works:
                self._loggers.remove(logger)

    def _attempt(self, what: str, action: Callable[[], None]) -> bool:
        try:
            action()
        except OSError as error:
            if what not in self._failed:
                self._failed.add(what)
                self._note_once(f"{what} could not be written ({error.strerror or error}); training goes on without it")
            return False
        if what in self._failed:
            self._failed.discard(what)
            self._note_once(f"{what} could be written again")
        return True

    def _note_once(self, text: str) -> None:
        """On a disk that is nearly full, every other checkpoint may find room: only train.log has all of that."""
        if text in self.notes:
            log.info(text)
        else:
            self.note(text)


def _write_figure(folder: Path, name: str, payload: bytes) -> None:
    folder.mkdir(exist_ok=True)
    write_atomic(folder / f"{name}.png", payload)
