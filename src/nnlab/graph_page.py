"""`nnlab graph`: the computational graph of loss and model as a page, as a picture and for TensorBoard."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from nnlab.arguments import Arguments
from nnlab.build import Built, build
from nnlab.check import check
from nnlab.command import OUTPUTS, checked, composed
from nnlab.config import ConfigError, Library
from nnlab.console import describe_model, table_text
from nnlab.durable import write_atomic
from nnlab.folder import make_folder
from nnlab.gradient.graph import Graph, Leaf, Node, computational_graph
from nnlab.gradient.operation import meaning
from nnlab.gradient.recording import Recording
from nnlab.graph_picture import draw, shape_text, shortened
from nnlab.logger.autograd_graph import write_graph
from nnlab.model.dropout import seed_dropout
from nnlab.seeding import derive, seed_global
from nnlab.trainer.batches import TensorBatches, place
from nnlab.trainer.shapes import check_inputs
from nnlab.words import counted

#: nodes, and leaves, that the page shows
MOST_LINES = 200
#: rows that the batch is drawn from where rows stay on disk
MOST_ROWS = 10_000
#: of the page, in characters
WIDTH = 120


def graph(arguments: Arguments) -> str:
    """Write the picture and TensorBoard's event file into a folder of their own.

    Args:
        arguments: what was typed after the verb.

    Returns:
        The page.

    Raises:
        ConfigError: with every mistake in the command.
        FolderError: if the folder cannot be made.
        OSError: if a file cannot be written.
    """
    built, choices, name = _built(arguments)
    value, leaves, recording = first_loss(built)
    found = computational_graph(value, leaves, recording)
    picture = draw(found, f"{name}: the computational graph of loss and model")
    folder = make_folder(OUTPUTS / name / "graph")
    (folder / "figures").mkdir()
    write_atomic(folder / "figures" / "graph.png", picture)
    write_graph(folder, found)
    objective = built.trainer.objective
    loss = type(objective.loss).__name__ + (" and penalties" if objective.penalty else "")
    num_rows = len(leaves["inputs"])
    rows = counted(num_rows, "row")
    lines = [
        f"{choices['data']}, {describe_model(built.trainer.model)}",
        f"{loss} of the first training batch, {rows}, at the initial weights, in training mode: "
        f"{float(value.detach()):.6g}",
        "",
        *page_lines(found),
        "",
        f"picture    {folder}/figures/graph.png  {shortened(found)}".rstrip(),
        f"look       nnlab dashboard {folder}",
    ]
    return "\n".join(lines)


def _built(arguments: Arguments) -> tuple[Built, Mapping[str, Any], str]:
    """The run's objects with autograd, whichever way to compute gradients was chosen and whether or not it can."""
    command = check(arguments.overrides, Library(arguments.config_dirs), multirun=False)
    if command.problems:
        checked(arguments, multirun=False)
    config, choices = composed(arguments.config_dirs, arguments.overrides)
    config["gradient"] = {"_target_": "nnlab.gradient.Autograd"}
    return build(config, choices, None, ""), choices, str(config["name"] or command.name)


def first_loss(built: Built) -> tuple[Tensor, dict[str, Tensor], Recording]:
    """What a training would minimize in its first step.

    Args:
        built: the run's objects; batch norm's running values move by one batch.

    Returns:
        The loss, a scalar; its leaves by name, ``inputs`` and ``target`` among them; how it was computed.

    Raises:
        ConfigError: if model or loss cannot be applied to the batch.
    """
    trainer, rows = built.trainer, built.dataset.sample(MOST_ROWS).train
    model, precision = trainer.model.train(), trainer.precision
    num_rows = trainer.overfit_batches * trainer.batch_size or len(rows)
    inputs = place(built.preprocessing.inputs(rows.inputs), trainer.device, precision.dtype)[:num_rows]
    target = place(built.readout.encode(rows.target), trainer.device, precision.dtype)[:num_rows]
    check_inputs(model, inputs, precision, "train")
    batch = TensorBatches(inputs, target, trainer.batch_size, trainer.shuffle, trainer.seed).epoch(0)[0]
    leaves = {"inputs": batch.inputs, **dict(model.named_parameters()), "target": batch.target}
    seed_dropout(model, derive(trainer.seed, "dropout"), trainer.device)
    with torch.random.fork_rng(devices=[trainer.device] if trainer.device.type == "cuda" else []):
        seed_global(derive(trainer.seed, "dropout"), trainer.device)
        recording = Recording(leaves)
        try:
            with recording:
                with precision.forward():
                    prediction = model(batch.inputs)
                value = trainer.objective(prediction.to(precision.dtype), batch.target)
        except (ValueError, RuntimeError) as error:
            shapes = f"inputs {list(batch.inputs.shape)} and target {list(batch.target.shape)}"
            raise ConfigError(f"the first training batch, {shapes}, has no loss: {error}") from error
    return value, leaves, recording


def page_lines(found: Graph) -> list[str]:
    """A graph as text: its nodes from the value back, its leaves, and leaves that it does not reach.

    Args:
        found: the graph of a loss.

    Returns:
        The lines.
    """
    lines = [
        "Autograd noted each operation of the forward pass as a node. The backward pass begins at node 1, the loss,",
        "and goes from each node to those that it was computed from, until it comes to the parameters.",
        "",
        *table_text(_nodes_table(found), WIDTH).splitlines(),
    ]
    if len(found.nodes) > MOST_LINES:
        lines.append(f"… and {len(found.nodes) - MOST_LINES:,} more nodes, further from the loss")
    if any(parent.text == f"{parent.leaf}.T" for node in found.nodes for parent in node.parents):
        lines += ["", "w.T is w transposed: one more node, TBackward0, that is left out here."]
    near = [leaf for leaf in found.reached if any(_uses(node, leaf) for node in found.nodes[:MOST_LINES])][:MOST_LINES]
    lines += ["", *table_text(_leaves_table(found, near), WIDTH).splitlines()]
    if len(near) < len(found.reached):
        lines.append(f"… and {len(found.reached) - len(near):,} more leaves")
    return [*lines, "", *_reach_lines(found)]


def _reach_lines(found: Graph) -> list[str]:
    if not found.not_reached:
        return ["not reached by the loss: none"]
    names = ", ".join(f"{leaf.name} {shape_text(leaf.shape)}" for leaf in found.not_reached)
    lines = [f"not reached by the loss: {names}"]
    if any(not leaf.is_constant for leaf in found.not_reached):
        lines.append("  A parameter that the loss does not reach gets no gradient, and no optimizer moves it.")
    return lines


def _nodes_table(found: Graph) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "node", "output", "computed from", "what it computes"):
        table.add_column(column, justify="left" if column else "right", no_wrap=column in ("", "node"))
    for node in found.nodes[:MOST_LINES]:
        parents = ", ".join(parent.text for parent in node.parents)
        cells = (str(node.number), node.name, shape_text(node.shape), parents, meaning(node.name))
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _leaves_table(found: Graph, shown: Sequence[Leaf]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("leaf", "shape", "", "used by"):
        table.add_column(column)
    for leaf in shown:
        users = [str(node.number) for node in found.nodes if _uses(node, leaf)]
        kind = "constant" if leaf.is_constant else "parameter"
        table.add_row(*(Text(cell) for cell in (leaf.name, shape_text(leaf.shape), kind, ", ".join(users))))
    return table


def _uses(node: Node, leaf: Leaf) -> bool:
    return any(parent.leaf == leaf.name for parent in node.parents)
