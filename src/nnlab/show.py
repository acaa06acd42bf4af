"""The pages of `nnlab data` and `nnlab model`: what a run would train on, and what would be trained."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from torch import Tensor

from nnlab.build import build_model
from nnlab.config import ConfigError
from nnlab.console import describe_model, table_text
from nnlab.data.dataset import Dataset
from nnlab.data.folds import class_counts, fold_words
from nnlab.rows import build_data
from nnlab.small_model import forward_pass, page_lines
from nnlab.words import counted

#: columns shown one by one; wider data sets show the first ones
MOST_COLUMNS = 12
#: of a page, in characters
WIDTH = 110


def data_page(config: Mapping[str, Any], choices: Mapping[str, Any]) -> str:
    """Task, splits, classes and columns of the data that a config chooses.

    Args:
        config: resolved, plain values.
        choices: the option chosen for each group.

    Returns:
        The page.

    Raises:
        ConfigError: for data that cannot be had.
    """
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
    seen = preprocessing.inputs(dataset.train.inputs)
    tables = [
        _columns_table("training inputs", dataset.input_names, dataset.train.inputs),
        *([_columns_table("as the model sees them", preprocessing.input_names, seen)] if _changes(config) else []),
    ]
    if dataset.task == "regression":
        tables.append(_columns_table("training targets", dataset.target_names, dataset.train.target))
    return "\n".join([*lines, "", *(table_text(table, WIDTH) for table in tables)]).rstrip()


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
