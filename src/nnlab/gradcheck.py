"""The page of `nnlab gradcheck`: the ways to compute the gradient side by side, parameter by parameter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table

from nnlab.build import Built, build
from nnlab.config import Library
from nnlab.console import describe_model, table_text
from nnlab.gradient import Autograd, Backprop, FiniteDifference, Gradient
from nnlab.gradient.agreement import Batch, differences, gradients_by
from nnlab.gradient.verdict import Row

#: rows that are compared: more would say no more, and take longer
MOST_ROWS = 16
#: with at most so many numbers, every one is shown
FEW = 12
#: of the page, in characters
WIDTH = 110


@dataclass(frozen=True)
class Comparison:
    """What `nnlab gradcheck` found.

    Args:
        text: the page.
        agrees: whether all ways agree.
    """

    text: str
    agrees: bool


def gradcheck(config: Mapping[str, Any], choices: Mapping[str, Any]) -> Comparison:
    """Compare the ways to compute the gradient, in float64, on the first training batch and the initial weights.

    Args:
        config: resolved, plain values.
        choices: the option chosen for each group.

    Returns:
        The page and the verdict.

    Raises:
        ConfigError: for parts that cannot be had.
    """
    built = _built_for_checking(config, choices)
    with built.trainer.settings():
        return _compared(built, config, choices)


def _compared(built: Built, config: Mapping[str, Any], choices: Mapping[str, Any]) -> Comparison:
    batch = _first_batch(built, min(MOST_ROWS, int(config["data"]["batch_size"])))
    delta = float(config["gradient"].get("delta", _default_delta()))
    refusals: dict[str, str] = {}
    exact = gradients_by(Autograd(), batch)
    by_hand = gradients_by(Backprop(), batch) if _can(Backprop(), built, "backprop", refusals) else None
    by_nudging = _can(FiniteDifference(delta), built, "finite_difference", refusals)
    whole, half = (differences(batch, step) if by_nudging else None for step in (delta, delta / 2))
    with torch.no_grad():
        loss = float(batch.objective(batch.model(batch.inputs), batch.target))
    # A loss is rounded to some eps times its size; delta divides that.
    noise = 10 * torch.finfo(torch.float64).eps * max(abs(loss), 1e-3) / delta
    scale = max(float(slope.abs().max()) for slope in exact.values())
    rows = [
        Row(
            name,
            slope,
            by_hand[name] if by_hand is not None else None,
            whole[name] if whole is not None else None,
            half[name] if half is not None else None,
            noise,
            scale,
        )
        for name, slope in exact.items()
    ]
    num_rows = len(batch.inputs)
    lines = [
        f"{choices['data']}, {describe_model(built.trainer.model)}",
        f"the gradient of {type(built.trainer.loss).__name__} at the initial weights, over the first "
        f"{f'{num_rows} training rows' if num_rows > 1 else 'training row'}, in float64; delta {delta:g}",
        "",
        table_text(_table(rows), WIDTH),
        *([table_text(_numbers(rows), WIDTH)] if sum(slope.numel() for slope in exact.values()) <= FEW else []),
        *_verdicts(rows, refusals),
        *_set_aside(config),
    ]
    agrees = all(row.backprop_agrees and row.difference_agrees for row in rows)
    return Comparison("\n".join(lines), agrees)


def _built_for_checking(config: Mapping[str, Any], choices: Mapping[str, Any]) -> Built:
    """The run's objects in float64, whichever way to compute gradients was chosen for it."""
    plain_gradient = {"_target_": "nnlab.gradient.Autograd"}
    trainer = {**config["trainer"], "precision": "fp64"}
    return build({**config, "gradient": plain_gradient, "trainer": trainer}, choices, None, "")


def _first_batch(built: Built, batch_size: int) -> Batch:
    trainer, rows = built.trainer, built.dataset.train
    inputs = built.preprocessing.inputs(rows.inputs[:batch_size]).to(trainer.device, torch.float64)
    target = built.readout.encode(rows.target[:batch_size])
    target = target.to(trainer.device, torch.float64 if target.is_floating_point() else target.dtype)
    return Batch(trainer.model.train(), trainer.objective, inputs, target)


def _default_delta() -> float:
    return float(Library().options("gradient")["finite_difference"].content["delta"])


def _can(gradient: Gradient, built: Built, name: str, refusals: dict[str, str]) -> bool:
    trainer = built.trainer
    try:
        gradient.check(trainer.model, trainer.objective, trainer.precision, trainer.batch_size)
    except ValueError as error:
        refusals[name] = str(error).replace("\n", "; ")
        return False
    return True


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("parameter", "shape", "largest", "backprop", "finite difference", "delta / 2", "ratio", "compared"):
        table.add_column(column, justify="left" if column in ("parameter", "shape") else "right")
    for row in rows:
        shape = " x ".join(str(size) for size in row.exact.shape)
        largest = row.exact.flatten()[row.exact.abs().argmax()]
        table.add_row(row.name, shape, f"{float(largest):.6g}", _error(row.backprop_error), *_difference_cells(row))
    return table


def _difference_cells(row: Row) -> tuple[str, str, str, str]:
    if row.whole is None or row.half is None:
        return "-", "-", "-", "-"
    whole, half = row.difference_error(row.whole), row.difference_error(row.half)
    count = int(row.compared.sum())
    ratio = "rounding" if _is_rounding(row) else f"{whole / half:.2f}" if half else "-"
    return _error(whole), _error(half), ratio if count else "-", f"{count:,} of {row.exact.numel():,}"


def _numbers(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("number", "autograd", "backprop", "finite difference"):
        table.add_column(column, justify="left" if column == "number" else "right")
    for row in rows:
        for index in range(row.exact.numel()):
            place = ", ".join(str(int(i)) for i in torch.unravel_index(torch.tensor(index), row.exact.shape))
            ways = (row.exact, row.backprop, row.whole.slopes if row.whole is not None else None)
            cells = ["-" if way is None else f"{float(way.flatten()[index]):.10g}" for way in ways]
            table.add_row(f"{row.name}[{place}]", *cells)
    return table


def _verdicts(rows: list[Row], refusals: Mapping[str, str]) -> list[str]:
    lines = []
    wrong = {
        "backprop": [row.name for row in rows if not row.backprop_agrees],
        "finite_difference": [row.name for row in rows if not row.difference_agrees],
    }
    met = {
        "backprop": "agrees with autograd to rounding",
        "finite_difference": "agrees with autograd "
        + ("within rounding" if all(_is_rounding(row) for row in rows) else "to the order of delta squared"),
    }
    for name, disagreeing in wrong.items():
        if name in refusals:
            lines.append(f"not compared: {refusals[name]}")
        elif disagreeing:
            lines.append(f"{name} DISAGREES with autograd on {', '.join(disagreeing)}")
        else:
            lines.append(f"{name} {met[name]}")
    skipped = sum(int((~row.compared).sum()) for row in rows if row.whole is not None)
    if skipped:
        lines.append(f"not compared: {skipped:,} numbers whose moving by delta carries something over a kink")
        lines.append("(a kink is where an activation or a loss, its slope or its curvature jumps)")
    return lines


def _set_aside(config: Mapping[str, Any]) -> list[str]:
    precision = config["trainer"]["precision"]
    return (
        []
        if precision in ("fp32", "fp64")
        else [f"set aside: trainer.precision={precision}, of which only training knows"]
    )


def _is_rounding(row: Row) -> bool:
    """Whether the error of central differences is no larger than rounding explains."""
    if row.whole is None:
        return True
    return row.difference_error(row.whole) * float(row.exact.abs().max()) <= row.noise


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}" if value else "0"
