"""What a run prints: a header before it, a table and what to type next after it."""

import io
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

import nnlab
from nnlab.data.dataset import Dataset
from nnlab.data.folds import fold_words
from nnlab.data.raw_columns import raw_columns
from nnlab.experiment import Member, Result
from nnlab.run_record import printable
from nnlab.small_model import result_lines
from nnlab.words import counted
from nnlab.world import World

log = logging.getLogger("nnlab")


class Terminal(Console):
    """The console of a run: once nobody reads it (`nnlab train | head`), it is silent, and the run goes on."""

    def on_broken_pipe(self) -> None:
        """Print nothing from here on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


#: members of which each has a line on the terminal
MOST_MEMBERS = 40
#: columns of a table of one's own that the header of a run shows
MOST_COLUMNS = 12
#: rows of each split that it is made of where rows stay on disk
MOST_ROWS = 100_000


def header_lines(member: Member) -> dict[str, str]:
    """What a run is, a line for each part."""
    built, trainer = member.built, member.built.trainer
    dataset = built.dataset
    rows = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits.items())
    rows += " row" if [len(split) for split in dataset.splits.values()] == [1] else " rows"
    data = member.config["data"]
    folds = fold_words(dataset, data.get("folds"), data.get("fold", 0))
    inputs = counted(len(dataset.input_names), "input")
    outputs = f"{len(dataset.class_names)} classes" if dataset.class_names else ", ".join(dataset.target_names)
    threads = f", {counted(trainer.threads, 'thread')}" if trainer.device.type == "cpu" else ""
    engine = trainer.engine.engine.name if trainer.engine is not None else ""
    steps = {"native": ", compiled steps", "inductor": ", torch.compile", "graphs": ", CUDA graphs"}.get(engine, "")
    how = f"{member.config['trainer']['precision']}{steps}"
    world = trainer.world
    return {
        "data": f"{member.choices['data']}: {dataset.task}, {inputs}, {outputs}; {rows}{folds and f'; {folds}'}",
        "model": describe_model(trainer.model),
        "loss": f"{_loss(member)}{_penalties(member.config)}; best epoch by {_monitor(member)}",
        "optimizer": f"{type(trainer.optimizer).__name__}, {_lr(member.config)}, schedule {member.choices['schedule']}",
        "device": f"{trainer.device}{threads}, {how}",
        **({} if world is None else {"processes": _processes(world, trainer.batch_size)}),
        "folder": str(member.folder),
    }


def _processes(world: World, batch_size: int) -> str:
    """Who shares each batch."""
    edges = [batch_size * place // world.size for place in range(world.size + 1)]
    sizes = sorted({end - start for start, end in pairwise(edges)})
    return f"{world.size} by {world.backend}; of each batch of {batch_size:,} rows, {' or '.join(map(str, sizes))} each"


def columns_table(dataset: Dataset, most: int) -> Table:
    """The columns of one's own table: what stands in the training rows, and what the model gets.

    Args:
        dataset: with an encoding.
        most: columns that have a line; the others are counted.
    """
    columns = raw_columns(dataset)
    rows = [(column, column.cells(dataset.train)) for column in columns[:most]]
    every = ("empty", "filled with", "different", "min", "mean", "std", "max", "commonest")
    figures = [name for name in every if any(name in cells for _, cells in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("training inputs")
    table.add_column("kind")
    for name in figures:
        table.add_column(name, justify="left" if name in ("commonest", "filled with") else "right")
    table.add_column("the model gets")
    for column, cells in rows:
        texts = [cells.get(name, "") for name in figures]
        table.add_row(*map(Text, (printable(column.name), column.kind, *texts, column.becomes)))
    if len(columns) > most:
        table.add_row(f"… and {len(columns) - most:,} more")
    return table


def describe_model(model: nn.Module) -> str:
    """Such as ``MLP 2-100-100-3, ReLU: 10,703 parameters``."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    sizes = "-".join(
        str(size) for size in ([layers[0].in_features] if layers else []) + [x.out_features for x in layers]
    )
    inner = [m for m in model.modules() if not isinstance(m, nn.Linear) and not list(m.children()) and m is not model]
    others = ", ".join(dict.fromkeys(type(module).__name__ for module in inner))
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"{type(model).__name__} {sizes}{', ' * bool(others)}{others}: {counted(count, 'parameter')}"


def log_header(member: Member) -> None:
    """Write into the run's log what it is."""
    for name, line in header_lines(member).items():
        log.info("%-10s %s", name, line)


def print_header(console: Console, member: Member) -> None:
    """Print what a run is before it starts."""
    console.print(f"nnlab {nnlab.__version__}  {member.name}", style="bold", highlight=False)
    for name, line in header_lines(member).items():
        console.print(f"  {name:<10} {line}", highlight=False, markup=False, soft_wrap=True)
    console.print()
    dataset = member.built.dataset
    if dataset.encoding is not None:
        print_table(console, columns_table(dataset.sample(MOST_ROWS), MOST_COLUMNS))
        console.print()
    for note in dataset.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    if dataset.notes:
        console.print()


def print_summary(console: Console, member: Member, result: Result) -> None:
    """Print what a run came to, the numbers of a small one, and what to type next."""
    content = result.content
    style = {"completed": "green", "early_stopped": "green", "diverged": "yellow"}.get(result.status, "red")
    steps = counted(content["steps"], "step")
    console.print(
        f"{result.status}: {content['reason']}  ({steps}, {content['seconds']:.1f} s)",
        style=style,
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if content["best"] and content["final"]:
        print_table(console, _table(content))
    numbers = result_lines(member)
    # Those on the data stand above, in the header.
    notes = [note for note in content["notes"] if note not in member.built.dataset.notes]
    for line in [*numbers, *([""] if numbers and notes else [])]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for note in notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    _print_next(console, result.folder)


def print_profile(console: Console, member: Member) -> None:
    """Print where the time of a run went, if it was asked for."""
    profile = member.built.trainer.profile
    if profile is None or not profile.lines:
        return
    console.print()
    for line in profile.lines:
        console.print(f"  {line}".rstrip(), highlight=False, markup=False, soft_wrap=True)


def print_members(console: Console, results: Sequence[Result]) -> None:
    """Print one row for each member of a sweep, in the order of their numbers; of many, those that failed only."""
    left_out = 0
    if len(results) > MOST_MEMBERS:
        shown_ones = [result for result in results if result.status != "completed"][:MOST_MEMBERS]
        left_out, results = len(results) - len(shown_ones), shown_ones
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("member", "status", "best", "epoch", "test loss"):
        table.add_column(column, justify="left" if column in ("member", "status") else "right")
    for result in results:
        best, test = result.content["best"], result.content["test"]
        shown = f"{best['metric']} {best['value']:.6g}" if best else "-"
        table.add_row(result.folder.name, result.status, shown, str(best.get("epoch", "-")), _number(test.get("loss")))
    console.print()
    if results:
        print_table(console, table)
    if left_out:
        more = "more" if results else "completed"
        console.print(f"{left_out:,} {more}, each with a folder of its own", highlight=False)


def print_table(console: Console, table: Table) -> None:
    """Print a table as wide as it is: on a narrow terminal its lines wrap, and no number is cut."""
    text = table_text(table, width=10_000)
    console.print(text, end="", highlight=False, markup=False, soft_wrap=True)


def table_text(table: Table, width: int) -> str:
    """A table as plain lines.

    Args:
        table: without a box.
        width: the most columns that a line may take.
    """
    printed = io.StringIO()
    Console(file=printed, width=width).print(table)
    return "".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines())


def _table(content: Mapping[str, Any]) -> Table:
    best, final, test = content["best"], content["final"], content["test"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    splits = [split for split in ("train", "valid") if f"{split}/loss" in final]
    for split in splits:
        table.add_column(f"best {split}", justify="right")
    for split in splits:
        table.add_column(f"final {split}", justify="right")
    if test:
        table.add_column("test (of best)", justify="right")
    table.add_row(
        "epoch",
        *[str(best["epoch"])] * len(splits),
        *[str(final["epoch"])] * len(splits),
        *[str(best["epoch"])] * bool(test),
    )
    names = dict.fromkeys(key.split("/", 1)[1] for key in final if key.startswith(("train/", "valid/")))
    for name in names:
        cells = [_number(row.get(f"{split}/{name}")) for row in (best, final) for split in splits]
        table.add_row(name, *cells, *([_number(test.get(name))] if test else []))
    return table


def _print_next(console: Console, folder: Path) -> None:
    quoted = shlex.quote(str(folder))
    lines = [f"figures    {quoted}/figures"] if (folder / "figures").is_dir() else []
    lines += [f"trace      {quoted}/trace.csv"] if (folder / "trace.csv").is_file() else []
    lines += [f"look       nnlab dashboard {quoted}"]
    console.print()
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _loss(member: Member) -> str:
    loss = member.built.trainer.loss
    weights = getattr(loss, "class_weight", None)
    shown = "" if weights is None else f", class weights {', '.join(f'{weight:.4g}' for weight in weights)}"
    return f"{type(loss).__name__}{shown}"


def _penalties(config: Mapping[str, Any]) -> str:
    parts = [f"{name}={config['loss'][name]}" for name in ("l1", "l2") if config["loss"].get(name)]
    return f" with {', '.join(parts)}" if parts else ""


def _lr(config: Mapping[str, Any]) -> str:
    return f"lr {config['optim'].get('lr')}"


def _monitor(member: Member) -> str:
    wanted = str(member.config["trainer"]["monitor"])
    if member.built.dataset.valid is None and wanted.startswith("valid/"):
        return "train/loss (there is no validation split)"
    return wanted
