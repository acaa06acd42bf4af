"""What the texts of a column mean: numbers, booleans, dates, or nothing but texts."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from nnlab.data.table.column import Stored

#: what stands for a missing cell, in lower case
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none"})
#: how C programs and Arrow write a missing number
_NAN = re.compile(r"[+-]?nan(\(\w*\))?", re.IGNORECASE | re.ASCII)
_BOOLEANS = {"true": 1.0, "false": 0.0}
#: ISO 8601: a date, or a date and a time of day, perhaps with a zone
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?(Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?",
    re.ASCII,
)
_LONGEST_DATE = 64

#: how the cells of a column are written; a comma number has its decimals behind a comma
Written = Literal["nothing", "number", "comma", "boolean", "date", "zoned", "text"]

#: as what they are kept
STORED: dict[Written, Stored] = {
    "nothing": "number",
    "number": "number",
    "comma": "number",
    "boolean": "boolean",
    "date": "date",
    "zoned": "date",
    "text": "text",
}


class Meaning(NamedTuple):
    """How texts are written, and what they stand for.

    Args:
        written: how.
        values: float64 or datetime64[us], one for each text; None for texts.
    """

    written: Written
    values: np.ndarray | None


def is_missing(text: str) -> bool:
    """Whether a cell has nothing in it.

    Args:
        text: without spaces around it.

    Example:
        >>> [is_missing(text) for text in ("", "N/A", "None", "-nan", "0", "-")]
        [True, True, True, True, False, False]
    """
    return text.lower() in MISSING or _NAN.fullmatch(text) is not None


def meaning(texts: Sequence[str], is_comma_allowed: bool) -> Meaning:
    """What all texts of a column stand for: the first kind that every one of them is.

    Args:
        texts: without spaces around them, none missing.
        is_comma_allowed: whether decimals may stand behind a comma.

    Example:
        >>> meaning(["3", "4.5"], True).written, meaning(["3", "4,5"], True).written, meaning(["3", "x"], True).written
        ('number', 'comma', 'text')
    """
    if not texts:
        return Meaning("nothing", None)
    ways: list[tuple[Written, Callable[[Sequence[str]], np.ndarray]]] = [("number", _numbers), ("boolean", _booleans)]
    if is_comma_allowed:
        ways.append(("comma", _comma_numbers))
    for written, read in [*ways, ("date", _plain_dates), ("zoned", _zoned_dates)]:
        try:
            return Meaning(written, read(texts))
        except ValueError:
            continue
    return Meaning("text", None)


def number(text: str) -> float:
    """A number as tables write it.

    Args:
        text: without spaces around it.

    Raises:
        ValueError: for anything else, such as the digits of another script or 1_000, which are numbers in Python.

    Example:
        >>> number("-1.5e3")
        -1500.0
    """
    if not text.isascii() or "_" in text:
        raise ValueError(text)
    return float(text)


def is_number(text: str) -> bool:
    """Whether a text is a number as tables write it.

    Args:
        text: without spaces around it.
    """
    try:
        number(text)
    except ValueError:
        return False
    return True


def numbers(cells: Sequence[str]) -> np.ndarray:
    """Cells as numbers, float64 with NaN where one is missing.

    Args:
        cells: as they stand in the file.

    Raises:
        ValueError: for the first cell that is neither a number nor missing.
    """
    joined = "".join(cells)
    if joined.isascii() and "_" not in joined:
        try:
            return np.array(list(map(float, cells)))
        except ValueError:
            pass
    stripped = map(str.strip, cells)
    return np.array([math.nan if is_missing(cell) else number(cell) for cell in stripped])


def _numbers(texts: Sequence[str]) -> np.ndarray:
    return np.fromiter(map(number, texts), np.float64, len(texts))


def _comma_numbers(texts: Sequence[str]) -> np.ndarray:
    return np.fromiter(map(_comma_number, texts), np.float64, len(texts))


def _comma_number(text: str) -> float:
    if "." in text:
        raise ValueError(text)
    return number(text.replace(",", "."))


def _booleans(texts: Sequence[str]) -> np.ndarray:
    if not all(text.lower() in _BOOLEANS for text in texts):
        raise ValueError
    return np.array([_BOOLEANS[text.lower()] for text in texts])


def _plain_dates(texts: Sequence[str]) -> np.ndarray:
    return np.array([_moment(text)[0] for text in texts], "datetime64[us]")


def _zoned_dates(texts: Sequence[str]) -> np.ndarray:
    pairs = [_moment(text, is_zoned=True) for text in texts]
    ahead = np.array([minutes for _, minutes in pairs], "timedelta64[m]")
    return np.asarray(np.array([moment for moment, _ in pairs], "datetime64[us]") - ahead)


def _moment(text: str, is_zoned: bool = False) -> tuple[str, int]:
    """A moment as NumPy reads it, and how many minutes its zone is ahead of UTC."""
    match = _DATE.fullmatch(text) if len(text) <= _LONGEST_DATE else None
    if match is None or (match[6] is not None) != is_zoned:
        raise ValueError(text)
    day, hour, minute, second, fraction, zone = match.groups()
    moment = f"{day}T{hour or '00'}:{minute or '00'}:{second or '00'}.{(fraction or '0')[:6]}"
    if zone is None or zone == "Z":
        return moment, 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return moment, (int(digits[:2]) * 60 + int(digits[2:])) * (-1 if zone[0] == "-" else 1)
