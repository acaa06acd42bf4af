"""What a run came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from nnlab.api.page import image, paragraph, table, text
from nnlab.api.picture import Pictures
from nnlab.config import ConfigError
from nnlab.folder import METRICS_FILE, RESULT_FILE, FolderError, read_json
from nnlab.metrics_file import read_metrics
from nnlab.report.arrays import read_arrays
from nnlab.restore import LoadedRun, Which, load_run
from nnlab.words import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
@dataclass(frozen=True)
class Metrics:
    """A run's figures.

    Args:
        final: of the last evaluation, such as ``train/loss``, and its epoch and step.
        best: of the best one, with the ``metric`` that chose it and its ``value``.
        test: of the test rows, with the parameters of the best one; empty without such rows.
    """

    final: Mapping[str, Any]
    best: Mapping[str, Any]
    test: Mapping[str, float]


@final
class Result:
    """What a run came to, and where it is.

    Args:
        folder: the run's.
        content: of ``result.json``.
        plugins: packages that its config may use.
    """

    def __init__(self, folder: Path, content: Mapping[str, Any], plugins: Sequence[str] = ()) -> None:
        self.folder = folder
        self.content = content
        self._at = folder.absolute()  # the program may go to another folder
        self._plugins = tuple(plugins)

    @staticmethod
    def read(folder: Path, plugins: Sequence[str] = ()) -> "Result":
        """The result of a run that was trained before.

        Args:
            folder: the run's.
            plugins: packages that its config may use.

        Raises:
            FolderError: if it has no result.
        """
        return Result(folder, read_json(folder / RESULT_FILE), plugins)

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.content["name"])

    @property
    def status(self) -> str:
        """``completed``, ``early_stopped``, ``diverged``, ``failed``, ``interrupted`` or ``preempted``."""
        return str(self.content["status"])

    @property
    def reason(self) -> str:
        """Why it ended, in a sentence."""
        return str(self.content["reason"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What nnlab has chosen itself, and what is not as one might expect."""
        return tuple(self.content.get("notes") or ())

    @property
    def metrics(self) -> Metrics:
        """Its figures."""
        return Metrics(self.content["final"] or {}, self.content["best"] or {}, self.content["test"] or {})

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """A row for each evaluation, as in ``metrics.csv``; none if it never came to one."""
        path = self._at / METRICS_FILE
        return read_metrics(path) if path.exists() else []

    def frame(self) -> Any:
        """The history as a table of pandas.

        Raises:
            ConfigError: without pandas.
        """
        try:
            import pandas  # type: ignore[import-untyped]
        except ImportError:
            raise ConfigError("Result.frame: pandas is missing; pip install 'nnlab[table]' brings it") from None
        return pandas.DataFrame(self.history)

    @cached_property
    def figures(self) -> Pictures:
        """Its figures by their names, such as ``learning_curves``; none if it was not evaluated."""
        return Pictures(self._draw)

    def load(self, checkpoint: Which = "best") -> LoadedRun:
        """The trained model, ready to predict.

        Args:
            checkpoint: ``best`` for the parameters that the monitored metric chose, ``last`` for the newest.

        Raises:
            ValueError: as ``nnlab.load_run``.
        """
        return load_run(self._at, checkpoint, self._plugins)

    def _draw(self) -> "Mapping[str, Figure]":
        arrays = {path.stem: read_arrays(path) for path in sorted((self._at / "arrays").glob("*.npz"))}
        if "about" not in arrays or not self.history:
            return {}
        from nnlab.run_figures import figures_of  # matplotlib takes half a second

        return dict(figures_of(self.name, arrays, self.history))

    def _about(self) -> str:
        return f"{self.status}: {self.reason} ({counted(self.content['steps'], 'step')}, {self.folder})"

    def __repr__(self) -> str:
        best, test = self.metrics.best, self.metrics.test
        parts = [f"{self.status} after {counted(self.content['epochs'], 'epoch')}"]
        parts += [f"best {best['metric']} {number(best['value'])}"] if best else [self.reason]
        parts += [f"test loss {number(test['loss'])}"] if "loss" in test else []
        return f"Result({self.name}: {', '.join(parts)}, {self.folder})"

    def _repr_html_(self) -> str:
        parts = [paragraph(f"{self.name}, {self._about()}"), self._table()]
        parts += [f"<ul>{''.join(f'<li>{text(note)}</li>' for note in self.notes)}</ul>"] if self.notes else []
        try:
            curves = self.figures.get("learning_curves")
        except (FolderError, OSError) as error:
            return "".join([*parts, paragraph(f"its figures cannot be drawn: {error}")])
        return "".join([*parts, *([image(curves.png, "learning curves")] if curves is not None else [])])

    def _table(self) -> str:
        metrics = self.metrics
        if not metrics.final:
            return ""
        splits = [split for split in ("train", "valid") if f"{split}/loss" in metrics.final]
        names = list(dict.fromkeys(key.partition("/")[2] for key in metrics.final if key.partition("/")[0] in splits))
        ends = {"best": metrics.best, "final": metrics.final}
        columns = ["", *(f"{end} {split}" for end in ends for split in splits), "test (of best)"]
        epochs = [str(row.get("epoch", "-")) for row in ends.values() for _ in splits]
        rows = [["epoch", *epochs, str(metrics.best.get("epoch", "-"))]]
        for name in names:
            cells = [number(row.get(f"{split}/{name}")) for row in ends.values() for split in splits]
            rows.append([name, *cells, number(metrics.test.get(name))])
        return table(columns, rows, 1)


def number(value: float | None) -> str:
    """A figure for people."""
    return "-" if value is None else f"{value:.6g}"
