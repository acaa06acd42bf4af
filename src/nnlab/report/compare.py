"""What `nnlab compare` does: from words to text, and to the page and the figures if they are asked for."""

import argparse
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab.config import ConfigError
from nnlab.durable import write_atomic
from nnlab.folder import RESULT_FILE, RUN_FILE, FolderError
from nnlab.report.comparison import SORTS, Asked, Comparison, compare
from nnlab.report.groups import chosen_runs
from nnlab.report.interval import METHODS
from nnlab.report.layouts import FORMATS, Format, layout
from nnlab.report.members import find_runs
from nnlab.report.runs import RunData, read_runs

if TYPE_CHECKING:
    from nnlab.report.drawings import Sketch

#: the commas between conditions, not those of a list
_BETWEEN = re.compile(r",(?![^\[]*\])")


@dataclass(frozen=True)
class Words:
    """What was typed after the verb.

    Args:
        folders: of runs and sweeps.
        asked: what is asked about them.
        where: conditions on the runs.
        form: of the text.
        html: where the page goes; None for none.
        figures: the folder that figures go to; None for none.
    """

    folders: tuple[Path, ...]
    asked: Asked
    where: tuple[str, ...]
    form: Format
    html: Path | None
    figures: Path | None


@dataclass(frozen=True)
class Compared:
    """What was found.

    Args:
        comparison: of the runs that could be read.
        runs: these runs.
        problems: a sentence for each of the others.
    """

    comparison: Comparison
    runs: tuple[RunData, ...]
    problems: tuple[str, ...]


def parse(words: Sequence[str]) -> Words:
    """Read the words of the command line.

    Args:
        words: what was typed after ``compare``.

    Raises:
        ConfigError: for words that make no sense.
    """
    parser = _Parser(prog="nnlab compare", add_help=False, allow_abbrev=False)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--metric")
    parser.add_argument("--by", action="append")
    parser.add_argument("--target", type=float)
    parser.add_argument("--sort", choices=SORTS, default="best")
    parser.add_argument("--where", action="append", default=[])
    parser.add_argument("--interval", choices=METHODS, default="student")
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument("--html", type=Path)
    parser.add_argument("--figures", type=Path)
    typed = parser.parse_args(list(words))
    if not typed.folders:
        raise ConfigError("expected folders of runs or sweeps, as in nnlab compare outputs/rings/2026-01-31_12-00-00")
    by = None if typed.by is None else [key for part in typed.by for key in part.split(",") if key]
    if by == []:
        raise ConfigError("--by: expected keys, as in --by optim,model.width; found none")
    if typed.target is not None and not math.isfinite(typed.target):
        raise ConfigError(f"--target: expected a finite number, found {typed.target}")
    if typed.html is not None and typed.html.is_dir():
        raise ConfigError(f"--html: expected a file, such as {typed.html / 'report.html'}; {typed.html} is a folder")
    if typed.figures is not None and typed.figures.exists() and not typed.figures.is_dir():
        raise ConfigError(f"--figures: expected a folder; {typed.figures} is a file")
    where = [condition for part in typed.where for condition in _BETWEEN.split(part) if condition]
    asked = Asked(typed.metric, by, typed.target, typed.sort, typed.interval)
    return Words(tuple(typed.folders), asked, tuple(where), typed.format, typed.html, typed.figures)


def find(folders: Sequence[Path], asked: Asked, where: Sequence[str] = ()) -> Compared:
    """Compare the runs in some folders.

    Args:
        folders: of runs and sweeps, finished or not.
        asked: what is asked about them.
        where: conditions on the runs.

    Raises:
        FolderError: for folders without runs that could be read, or questions that the runs do not answer.
    """
    runs, problems = read_runs(find_runs(folders, (RUN_FILE, RESULT_FILE)))
    if not runs:
        raise FolderError("; ".join(problems))
    chosen = chosen_runs(runs, where)
    return Compared(compare(chosen, asked), tuple(chosen), tuple(problems))


def run(words: Words, typed: Sequence[str]) -> tuple[str, tuple[str, ...], int]:
    """What `nnlab compare` prints and writes.

    Args:
        words: what was asked for.
        typed: the same as it was typed, for the page.

    Returns:
        The text, a sentence for each run that could not be read, and the exit code.

    Raises:
        FolderError: as ``find``.
        OSError: if the page or a figure cannot be written.
    """
    found = find(words.folders, words.asked, words.where)
    lines = [layout(found.comparison, words.form)]
    notes = list(found.problems)
    if words.html is not None or words.figures is not None:
        from nnlab.report import search  # draws

        about = search.about(search.search_of(words.folders))
        written = write(found, words.html, words.figures, f"nnlab {shlex.join(typed)}", *about)
        notes += written.problems
        if words.form == "table":
            lines.append("\n".join(f"  {what:<10} {path}" for what, path in written.paths.items()))
    return "\n\n".join(lines), tuple(notes), 2 if found.problems else 0


@dataclass(frozen=True)
class Written:
    """What was written.

    Args:
        paths: by what it is called.
        problems: a sentence for each figure that could not be drawn.
    """

    paths: Mapping[str, Path]
    problems: tuple[str, ...]


def write(
    found: Compared,
    html: Path | None,
    figures: Path | None,
    command: str,
    lead: Sequence[str] = (),
    sketches: "Sequence[Sketch]" = (),
) -> Written:
    """Write the page and the figures of a comparison.

    Args:
        found: what was found.
        html: where the page goes; None for none.
        figures: the folder that figures go to; None for none.
        command: what makes the page again.
        lead: paragraphs that the page begins with.
        sketches: figures that stand before those of the comparison.

    Raises:
        OSError: if it cannot be written.
    """
    from nnlab.report.drawings import drawn, sketches_of  # matplotlib takes half a second
    from nnlab.report.page import page

    drawings, problems = drawn([*sketches, *sketches_of(found.comparison)])
    paths = {}
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        for drawing in drawings:
            write_atomic(figures / f"{drawing.name}.svg", drawing.svg)
            write_atomic(figures / f"{drawing.name}.png", drawing.png)
        paths["figures"] = figures
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(html, page(found, drawings, command, lead).encode())
        paths["page"] = html
    return Written(paths, tuple(problems))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ConfigError(message)
