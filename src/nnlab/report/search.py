"""A search for people: its best trials, what decided, and its figures."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnlab import figure
from nnlab.report.drawings import Sketch
from nnlab.report.search_record import SEARCH_FILE, SearchRecord, Trial, read_search
from nnlab.report.text import shown
from nnlab.words import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: trials that a table shows
MOST_SHOWN = 10


def search_of(folders: Sequence[Path]) -> SearchRecord | None:
    """The search that a folder holds; None for several folders, and for one without.

    Args:
        folders: what is compared.

    Raises:
        FolderError: if ``search.json`` is damaged.
    """
    if len(folders) != 1 or not (folders[0] / SEARCH_FILE).exists():
        return None
    record = read_search(folders[0])
    return record if record.trials else None


def ranked(record: SearchRecord) -> list[Trial]:
    """The trials of a search, the best ones first: by the first objective, behind those that no other one beats."""
    sign = 1 if record.head.direction[0] == "minimize" else -1

    def key(trial: Trial) -> tuple[bool, float, int]:
        value = sign * trial.objectives[0] if trial.objectives else math.inf
        return trial.number not in record.best, value, trial.number

    return sorted(record.trials, key=key)


def table(record: SearchRecord) -> str:
    """The best trials as lines of text.

    Args:
        record: of a search with trials.
    """
    head = record.head
    rows = [["trial", *head.metric, *head.space]]
    best = ranked(record)[:MOST_SHOWN]
    for trial in best:
        values = [f"{value:.6g}" for value in trial.objectives] or [str(trial.state)] * len(head.metric)
        rows.append([str(trial.number), *values, *(_short(trial.values[key]) for key in head.space)])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    left_out = len(record.trials) - len(best)
    return "\n".join([*lines, *([f"and {left_out:,} more"] if left_out else [])])


def sentences(record: SearchRecord) -> list[str]:
    """What a search came to.

    Args:
        record: of a search with trials.
    """
    head = record.head
    counts = Counter(trial.state for trial in record.trials)
    ended = ", ".join(
        f"{counts[state]:,} {state}" for state in ("completed", "left", "diverged", "failed") if counts[state]
    )
    mean = f", each the mean of {head.num_seeds} runs" if head.num_seeds > 1 else ""
    found = [f"{counted(len(record.trials), 'trial')} by {shown(head.sampler)}{mean}: {ended}"]
    if record.rungs:
        found.append(_cost(record))
    for metric, shares in zip(head.metric, record.importances, strict=False):
        if len(shares) > 1:
            text = ", ".join(f"{shown(key)} {share:.0%}" for key, share in shares.items())
            found.append(f"what decides {shown(metric)}: {text}")
    if len(record.best) > 1:
        found.append(f"{len(record.best)} trials that no other one beats in every objective come first")
    if head.num_seeds == 1:
        found.append("one run of each trial: the best of many owes something to chance; run it again on fresh seeds")
    return found


def sketches(record: SearchRecord) -> Iterator[Sketch]:
    """The figures of a search.

    Args:
        record: of a search with trials.
    """
    for place, (metric, direction) in enumerate(zip(record.head.metric, record.head.direction, strict=True)):
        end = "" if place == 0 else f"_{place + 1}"
        grows = direction == "maximize"
        values = [trial.objectives[place] if trial.objectives else math.nan for trial in record.trials]

        def history(values: list[float] = values, metric: str = metric, grows: bool = grows) -> "Figure":
            return figure.search_history(values, metric, grows)

        def slices(values: list[float] = values, metric: str = metric, grows: bool = grows) -> "Figure":
            return figure.search_slices(_settings(record), values, metric, grows)

        yield Sketch(f"search_history{end}", f"The search for {metric}", "A point for each trial.", history)
        if place < len(record.importances) and len(record.importances[place]) > 1:
            shares = record.importances[place]

            def importances(shares: dict[str, float] = shares, metric: str = metric) -> "Figure":
                return figure.search_importances(shares, metric)

            caption = "The share of the variance over the space that each key accounts for by itself."
            yield Sketch(f"search_importances{end}", f"What decides {metric}", caption, importances)
        caption = "A point for each trial at what it chose; the darker, the later."
        yield Sketch(f"search_slices{end}", f"{metric} by what was chosen", caption, slices)


def about(record: SearchRecord | None) -> tuple[list[str], list[Sketch]]:
    """What the page of a comparison begins with, where the runs are a search's: paragraphs and figures.

    Args:
        record: of a search with trials; None for runs of anything else.
    """
    return ([], []) if record is None else (sentences(record), list(sketches(record)))


def _cost(record: SearchRecord) -> str:
    """What successive halving has saved."""
    num_steps = record.head.options.get("num_steps", 0) * len(record.trials) * record.head.num_seeds
    share = f", {record.steps / num_steps:.1%} of those of training all" if num_steps else ""
    rungs = "; ".join(
        f"{len(rung.trials)} to step {rung.step:,}" + (f" (bracket {rung.bracket + 1})" if rung.bracket else "")
        for rung in record.rungs
    )
    return f"{record.steps:,} optimizer steps{share}: {rungs}"


def _settings(record: SearchRecord) -> dict[str, list[float] | list[str]]:
    """What trials chose: numbers where all of a key's values are numbers."""
    found: dict[str, list[float] | list[str]] = {}
    for key in record.head.space:
        texts = [trial.values[key] for trial in record.trials]
        numbers = [_number(text) for text in texts]
        known = [number for number in numbers if number is not None]
        found[key] = known if len(known) == len(texts) else texts
    return found


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _short(text: str) -> str:
    """A value as it is read: six digits of a long number."""
    number = _number(text)
    return f"{number:.6g}" if number is not None and len(text) > 9 else shown(text, 40)
