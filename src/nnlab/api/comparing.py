"""``nnlab.compare``: runs held against each other."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final, runtime_checkable

from nnlab.api.page import image, paragraph, table, text
from nnlab.api.picture import Pictures
from nnlab.api.words import as_path
from nnlab.config import ConfigError
from nnlab.report import compare as command
from nnlab.report.comparison import SORTS, Asked
from nnlab.report.comparison import Comparison as Found
from nnlab.report.interval import METHODS
from nnlab.report.layouts import FORMATS, Format, cells_of, columns_of, heading, layout, sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@runtime_checkable
class InFolder(Protocol):
    """A ``Result`` or a ``Sweep``."""

    @property
    def folder(self) -> Path:
        """Where it is."""


Source = str | os.PathLike[str] | InFolder


@final
class Comparison:
    """What ``nnlab compare`` prints.

    Args:
        compared: what was found.
    """

    def __init__(self, compared: command.Compared) -> None:
        self._compared = compared

    @property
    def found(self) -> Found:
        """The object that the command prints: a row for each group, and the differences between them."""
        return self._compared.comparison

    @property
    def metric(self) -> str:
        """What was compared."""
        return self.found.metric

    @property
    def notes(self) -> tuple[str, ...]:
        """Whatever forbids to take the table at face value, and a sentence for each run that could not be read."""
        return (*self.found.notes, *self._compared.problems)

    @property
    def sentences(self) -> list[str]:
        """What the differences between the best group and the others say."""
        return sentences(self.found)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The table as it is printed: for each group its cells by their headings."""
        columns = columns_of(self.found)
        return [dict(zip(columns, cells_of(self.found, row), strict=True)) for row in self.found.rows]

    @cached_property
    def figures(self) -> Pictures:
        """The figures of the comparison by their names, such as ``strip``."""
        return Pictures(self._draw)

    def text(self, form: Format = "table") -> str:
        """The comparison as the command prints it.

        Args:
            form: ``table``, ``csv``, ``markdown``, ``latex`` or ``json``.

        Raises:
            ConfigError: for another form.
        """
        if form not in FORMATS:
            raise ConfigError(f"form: expected one of {', '.join(FORMATS)}, found {form!r}")
        return layout(self.found, form)

    def _draw(self) -> "Mapping[str, Figure]":
        from nnlab.report.drawings import sketches_of  # matplotlib takes half a second

        made = {sketch.name: sketch.make() for sketch in sketches_of(self.found)}
        return {name: figure for name, figure in made.items() if figure is not None}

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"Comparison({heading(self.found)})"

    def _repr_html_(self) -> str:
        rows = [cells_of(self.found, row) for row in self.found.rows]
        parts = [table(columns_of(self.found), rows, len(self.found.keys), heading(self.found))]
        parts += map(paragraph, self.sentences)
        parts += [f"<ul>{''.join(f'<li>{text(note)}</li>' for note in self.notes)}</ul>"] if self.notes else []
        return "".join([*parts, *(image(self.figures[name].png, name) for name in self.figures if name == "strip")])


def compare(
    runs: Source | Sequence[Source],
    metric: str | None = None,
    by: str | Sequence[str] | None = None,
    target: float | None = None,
    where: Sequence[str] = (),
    sort: str = "best",
    interval: str = "student",
) -> Comparison:
    """Compare runs, as ``nnlab compare`` does.

    Args:
        runs: a folder of a run or a sweep, a ``Result``, a ``Sweep``, or a list of them.
        metric: such as ``valid/loss``, or ``test/loss`` at the best epoch; None for what the runs were selected by.
        by: keys to group by, such as ``optim``; None for those in which the runs differ.
        target: a value of the metric to be reached.
        where: conditions on the runs, such as ``["optim=adam"]``.
        sort: by which column: ``best``, ``test``, ``group``, ``steps`` or ``seconds``.
        interval: of the means: ``student`` or another method that `nnlab compare --help` names.

    Returns:
        The comparison.

    Raises:
        nnlab.ConfigError: for a sort or an interval that does not exist.
        nnlab.FolderError: for folders without runs that can be read, or questions that the runs do not answer.
    """
    several = [runs] if isinstance(runs, str | os.PathLike | InFolder) else list(runs)
    for name, value, known in (("sort", sort, SORTS), ("interval", interval, METHODS)):
        if value not in known:
            raise ConfigError(f"{name}: expected one of {', '.join(known)}, found {value!r}")
    if not several:
        raise ConfigError("nnlab.compare: expected folders of runs or sweeps, found none")
    folders = [_folder(source) for source in several]
    keys = [by] if isinstance(by, str) else by
    return Comparison(command.find(folders, Asked(metric, keys, target, sort, interval), where))


def _folder(source: Any) -> Path:
    # A result knows where it is even if the program has gone to another folder.
    return getattr(source, "_at", None) or as_path(source.folder if isinstance(source, InFolder) else source)
