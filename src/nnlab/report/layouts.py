"""A comparison as text: for a terminal, and as CSV, Markdown, LaTeX or JSON for elsewhere."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from nnlab.folder import plain
from nnlab.report.comparison import Comparison, Row
from nnlab.report.interval import Interval
from nnlab.report.text import shown
from nnlab.words import counted

Format = Literal["table", "csv", "markdown", "latex", "json"]

#: significant digits of half an interval's width, and of a number without one
_OF_WIDTH, _ALONE = 2, 4
#: characters of a sentence or a note that are shown
_SENTENCE = 1000
#: differences that a terminal gets a whole sentence on
_FEW = 6
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}


def layout(comparison: Comparison, form: Format) -> str:
    """A comparison as text.

    Args:
        comparison: what was found.
        form: the notation; all but ``csv`` hold the notes too.
    """
    return _LAYOUTS[form](comparison)


def heading(comparison: Comparison) -> str:
    """What is compared, in a line."""
    num_runs, num_groups = sum(row.num_runs for row in comparison.rows), len(comparison.rows)
    sense = "more" if comparison.grows else "less"
    groups = counted(num_groups, "group")
    return f"{shown(comparison.metric)} of {counted(num_runs, 'run')} in {groups}; {sense} is better"


def columns_of(comparison: Comparison) -> list[str]:
    """The headings of the table's columns."""
    test = [] if _is_of_test(comparison) else [f"test/{comparison.metric.partition('/')[2]}"]
    target = comparison.asked.target
    timing = [f"steps to {target:.4g}", "time", "reached"] if target is not None else ["steps", "time"]
    bad = [name for name, count in _bad(comparison).items() if count]
    return [*comparison.keys, "n", comparison.metric, "95 % interval", "median", *test, *timing, *bad]


def cells_of(comparison: Comparison, row: Row) -> list[str]:
    """A row's cells, as text for people."""
    low_high = interval_text(row.interval)
    mean = "-" if row.interval is None else _rounded(row.interval.mean, _decimals(row.interval))
    asked = comparison.asked
    if asked.target is None:
        timing = [_count(row.steps), _seconds(row.seconds)]
    else:
        timing = [
            _count(row.steps_to_target),
            _seconds(row.seconds_to_target),
            f"{row.num_reached} of {len(row.times_to_target)}",
        ]
    bad = {"diverged": row.num_diverged, "failed": row.num_failed, "unfinished": row.num_unfinished}
    said = [f"{bad[name]} of {row.num_runs}" if bad[name] else "" for name, count in _bad(comparison).items() if count]
    labels = [shown(value, 60) for value in row.group.label.values()]
    test = [] if _is_of_test(comparison) else [_few_digits(row.test)]
    return [*labels, str(len(row.values)), mean, low_high, _few_digits(row.median), *test, *timing, *said]


def _is_of_test(comparison: Comparison) -> bool:
    """Whether the column of the metric is already that of the test split."""
    return comparison.metric.startswith("test/")


def interval_text(interval: Interval | None) -> str:
    """The limits of an interval, as many digits as its width bears.

    Example:
        >>> interval_text(Interval(0.123456, 0.1101, 0.1367))
        '0.110 to 0.137'
    """
    if interval is None or not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return "-"
    decimals = _decimals(interval)
    return f"{_rounded(interval.low, decimals)} to {_rounded(interval.high, decimals)}"


def _bad(comparison: Comparison) -> Mapping[str, int]:
    return {
        "diverged": sum(row.num_diverged for row in comparison.rows),
        "failed": sum(row.num_failed for row in comparison.rows),
        "unfinished": sum(row.num_unfinished for row in comparison.rows),
    }


def _decimals(interval: Interval) -> int | None:
    """Decimals for an interval's numbers; None where only significant digits make sense."""
    half = (interval.high - interval.low) / 2
    if not math.isfinite(half) or half <= 0:
        return None
    decimals = _OF_WIDTH - 1 - math.floor(math.log10(half))
    # 0.00000012 is better read as 1.2e-07.
    return decimals if 0 <= decimals <= 6 else None


def _rounded(value: float, decimals: int | None) -> str:
    return _few_digits(value) if decimals is None else f"{value:,.{decimals}f}"


def _few_digits(value: float | None, digits: int = _ALONE) -> str:
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def _seconds(value: float | None) -> str:
    text = _few_digits(value, 3)
    return text if text in ("-", "never") else f"{text} s"


def _count(value: float | None) -> str:
    return f"{value:,.0f}" if value is not None and math.isfinite(value) else _few_digits(value)


def sentences(comparison: Comparison, most: int | None = None) -> list[str]:
    """What the differences say.

    Args:
        comparison: what was found.
        most: how many are said in full; the rest is counted. None for all.

    Returns:
        Printable text.
    """
    said = [shown(difference.sentence, _SENTENCE) for difference in comparison.differences[:most]]
    rest = comparison.differences[len(said) :]
    if rest:
        counts = Counter[str](difference.verdict for difference in rest)
        kinds = {"better": "worse than it", "not told apart": "not told apart from it"}
        text = ", ".join(f"{counts[verdict]} {words}" for verdict, words in kinds.items() if counts[verdict])
        said.append(f"of the {len(rest)} other groups: {text} (--format json has all of it)")
    return said


def _table(comparison: Comparison) -> str:
    lines = [columns_of(comparison), *(cells_of(comparison, row) for row in comparison.rows)]
    num_keys = len(comparison.keys)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.ljust(width) if place < num_keys else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    parts = [
        "\n".join([heading(comparison), "", *text]),
        "\n".join(sentences(comparison, _FEW)),
        "\n".join(_notes(comparison)),
    ]
    return "\n\n".join(part for part in parts if part)


def _notes(comparison: Comparison) -> list[str]:
    return [f"note: {shown(note, _SENTENCE)}" for note in comparison.notes]


def _csv(comparison: Comparison) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    rows = [_plain_row(comparison, row) for row in comparison.rows]
    writer.writerow([_guarded(key) for key in rows[0]])
    for row in rows:
        writer.writerow(["" if value is None else _guarded(value) for value in row.values()])
    return lines.getvalue().rstrip("\n")


def _guarded(value: Any) -> Any:
    """A cell that a spreadsheet takes for text, where it would run it as a formula."""
    return (
        f"'{value}"
        if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") and value != "-"
        else value
    )


def _plain_row(comparison: Comparison, row: Row) -> dict[str, Any]:
    """A row as plain values under plain names."""
    interval = row.interval
    timing = {"steps_to_target": row.steps_to_target, "seconds_to_target": row.seconds_to_target}
    values = {
        **row.group.label,
        "n": len(row.values),
        "mean": None if interval is None else interval.mean,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "median": row.median,
        "test": row.test,
        "steps": row.steps,
        "seconds": row.seconds,
        **(timing | {"reached": row.num_reached} if comparison.asked.target is not None else {}),
        "runs": row.num_runs,
        "diverged": row.num_diverged,
        "failed": row.num_failed,
        "unfinished": row.num_unfinished,
    }
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }


def _markdown(comparison: Comparison) -> str:
    columns = [_in_markdown(column) for column in columns_of(comparison)]
    rule = ["---" if place < len(comparison.keys) else "---:" for place in range(len(columns))]
    rows = [[_in_markdown(cell) for cell in cells_of(comparison, row)] for row in comparison.rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in [columns, rule, *rows])
    said = [*sentences(comparison), *_notes(comparison)]
    return "\n\n".join([f"{_in_markdown(heading(comparison))}.", table, *map(_in_markdown, said)])


def _in_markdown(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\|*_`<>[]" else sign for sign in text)


def _latex(comparison: Comparison) -> str:
    columns = columns_of(comparison)
    num_keys = len(comparison.keys)
    rows = [cells_of(comparison, row) for row in comparison.rows]
    lines = [" & ".join(map(_in_latex, line)) + r" \\" for line in [columns, *rows]]
    said = [heading(comparison), *sentences(comparison), *_notes(comparison)]
    body = [
        rf"\begin{{tabular}}{{{'l' * num_keys}{'r' * (len(columns) - num_keys)}}}", r"\hline", lines[0], r"\hline",
        *lines[1:], r"\hline", r"\end{tabular}",
    ]  # fmt: skip
    return "\n".join([*(f"% {line}" for line in said), *body])


def _in_latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _json(comparison: Comparison) -> str:
    content = {
        "metric": comparison.metric,
        "greater_is_better": comparison.grows,
        "interval": comparison.asked.interval,
        "target": comparison.asked.target,
        "keys": list(comparison.keys),
        "groups": [_as_json(comparison, row) for row in comparison.rows],
        "differences": [difference.to_json() for difference in comparison.differences],
        "notes": list(comparison.notes),
    }
    return json.dumps(plain(content), indent=2, ensure_ascii=True)


def _as_json(comparison: Comparison, row: Row) -> dict[str, Any]:
    figures = _plain_row(comparison, row)
    values = [
        {"seed": seed, "data_seed": data_seed, "fold": fold, "value": value}
        for (seed, data_seed, fold), value in row.values.items()
    ]
    rest = {key: value for key, value in figures.items() if key not in row.group.label}
    return {
        "group": dict(row.group.label),
        **rest,
        "values": values,
        "folders": [str(run.folder) for run in row.group.runs],
    }


_LAYOUTS: Mapping[Format, Callable[[Comparison], str]] = {
    "table": _table,
    "csv": _csv,
    "markdown": _markdown,
    "latex": _latex,
    "json": _json,
}
FORMATS: Sequence[str] = tuple(_LAYOUTS)
