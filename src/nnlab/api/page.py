"""Parts of what a notebook shows; whatever comes from configs and folders is escaped."""

import base64
from collections.abc import Sequence
from html import escape

from nnlab.report.text import shown

_CELL = "text-align: {}; padding: .15rem .6rem; font-variant-numeric: tabular-nums"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], num_words: int, caption: str = "") -> str:
    """A table.

    Args:
        columns: the headings.
        rows: the cells.
        num_words: so many of the first columns hold words; the others hold numbers.
        caption: stands above it.
    """

    def line(tag: str, cells: Sequence[str]) -> str:
        sides = ["left"] * num_words + ["right"] * len(cells)
        return "".join(
            f'<{tag} style="{_CELL.format(side)}">{text(cell)}</{tag}>'
            for side, cell in zip(sides, cells, strict=False)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"{paragraph(caption)}<table><thead><tr>{line('th', columns)}</tr></thead><tbody>{body}</tbody></table>"


def paragraph(content: str) -> str:
    """A paragraph; nothing of nothing."""
    return f"<p>{text(content)}</p>" if content else ""


def image(png: bytes, name: str) -> str:
    """A picture, inside the page."""
    data = base64.b64encode(png).decode()
    return f'<img alt="{text(name)}" style="max-width: 100%" src="data:image/png;base64,{data}">'


def text(content: str) -> str:
    """Text for HTML; control characters stand as escapes."""
    return escape(shown(content, 2000))
