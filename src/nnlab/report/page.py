"""A comparison as one HTML file: no network, figures inside, good on a screen, a phone and paper."""

import shlex
from collections.abc import Sequence
from html import escape

from nnlab.report.compare import Compared
from nnlab.report.drawings import Drawing
from nnlab.report.layouts import cells_of, columns_of, heading, sentences
from nnlab.report.runs import RunData
from nnlab.report.sweep_command import sweep_command
from nnlab.report.text import number, shown

#: differences that get a whole sentence
_FEW = 12

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 70rem; margin: 0 auto;
  padding: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th.word, td.word { text-align: left; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; }
thead button { font: inherit; font-weight: 600; border: 0; padding: 0; background: none; cursor: pointer;
  color: inherit; }
thead button:hover { text-decoration: underline; }
thead th[aria-sort=ascending] button::after { content: " ▲"; }
thead th[aria-sort=descending] button::after { content: " ▼"; }
tbody tr.best td { font-weight: 600; }
figure { margin: 1rem 0; break-inside: avoid; } figure svg { max-width: 100%; height: auto; }
figcaption { color: #444; }
pre { background: #f4f4f4; padding: .7rem; overflow-x: auto; white-space: pre-wrap; }
.notes li { margin: .2rem 0; } .answer { font-size: 1.05rem; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  td.word { white-space: normal; overflow-wrap: anywhere; } thead button { color: #000; }
  .scroll { overflow: visible; } td, th { padding: .15rem .4rem; } details:not([open]) { display: none; }
  h2 { break-after: avoid; } }
"""
_SORT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const key = (row) => row.cells[place].dataset.value ?? row.cells[place].textContent.trim();
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)], [p, q] = [parseFloat(x.replace(/,/g, "")), parseFloat(y.replace(/,/g, ""))];
      if (Number.isNaN(p) !== Number.isNaN(q)) return Number.isNaN(p) ? 1 : -1;
      return (Number.isNaN(p) ? x.localeCompare(y) : p - q) * (down ? -1 : 1);
    });
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.tBodies[0].append(...rows);
  }));
}
"""


def page(found: Compared, drawings: Sequence[Drawing], command: str, lead: Sequence[str] = ()) -> str:
    """The page.

    Args:
        found: what was compared.
        drawings: the figures, as SVG.
        command: what makes the page again.
        lead: paragraphs to begin with.

    Returns:
        A whole HTML document that refers to nothing outside itself. Whatever comes from configs and folders is escaped.
    """
    comparison = found.comparison
    title = heading(comparison)
    # On a policy as strict as this, not even a name that escaped its escaping could load or run anything.
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; font-src data:"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        *(f"<p>{_text(paragraph)}</p>" for paragraph in lead),
        *(f'<p class="answer">{_text(sentence)}</p>' for sentence in sentences(comparison, _FEW)),
        _groups(found),
        _notes(found),
        *map(_figure, drawings),
        _members(found),
        _commands(found, command),
        _environment(found.runs),
        f"<script>{_SORT}</script></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _groups(found: Compared) -> str:
    comparison = found.comparison
    rows = [cells_of(comparison, row) for row in comparison.rows]
    # The best of its kind is what the sentences compare the others with, wherever a click has moved its row.
    best = {one.second if one.verdict == "worse" else one.first for one in comparison.differences}
    is_best = [row.group.name in best for row in comparison.rows]
    return "<h2>The groups</h2>" + _table(columns_of(comparison), rows, len(comparison.keys), is_best)


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], num_words: int, is_best: Sequence[bool] | None = None
) -> str:
    """A table that a click on a heading sorts; its first columns hold words, the others numbers."""

    def cell(tag: str, place: int, inner: str) -> str:
        start = f'<{tag} class="word">' if place < num_words else f"<{tag}>"
        return f"{start}{inner}</{tag}>"

    def line(cells: Sequence[str], stands_out: bool) -> str:
        start = '<tr class="best">' if stands_out else "<tr>"
        return start + "".join(cell("td", place, _text(text)) for place, text in enumerate(cells)) + "</tr>"

    buttons = [f'<button type="button">{_text(column)}</button>' for column in columns]
    head = "".join(cell("th", place, button) for place, button in enumerate(buttons))
    body = "\n".join(map(line, rows, is_best or [False] * len(rows)))
    table = f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _notes(found: Compared) -> str:
    notes = [*found.comparison.notes, *found.problems]
    items = "\n".join(f"<li>{_text(note)}</li>" for note in notes)
    return f'<h2>What the table does not show</h2><ul class="notes">\n{items}\n</ul>' if notes else ""


def _figure(drawing: Drawing) -> str:
    svg = drawing.svg.decode()
    label = f'<svg role="img" aria-label="{_text(drawing.title)}"'
    title = f"<h2>{_text(drawing.title)}</h2>"
    return f"{title}<figure>{svg.replace('<svg', label, 1)}<figcaption>{_text(drawing.caption)}</figcaption></figure>"


def _members(found: Compared) -> str:
    comparison = found.comparison
    has_folds = any(row.has_folds for row in comparison.rows)
    replicate = ["seed", *["fold"][:has_folds]]
    columns = ["run", "status", *comparison.keys, *replicate, f"best {comparison.metric}", "steps", "s"]
    rows = [
        [
            str(run.folder),
            run.status,
            *(row.group.label[key] for key in comparison.keys),
            str(run.replicate[0]),
            *[str(run.replicate[2])][:has_folds],
            number(run.best(comparison.metric)),
            f"{run.steps:,}",
            number(run.result.get("seconds", 0.0)),
        ]
        for row in comparison.rows
        for run in row.group.runs
    ]
    table = _table(columns, rows, 2 + len(comparison.keys))
    return f"<h2>The runs</h2><details open><summary>{len(rows)} runs</summary>{table}</details>"


def _commands(found: Compared, command: str) -> str:
    """What makes the runs and this page again: sweeps, then a command for each group, of its first run."""
    folders = dict.fromkeys(run.folder.parent for row in found.comparison.rows for run in row.group.runs)
    sweeps = [sweep for folder in folders if (sweep := sweep_command(folder)) is not None]
    lines = [f"nnlab train {shlex.join(row.group.runs[0].record['overrides'])}" for row in found.comparison.rows]
    begin = {0: "The", 1: "The whole sweep, the"}.get(len(sweeps), f"The {len(sweeps)} sweeps, the")
    what = f"{begin} first run of each group, and this page:"
    typed = _text("\n".join([*sweeps, *lines, command]), limit=10**6)
    return f"<h2>How to do it again</h2><p>{what}</p><pre>{typed}</pre>"


def _environment(runs: Sequence[RunData]) -> str:
    """Versions, devices and commits, each value that occurs."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        record = run.record
        own = {"git commit": record["git_commit"] or "none recorded", **record["choices"], **record["versions"]}
        for name, value in own.items():
            found.setdefault(str(name), {})[shown(value)] = None
    rows = [[name, ", ".join(values)] for name, values in found.items()]
    return f"<h2>Where it ran</h2>{_table(['what', 'value'], rows, 2)}"


def _text(text: str, limit: int = 2000) -> str:
    """Foreign text for HTML; control characters stand as escapes."""
    return "\n".join(escape(shown(line, limit)) for line in text.split("\n"))
