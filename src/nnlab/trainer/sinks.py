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

from nnlab.durable import write_atomic
from nnlab.folder import FIGURE_FORMATS, METRICS_FILE, RESULT_FILE, FolderError, write_json
from nnlab.logger.base import Image, Logger, Media, Run
from nnlab.manifest import MANIFEST_FILE, write_manifest
from nnlab.metrics_file import TableFile
from nnlab.trainer.checkpoint import Checkpoints
from nnlab.trainer.phases import Phases

if TYPE_CHECKING:  # matplotlib takes half a second, which only those who draw shall pay
    from matplotlib.figure import Figure

log = logging.getLogger("nnlab")

#: seconds between two writes of rows to metrics.csv; every row is there at each checkpoint and at the end
FLUSH_S = 0.5
#: what checkpoints are called in notes
CHECKPOINT = "the checkpoint"
#: what the name of a logger begins with there
LOGGER = "logger "


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
        figures: what figures are written as, among ``png`` and ``svg``; empty for no figures at all.
        phases: the training's clock, or None.
    """

    def __init__(
        self,
        folder: Path | None,
        loggers: Sequence[Logger],
        notes: list[str],
        name: str,
        figures: Sequence[str] = FIGURE_FORMATS,
        phases: Phases | None = None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.notes = notes
        self._phases = phases or Phases(False)
        self._loggers = list(loggers)
        self._formats = tuple(figures)
        self._metrics = TableFile(folder / METRICS_FILE) if folder is not None else None
        self._tables: dict[str, TableFile] = {}
        self._checkpoints = Checkpoints(folder) if folder is not None else None
        #: whether result.json and the manifest are written at the start and the end only: one of hundreds of runs that
        #: end in the same moment
        self.is_brief = False
        self._flushed_s = -math.inf
        self._failed: set[str] = set()

    def note(self, text: str, level: int = logging.WARNING) -> None:
        """Say something in the log and in the result's notes.

        Args:
            text: one sentence.
            level: logging.INFO for what the header says as well, which a terminal need not show twice.
        """
        self.notes.append(text)
        # Of several runs that are trained together, each has a log of its own.
        log.log(level, text, extra={"run_folder": self.folder})

    def start(self, run: Run) -> None:
        """Start every logger, and say that there will be no figures where none are wanted."""
        if not self.has_figures:
            self.say("no figures are drawn: figures=[]")
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

    @property
    def has_figures(self) -> bool:
        """Whether figures are drawn at all."""
        return bool(self._formats)

    def figure(self, step: int, name: str, figure: "Figure") -> None:
        """Draw a figure, if the run has figures; what cannot be written is said and ends nothing.

        Args:
            step: optimizer steps done.
            name: of the files, without ending.
            figure: what to draw.
        """
        if self.has_figures:
            self._attempt(f"figures/{name}", lambda: self.draw(step, name, figure))

    def draw(self, step: int, name: str, figure: "Figure") -> None:
        """Draw a figure into every logger and into ``figures/<name>.<ending>`` for each of the run's formats.

        Args:
            step: optimizer steps done.
            name: of the files, without ending.
            figure: what to draw.

        Raises:
            OSError: if a file cannot be written.
        """
        from nnlab import figure as figures

        files: dict[str, bytes] = {}
        if self._loggers or "png" in self._formats:
            files["png"], width, height = figures.png(figure)
            self.media(step, f"figures/{name}", Image(files["png"], width, height))
        if self.folder is None:
            return
        (self.folder / "figures").mkdir(exist_ok=True)
        for ending in FIGURE_FORMATS:
            path = self.folder / "figures" / f"{name}.{ending}"
            if ending in self._formats:
                write_atomic(path, files[ending] if ending in files else figures.svg(figure))
            else:  # drawn before the run was gone on with in other formats, it would be out of date
                path.unlink(missing_ok=True)

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
            self._attempt(CHECKPOINT, lambda: checkpoints.save(step, state, best, self.sync))

    def sync(self) -> None:
        """Bring the rows and events so far to the disk.

        Raises:
            OSError: if the disk refuses: a checkpoint that counts rows which are not there could never be resumed.
        """
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
            what = f"{LOGGER}{type(logger).__name__}"
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
            with self._phases.during(_phase_of(what)):
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


def _phase_of(what: str) -> str:
    """Which phase of a training it is to write something, by what it is called in notes."""
    if what == CHECKPOINT:
        return "checkpoints"
    if what.startswith(LOGGER):
        return "loggers"
    return "figures" if what.startswith("figures/") else "tables and results"
