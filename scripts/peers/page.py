"""The peers' section of docs/benchmarks.md: blocks of Markdown between comments, and the figures that they show."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import bench_report as report
from peers.growth import LABELS, SERIES
from peers.known import BEST, DEFAULTS, PEERS
from peers.measure import Agreement, Variant
from peers.whole import MEMORY_FACTOR, Memory, Whole

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
HEADING = "## Against other libraries"
#: in this order on the page
BLOCKS = ("intro", "warm", "cold", "growth", "whole")
#: of a workload's peers at both settings, and how they agree
Warm = Mapping[str, tuple[Sequence[Variant], Agreement]]
#: of a workload's peers: seconds and MB of each process, or why there are none
Cold = Mapping[str, Mapping[str, list[tuple[float, float]] | str]]
#: of a series' peers: microseconds of a step at each size, None where there are none
Growth = Mapping[str, Mapping[str, Sequence[float | None]]]


def put(page: Path, blocks: Mapping[str, str]) -> None:
    """Put blocks into a page, each in its place; those that are not named stay.

    Args:
        page: a Markdown file.
        blocks: their text by their names.
    """
    text = page.read_text()
    if _begin(BLOCKS[0]) not in text:
        empty = "\n\n".join(f"{_begin(name)}\n{_end(name)}" for name in BLOCKS)
        text = f"{text.rstrip()}\n\n{HEADING}\n\n{empty}\n"
    for name, block in blocks.items():
        between = re.compile(f"{re.escape(_begin(name))}\n.*?{re.escape(_end(name))}", re.DOTALL)
        text = between.sub(lambda _, name=name, block=block: f"{_begin(name)}\n{block}\n{_end(name)}", text)
    page.write_text(text)


def _begin(name: str) -> str:
    return f"<!-- peers: {name} -->"


def _end(name: str) -> str:
    return f"<!-- end of peers: {name} -->"


def paragraphs(*texts: str) -> str:
    """Paragraphs, as wide as the page's others."""
    return "\n\n".join(textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) for text in texts)


def warm_rows(variants: Sequence[Variant]) -> list[list[report.Cell]]:
    """A row for each peer at each setting: step, spread, ratio to the hand-written loop, epochs, loss."""
    base = hand_written_us(variants)
    rows: list[list[report.Cell]] = []
    for variant in variants:
        name = f"{PEERS[variant.peer].title}, {variant.setting}"
        if variant.problem is not None or not variant.step_us:
            rows.append([name, "failed", "", "", "", ""])
            continue
        step_us = report.median(variant.step_us)
        ratio = step_us / base if base else ""
        rows.append([name, step_us, report.spread(variant.step_us), ratio, variant.epochs, variant.losses[-1]])
    return rows


def hand_written_us(variants: Sequence[Variant]) -> float | None:
    """What the others are divided by: the median step of the hand-written loop."""
    found = [variant.step_us for variant in variants if variant.peer == "by_hand" and variant.step_us]
    return report.median(found[0]) if found else None


def warm_block(warm: Warm, rounds: int) -> str:
    """Two tables, at the best setting and at defaults: a row for each peer, a column for each workload."""
    peers = list(dict.fromkeys(variant.peer for variants, _ in warm.values() for variant in variants))
    checked = ", ".join(f"of {name} after {_count(found.epochs, 'epoch')}" for name, (_, found) in warm.items())
    text = paragraphs(
        f"Warm: microseconds a training step, medians of {_count(rounds, 'round')} in turn, and in brackets the ratio "
        "to the hand-written loop; a fit's own beginning and end count. Rows in order, the mean losses "
        f"{checked} differ by at most {max(found.largest for _, found in warm.values()):.0e} of their size."
    )
    parts = [text, "![Time of a step](figures/benchmarks-peers.png)"]
    for setting, title in ((BEST, "at its best documented setting"), (DEFAULTS, "as it comes")):
        rows = []
        for peer in peers:
            if setting in PEERS[peer].settings:
                cells = [_warm_cell(variants, peer, setting) for variants, _ in warm.values()]
                rows.append([PEERS[peer].title, *cells, PEERS[peer].settings[setting]])
        parts.append(markdown_table([title, *warm, "how"], rows))
    return "\n\n".join(parts)


def _warm_cell(variants: Sequence[Variant], peer: str, setting: str) -> str:
    base = hand_written_us(variants)
    for variant in variants:
        if (variant.peer, variant.setting) == (peer, setting) and variant.step_us:
            step_us = report.median(variant.step_us)
            return f"{step_us:,.0f} ({step_us / base:.2f})" if base else f"{step_us:,.0f}"
    return "failed"


def cold_rows(cold: Mapping[str, list[tuple[float, float]] | str]) -> list[list[report.Cell]]:
    """A row for each peer: seconds, spread, MB."""
    rows: list[list[report.Cell]] = []
    for title, costs in cold.items():
        if isinstance(costs, str):
            rows.append([title, "failed", "", ""])
            continue
        seconds, memory_mb = ([cost[place] for cost in costs] for place in (0, 1))
        rows.append([title, report.median(seconds), report.spread(seconds), round(report.median(memory_mb))])
    return rows


def cold_block(cold: Cold, epochs: int) -> str:
    """One table: seconds and MB of each workload."""
    titles = list(dict.fromkeys(title for costs in cold.values() for title in costs))
    rows = []
    for title in titles:
        cells = []
        for costs in cold.values():
            (row,) = cold_rows({title: costs[title]})
            cells += ["failed", ""] if row[1] == "failed" else [f"{row[1]:.2f}", f"{row[3]}"]
        rows.append([title, *cells])
    head = [text for name in cold for text in (f"{name}, s", "MB")]
    text = paragraphs(
        f"Cold: a whole process from its start to the losses of {_count(epochs, 'epoch')}, imports and compilations "
        "included, at the best setting; and its memory at the peak."
    )
    return f"{text}\n\n{markdown_table(['process', *head], rows)}"


def growth_block(growth: Growth) -> str:
    """One table for each series."""
    parts = [
        paragraphs(
            "How cost grows, microseconds a step at the best setting: 16 inputs, 2 hidden layers of 64 units, 3 "
            "classes, Adam, batches of 100 of 10,000 rows; one size moves. Along the rows batches have 1,000."
        ),
        "![How cost grows](figures/benchmarks-growth.png)",
    ]
    for series, found in growth.items():
        sizes = SERIES[series][1][: max(map(len, found.values()))]
        rows = [[PEERS[peer].title, *[_us(value) for value in values]] for peer, values in found.items()]
        parts.append(markdown_table([LABELS[series], *[f"{size:,}" for size in sizes]], rows))
    return "\n\n".join(parts)


def _us(value: float | None) -> str:
    if value is None:
        return "failed"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def whole_rows(whole: Whole) -> list[list[report.Cell]]:
    """The command, its training, the loop alone: seconds and spread."""
    named = {
        "nnlab train, from the prompt to its end": whole.command_s,
        "its training, by result.json": whole.training_s,
        "the loop alone, same evaluations": whole.loop_s,
    }
    return [[name, report.median(values), report.spread(values)] for name, values in named.items()]


def whole_ratio(whole: Whole) -> float:
    """A run's training divided by the loop alone, by medians."""
    return report.median(whole.training_s) / report.median(whole.loop_s)


def memory_rows(memory: Sequence[Memory]) -> list[list[report.Cell]]:
    """A row for each workload."""
    return [
        [one.name, *(round(mb) for mb in (one.torch_mb, one.allowed_mb, one.trainer_mb, one.command_mb))]
        for one in memory
    ]


MEMORY_COLUMNS = ["MB at the peak", "import torch", f"and {MEMORY_FACTOR} x content", "nnlab.Trainer", "nnlab train"]


def whole_block(whole: Whole, memory: Sequence[Memory]) -> str:
    """Two tables."""
    rows = [[str(name), f"{seconds:.2f}", str(spread)] for name, seconds, spread in whole_rows(whole)]
    return "\n\n".join(
        [
            paragraphs(
                f"nnlab alone: W1 for {_count(whole.epochs, 'epoch')} with all files of a run; its training takes "
                f"{whole_ratio(whole):.2f} times as long as the loop alone (`nnlab.Trainer` in Python: the same "
                "evaluations, no folder, no callbacks)."
            ),
            markdown_table(["W1", "seconds", "rounds"], rows),
            "Memory: content is data, parameters and optimizer state.",
            markdown_table(MEMORY_COLUMNS, [[str(cell) for cell in row] for row in memory_rows(memory)]),
        ]
    )


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
