"""Foreign text for a terminal: nothing in it acts, nothing in it runs on for ever."""

import json
import math
from typing import Any

#: characters of a value that are shown
LIMIT = 200


def shown(value: Any, limit: int = LIMIT) -> str:
    """A value from a file as one line of text.

    Args:
        value: a plain value; text is shown as it is, lists and objects as JSON.
        limit: characters; what is longer is cut and ends in ``…``.

    Returns:
        Printable characters only: control characters, escape sequences and marks that reorder text stand as ``\\x1b``.

    Example:
        >>> shown("a\\x1b[31mred\\u202e")
        'a\\\\x1b[31mred\\\\u202e'
    """
    text = value if isinstance(value, str) else _plain_text(value)
    # Cut first: escaping what nobody sees would take its time.
    text = "".join(char if char.isprintable() else _escaped(char) for char in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number(value: Any) -> str:
    """A number from a file, six digits of it; anything else as ``shown`` has it."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**15:
        return f"{value:,}"
    return shown("none" if value is None else value)


def file_size(num_bytes: int) -> str:
    """A number of bytes for people.

    Example:
        >>> file_size(512), file_size(3_400_000)
        ('512 bytes', '3.4 MB')
    """
    size = float(num_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def _plain_text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    except RecursionError:
        return "(nested too deeply)"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
