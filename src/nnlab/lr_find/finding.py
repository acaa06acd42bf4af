"""What was found: rates, losses, the suggestion, and the same as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table

from nnlab.console import table_text
from nnlab.lr_find.range_test import smoothed
from nnlab.lr_find.suggestion import Numbers, smoothed_scores
from nnlab.lr_find.sweep import Tried

#: of the page, in characters
_WIDTH = 110
#: rows of a range test's table
_MOST_ROWS = 12
SWEEP_RULE = "smallest loss: geometric mean over the seeds, smoothed over neighbouring rates"
RANGE_RULE = "middle of the valley: half the length of the longest descent of the smoothed loss before its end"


@dataclass(frozen=True)
class Finding:
    """A learning rate and what speaks for it.

    Args:
        method: ``sweep`` or ``range``.
        rule: how the suggestion is chosen.
        lr: the suggestion, or None.
        metric: which loss was looked at.
        rates: shape [R].
        losses: shape [S, R], seeds by rates; NaN where a training diverged.
        curve: what the rule looks at, shape [R].
        columns: of ``lr_find.csv``.
        rows: its rows.
        notes: one sentence for everything that was set aside or stands at an edge.
    """

    method: str
    rule: str
    lr: float | None
    metric: str
    rates: Sequence[float]
    losses: Numbers
    curve: Numbers
    columns: Sequence[str]
    rows: Sequence[Sequence[float | int | str]]
    notes: Sequence[str] = field(default_factory=tuple)

    def csv(self) -> str:
        """The content of ``lr_find.csv``, floats in their shortest exact form."""
        lines = [",".join(self.columns), *(",".join(str(cell) for cell in row) for row in self.rows)]
        return "".join(f"{line}\n" for line in lines)

    def to_json(self) -> dict[str, Any]:
        """The content of ``lr_find.json``, without what the command was."""
        return {
            "method": self.method,
            "rule": self.rule,
            "suggestion": self.lr,
            "metric": self.metric,
            "rates": list(self.rates),
            "losses": self.losses.tolist(),
            "curve": self.curve.tolist(),
            "notes": list(self.notes),
        }


def found_by_sweep(tried: Sequence[Tried]) -> Finding:
    """Judge a sweep.

    Args:
        tried: a row for each rate and seed.

    Returns:
        The finding; without a suggestion if every training diverged.
    """
    rates = sorted({one.lr for one in tried})
    seeds = sorted({one.seed for one in tried})
    by_pair = {(one.seed, one.lr): one.loss for one in tried}
    losses = np.array([[by_pair[seed, lr] for lr in rates] for seed in seeds])
    scores = smoothed_scores(losses) if np.isfinite(losses).any() else np.full(len(rates), np.nan)
    best = None if np.isnan(scores).all() else rates[int(np.argmin(scores))]
    notes = []
    if best == rates[0]:
        notes.append(f"{best:g} is the smallest rate that was tried: --min-lr {best / 1000:g} looks further")
    if best == rates[-1]:
        notes.append(f"{best:g} is the greatest rate that was tried: --max-lr {best * 100:g} looks further")
    columns = ("lr", "seed", "status", "steps", tried[0].metric)
    rows = [(one.lr, one.seed, one.status, one.steps, "" if np.isnan(one.loss) else one.loss) for one in tried]
    curve = np.exp(scores)
    return Finding("sweep", SWEEP_RULE, best, tried[0].metric, rates, losses, curve, columns, rows, notes)


def found_by_range(rates: Sequence[float], losses: Sequence[float], lr: float | None) -> Finding:
    """Put a range test together.

    Args:
        rates: of its steps.
        losses: of those that were done.
        lr: the suggestion.
    """
    done = list(rates[: len(losses)])
    curve = smoothed(losses)
    rows = [(step, *cells) for step, cells in enumerate(zip(done, losses, curve.tolist(), strict=True), 1)]
    table = np.array([losses])
    columns = ("step", "lr", "train/loss", "smoothed")
    notes = []
    if len(losses) < len(rates):
        notes.append(f"the loss diverged at a rate of {done[-1]:.2g}, in step {len(losses)} of {len(rates)}")
    return Finding("range", RANGE_RULE, lr, "train/loss", done, table, curve, columns, rows, notes)


def table_lines(finding: Finding) -> list[str]:
    """The finding as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    is_range = finding.method == "range"
    names = ["lr", "loss of the step", "smoothed"] if is_range else ["lr", finding.metric, "from", "to", "diverged"]
    for name in (*names, ""):
        table.add_column(name, justify="right" if name else "left")
    for row in _range_cells(finding) if is_range else _sweep_cells(finding):
        table.add_row(*row)
    return table_text(table, _WIDTH).splitlines()


def _sweep_cells(finding: Finding) -> list[tuple[str, ...]]:
    cells = []
    for place, lr in enumerate(finding.rates):
        column = finding.losses[:, place]
        known = column[np.isfinite(column)]
        numbers = (
            [f"{number:.4g}" for number in (np.exp(np.log(known).mean()), known.min(), known.max())]
            if (known.size and (known > 0).all())
            else ["-"] * 3
        )
        lost = f"{len(column) - known.size} of {len(column)}" if known.size < len(column) else ""
        cells.append((f"{lr:g}", *numbers, lost, "<- suggested" if lr == finding.lr else ""))
    return cells


def _range_cells(finding: Finding) -> list[tuple[str, ...]]:
    num = len(finding.rates)
    places = sorted({round(place) for place in np.linspace(0, num - 1, min(num, _MOST_ROWS))})
    return [
        (f"{finding.rates[place]:.2g}", f"{finding.losses[0, place]:.4g}", f"{finding.curve[place]:.4g}", "")
        for place in places
    ]
