"""What `nnlab evaluate` does: the loss and the metrics of a trained run on a split of its data, or of others."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab.build import build_loss, build_metrics
from nnlab.config import ConfigError
from nnlab.data.dataset import Dataset
from nnlab.data.stream.streamed import Streamed
from nnlab.fit_check import check_fit
from nnlab.folder import plain
from nnlab.restore import LoadedRun, Which, load_run, trained_device
from nnlab.rows import build_data, fingerprint, seen
from nnlab.run_overrides import RunOverrides, read_overrides, with_data
from nnlab.run_record import printable
from nnlab.trainer.batches import place
from nnlab.trainer.evaluation import Evaluator, read
from nnlab.trainer.folded import scores
from nnlab.trust import check_config, check_data_size
from nnlab.words import counted

#: what the run's preprocessing stands in for
_PREPROCESSING = ("expand", "input_scale", "standardize", "standardize_target")
#: what a file is called that is not split
ALL = "all"
#: keys that split a table of one's own, with the values that leave it whole
_UNSPLIT = {
    "split": "order",
    "split_column": None,
    "valid_fraction": 0.0,
    "test_fraction": 0.0,
    "num_valid": None,
    "num_test": None,
    "valid_path": None,
    "test_path": None,
    "folds": None,
}


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Args:
        run: what was evaluated.
        split: ``train``, ``valid`` or ``test``; ``all`` of a file that is not split.
        num_rows: of the split.
        metrics: ``loss`` and each metric by name.
        notes: one sentence for each thing that is not as in the training.
    """

    run: LoadedRun
    split: str
    num_rows: int
    metrics: dict[str, float]
    notes: tuple[str, ...]

    @property
    def page(self) -> str:
        """What is printed."""
        width = max(map(len, self.metrics))
        figures = {name: f"{value:.6g}" for name, value in self.metrics.items()}
        run = self.run
        return "\n".join(
            [
                f"{printable(run.name)}: {self._rows}, {run.checkpoint} parameters (step {run.step:,})",
                *(f"  {name:<{width}}  {text:>{max(map(len, figures.values()))}}" for name, text in figures.items()),
            ]
        )

    @property
    def _rows(self) -> str:
        if self.split == ALL:
            return f"all {counted(self.num_rows, 'row')} of the file"
        return f"{self.split} split, {self.num_rows:,} rows"

    @property
    def json(self) -> str:
        """The same for machines."""
        content: dict[str, Any] = {
            "run": str(self.run.folder),
            "name": self.run.name,
            "checkpoint": self.run.checkpoint,
            "step": self.run.step,
            "split": self.split,
            "rows": self.num_rows,
            "metrics": self.metrics,
            "notes": list(self.notes),
        }
        return json.dumps(plain(content), indent=2)


def evaluate(folder: Path, split: str | None, checkpoint: Which, overrides: Sequence[str]) -> Evaluation:
    """Evaluate a trained run.

    Args:
        folder: the run's folder.
        split: ``train``, ``valid`` or ``test``; None for the last of them that there is.
        checkpoint: ``best`` or ``last``.
        overrides: of ``data``, ``device`` and ``plugins``.

    Returns:
        What was found.

    Raises:
        ValueError: for a folder that cannot be used, wrong overrides, an absent split, or data that do not fit.
    """
    typed = read_overrides(overrides, ("data", "device", "plugins"))
    run = load_run(folder, checkpoint, typed.plugins, typed.device or trained_device(folder))
    is_whole = _is_whole(run, typed)
    if is_whole and split is not None:
        raise ConfigError(
            f"--split {split}: another file is evaluated whole; with data.split=… on the command line it is split"
        )
    dataset = make_data(run, typed)
    notes = [*run.notes, *_data_notes(run, dataset, typed)]
    if split is None:
        split = next(name for name in ("test", "valid", "train") if name in dataset.splits)
    if split not in dataset.splits:
        raise ConfigError(f"--split {split}: these data have no such split, only {' and '.join(dataset.splits)}")
    rows = dataset.splits[split]
    split = ALL if is_whole else split
    loss, _ = build_loss(run.config, run.task)
    metrics = build_metrics(run.config, run.task)
    check_fit(run.task, loss, metrics, run.config["model"], run.options)
    encoded = seen(rows, run.preprocessing, run.readout)
    if not isinstance(encoded, Streamed):
        inputs, target = (place(tensor, run.device, run.precision.dtype) for tensor in encoded)
        encoded = inputs, target
    evaluator = Evaluator(loss, metrics, run.readout)
    with run.settings():
        values = read(scores(evaluator, run.model, encoded, run.precision, run.device))
    return Evaluation(run, split, len(rows), dict(zip(evaluator.names(), values, strict=True)), tuple(notes))


def make_data(run: LoadedRun, overrides: RunOverrides | None = None) -> Dataset:
    """The run's data once more, or others of the same shape; tables of one's own are encoded as the run has learnt.

    Args:
        run: whose config says what they are.
        overrides: of the data; None for none.

    Returns:
        The data set.

    Raises:
        ConfigError: for data that cannot be had, or that do not fit the model.
    """
    overrides = overrides or RunOverrides()
    config = with_data(run.config, overrides)
    check_config(config, config["plugins"])
    node = {key: value for key, value in config["data"].items() if key not in _PREPROCESSING}
    if _is_whole(run, overrides):
        node |= {key: value for key, value in _UNSPLIT.items() if key in node}
    check_data_size(node, [one.key.removeprefix("data.") for one in overrides.data])
    dataset, _ = build_data({**config, "data": node}, run.preprocessing.table)
    if _shape(run) != _shape(dataset):
        raise ConfigError(f"the data are {_shape(dataset)}; the model was trained on {_shape(run)}")
    return dataset


def _is_whole(run: LoadedRun, overrides: RunOverrides) -> bool:
    """Whether the data are another file than the run's, and nothing is said of how it is to be split."""
    typed = {one.key.removeprefix("data.") for one in overrides.data}
    return run.preprocessing.table is not None and "path" in typed and not typed & set(_UNSPLIT)


def _shape(data: LoadedRun | Dataset) -> str:
    """What has to be the same for a model to make sense, in words."""
    outputs = counted(len(data.target_names), "target")
    if data.class_names:
        outputs = f"the classes {', '.join(map(printable, data.class_names))}"
    return f"{data.task}, {counted(len(data.input_names), 'input')}, {outputs}"


def _data_notes(run: LoadedRun, dataset: Dataset, overrides: RunOverrides) -> list[str]:
    changed = overrides.option is not None or bool(overrides.data)
    # What is said of the run's own data was said when it was trained.
    notes = list(dataset.notes) if changed else []
    if not changed and fingerprint(dataset) != run.fingerprint:
        notes.append("these are not the rows that the run was trained and tested on, though the config is the same")
    for what, wanted, found in (
        ("inputs", run.input_names, dataset.input_names),
        ("targets", run.target_names, dataset.target_names),
    ):
        if wanted != found:
            names = [", ".join(map(printable, of)) for of in (found, wanted)]
            notes.append(f"the {what} are called {names[0]} here, and {names[1]} in the training")
    return notes
