"""The pages of `nnlab data` and `nnlab model`: what a run would train on, and what would be trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from torch import Tensor

from nnlab.build import build_model
from nnlab.config import ConfigError
from nnlab.console import columns_table, describe_model, table_text
from nnlab.data.dataset import Dataset
from nnlab.data.folds import class_counts, fold_words
from nnlab.data.raw_columns import raw_columns
from nnlab.durable import write_atomic
from nnlab.rows import build_data
from nnlab.small_model import forward_pass, page_lines
from nnlab.words import counted

if TYPE_CHECKING:  # matplotlib takes half a second, which only those who draw shall pay
    from nnlab.figure import CategoryColumn, NumberColumn

#: columns shown one by one; wider data sets show the first ones
MOST_COLUMNS = 12
#: of a page, in characters
WIDTH = 110
#: of a table whose cells are not to be broken
MOST_WIDTH = 10_000
#: columns of a table of one's own that have a line each
MOST_OWN_COLUMNS = 100
#: columns that the figure shows, targets included
MOST_PANELS = 16
#: rows of each split that tables and figures are made of where rows stay on disk
MOST_ROWS = 100_000


def data_page(config: Mapping[str, Any], choices: Mapping[str, Any], figure: Path | None = None) -> str:
    """Task, splits, classes and columns of the data that a config chooses.

    Args:
        config: resolved, plain values.
        choices: the option chosen for each group.
        figure: where a picture of the columns goes, a .png or .svg file; None for none.

    Returns:
        The page.

    Raises:
        ConfigError: for data that cannot be had, or a figure that cannot be drawn there.
        OSError: if the figure cannot be written.
    """
    if figure is not None:
        _check_figure(figure)
    dataset, preprocessing = build_data(config)
    lines = [
        f"{choices['data']}: {dataset.task}",
        f"  inputs   {len(dataset.input_names)}: {_some(dataset.input_names)}",
        f"  target   {_some(dataset.target_names)}",
    ]
    if preprocessing.input_names != dataset.input_names:
        lines.append(f"  expanded {len(preprocessing.input_names)}: {_some(preprocessing.input_names)}")
    for name, split in dataset.splits.items():
        lines.append(f"  {name:<8} {counted(len(split), 'row')}{_class_counts(dataset, split.target)}")
    if folds := fold_words(dataset, config["data"].get("folds"), config["data"].get("fold", 0)):
        lines.append(f"  folds    {folds}; train is all others")
    if dataset.valid is None:
        lines.append("  valid    none, so the best epoch is chosen by train/loss")
    batch = min(config["data"]["batch_size"], len(dataset.train))
    if batch < 1:
        raise ConfigError(f"data.batch_size: expected at least 1, found {batch}")
    lines.append(f"  batches  {-(-len(dataset.train) // batch):,} of {batch:,} rows an epoch")
    dataset = dataset.sample(MOST_ROWS)
    seen = preprocessing.inputs(dataset.train.inputs)
    own = dataset.encoding is not None
    tables = [
        *([] if own else [_columns_table("training inputs", dataset.input_names, dataset.train.inputs)]),
        *([_columns_table("as the model sees them", preprocessing.input_names, seen)] if _changes(config) else []),
    ]
    if dataset.task == "regression":
        tables.append(_columns_table("training targets", dataset.target_names, dataset.train.target))
    page = [*lines, ""]
    if own:
        page.append(table_text(columns_table(dataset, MOST_OWN_COLUMNS), MOST_WIDTH))
    page += [table_text(table, WIDTH) for table in tables]
    page += [f"note: {note}" for note in dataset.notes]
    if figure is not None:
        path = config["data"].get("path")
        _draw(dataset, f"{Path(path).name if path else choices['data']}: what stands in the columns", figure)
        page.append(f"figure   {figure}")
    return "\n".join(page).rstrip()


def _check_figure(path: Path) -> None:
    """Before the data are read, which may take a while."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"--figure: expected a file that ends in .png or .svg, found {path}")
    if not path.parent.is_dir():
        raise ConfigError(f"--figure: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise ConfigError(f"--figure: {path} is no file")


def _draw(dataset: Dataset, title: str, path: Path) -> None:
    from nnlab.figure import column_histograms, png, svg

    columns = _drawn_columns(dataset)
    left_out = len(columns) - MOST_PANELS
    note = f"{counted(left_out, 'more column')} not shown" if left_out > 0 else ""
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    figure = column_histograms(columns[:MOST_PANELS], sizes, title, note)
    write_atomic(path, svg(figure) if path.suffix.lower() == ".svg" else png(figure)[0])


def _drawn_columns(dataset: Dataset) -> list["NumberColumn | CategoryColumn"]:
    """Targets first."""
    from nnlab.figure import CategoryColumn, NumberColumn

    splits = dataset.splits
    columns: list[NumberColumn | CategoryColumn] = []
    if dataset.class_names:
        counts = {
            name: np.bincount(split.target.flatten().long().numpy(), minlength=len(dataset.class_names))
            for name, split in splits.items()
        }
        columns.append(CategoryColumn(dataset.target_names[0], dataset.class_names, counts, is_target=True))
    else:
        for place, target in enumerate(dataset.target_names):
            values = {name: split.target[:, place].numpy() for name, split in splits.items()}
            columns.append(NumberColumn(target, values, is_target=True))
    for column in raw_columns(dataset):
        if column.kind == "category":
            counts = {name: column.counts(split) for name, split in splits.items()}
            columns.append(CategoryColumn(column.name, *_without_nothing([*column.categories, "none of them"], counts)))
        elif column.kind == "boolean":
            counts = {name: column.truths(split) for name, split in splits.items()}
            columns.append(CategoryColumn(column.name, ("false", "true"), counts))
        else:
            values = {name: column.inputs(split)[:, 0] for name, split in splits.items()}
            unit = f" ({column.becomes.partition(';')[0]})" if column.kind == "date" else ""
            columns.append(NumberColumn(f"{column.name}{unit}", values))
    return columns


def _without_nothing(
    labels: Sequence[str], counts: Mapping[str, np.ndarray]
) -> tuple[Sequence[str], Mapping[str, np.ndarray]]:
    """Leave the last place out if no row of any split is there."""
    if any(count[-1] for count in counts.values()):
        return labels, counts
    return labels[:-1], {name: count[:-1] for name, count in counts.items()}


def model_page(config: Mapping[str, Any]) -> str:
    """The layers, shapes and parameters of the model that a config chooses, for its data; of a small one the numbers.

    Args:
        config: resolved, plain values.

    Returns:
        The page.

    Raises:
        ConfigError: for a model or data that cannot be had.
    """
    dataset, preprocessing = build_data(config)
    num_inputs = len(preprocessing.input_names)
    model = build_model(config, num_inputs, dataset.num_outputs).eval()
    first = preprocessing.inputs(dataset.train.inputs[:1])
    outputs = forward_pass(model, first)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("layer", "kind", "output", "parameters"):
        table.add_column(column, justify="right" if column == "parameters" else "left")
    table.add_row("", "input", f"B x {num_inputs}", "")
    for name, module in model.named_modules():
        if not list(module.children()):
            count = sum(parameter.numel() for parameter in module.parameters())
            shape = _shape(outputs[name]) if name in outputs else "-"
            table.add_row(name, repr(module), shape, f"{count:,}" if count else "")
    return "\n".join([describe_model(model), "", table_text(table, WIDTH).rstrip("\n"), *page_lines(model, first)])


def _shape(output: Tensor) -> str:
    return " x ".join(["B", *(str(size) for size in output.shape[1:])])


def _columns_table(title: str, names: tuple[str, ...], values: Tensor) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title)
    for column in ("min", "mean", "std", "max"):
        table.add_column(column, justify="right")
    shown = values[:, :MOST_COLUMNS].double()
    for index, name in enumerate(names[:MOST_COLUMNS]):
        values_of = shown[:, index]
        figures = (values_of.min(), values_of.mean(), values_of.std(correction=0), values_of.max())
        # A standardized column's mean is rounding noise.
        tiny = 1e-6 * float(values_of.abs().max())
        table.add_row(name, *(f"{0.0 if abs(float(value)) < tiny else float(value):.4g}" for value in figures))
    if len(names) > MOST_COLUMNS:
        table.add_row(f"… and {len(names) - MOST_COLUMNS} more")
    return table


def _changes(config: Mapping[str, Any]) -> bool:
    data = config["data"]
    return bool(data.get("expand")) or bool(data.get("standardize")) or data.get("input_scale", 1) != 1


def _class_counts(dataset: Dataset, target: Tensor) -> str:
    counts = class_counts(dataset, target)
    return ": " + ", ".join(f"{count:,} {name}" for name, count in counts.items()) if counts else ""


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:MOST_COLUMNS])
    return shown + (f", … ({len(names)} in all)" if len(names) > MOST_COLUMNS else "")
