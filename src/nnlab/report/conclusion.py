"""What a sweep ends with: the comparison of its members, on the terminal and in its folder."""

import logging
import shlex
from pathlib import Path

from nnlab.durable import write_atomic
from nnlab.folder import FolderError
from nnlab.report import search
from nnlab.report.compare import Compared, find, write
from nnlab.report.comparison import Asked
from nnlab.report.layouts import layout
from nnlab.report.search_record import SearchRecord

log = logging.getLogger("nnlab")

_EVENTS = "events.out.tfevents.*"
PAGE_FILE, TABLE_FILE, FIGURES = "comparison.html", "comparison.csv", "figures"


def conclude(folder: Path) -> str:
    """Compare a sweep's members, and write `comparison.html`, `comparison.csv` and the figures into its folder.

    Args:
        folder: the sweep's.

    Returns:
        What to print: the table, where the rest is, and what could be typed next. What cannot be compared or written
        is said there; it ends nothing.
    """
    quoted = shlex.quote(str(folder))
    try:
        found = find([folder], Asked())
        record = search.search_of([folder])
    except FolderError as error:
        return f"no comparison: {error}"
    lines = [layout(found.comparison, "table")] if record is None else [search.table(record), ""]
    lines += search.sentences(record) if record is not None else []
    lines += [f"note: {problem}" for problem in found.problems]
    try:
        lines += ["", *_written(folder, found, record)]
    except Exception as error:  # whatever a figure stumbles over, the runs are there
        lines.append(f"note: the comparison's page could not be written ({type(error).__name__}: {error})")
        log.info("the comparison's page could not be written", exc_info=True)
    return "\n".join([*lines, f"  more       nnlab compare {quoted} --help", f"  look       nnlab dashboard {quoted}"])


def _written(folder: Path, found: Compared, record: SearchRecord | None) -> list[str]:
    write_atomic(folder / TABLE_FILE, f"{layout(found.comparison, 'csv')}\n".encode())
    command = f"nnlab compare {shlex.quote(str(folder))} --html {shlex.quote(str(folder / PAGE_FILE))}"
    written = write(found, folder / PAGE_FILE, folder / FIGURES, command, *search.about(record))
    paths = [f"  {what:<10} {shlex.quote(str(path))}" for what, path in written.paths.items()]
    # Trials of one run each are groups of one.
    has_groups = record is None or record.head.num_seeds > 1
    aggregates = _aggregated(folder, found) if has_groups else None
    paths += [f"  {'groups':<10} nnlab dashboard {shlex.quote(str(aggregates))}"] if aggregates is not None else []
    return [*(f"note: {problem}" for problem in written.problems), *paths]


def _aggregated(folder: Path, found: Compared) -> Path | None:
    """A run of events for each group, where the members have events: a page shows no more of hundreds."""
    if len(found.runs) < 2 or not any(next(run.folder.glob(_EVENTS), None) for run in found.runs):
        return None
    from nnlab.report.aggregate import AGGREGATE, write_aggregates

    metrics = [column for column in found.runs[0].columns if column.startswith(("train/", "valid/"))]
    write_aggregates(folder, [row.group for row in found.comparison.rows], metrics)
    return folder / AGGREGATE
