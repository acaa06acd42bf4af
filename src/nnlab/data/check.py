"""Checks of the keys that data sets share."""

import sys


def check_count(key: str, value: int, least: int) -> None:
    """Refuse a number of rows, columns or classes that is too small or no integer.

    Args:
        key: the key below ``data``.
        value: what was found there.
        least: the smallest count allowed.

    Raises:
        ValueError: if the value is no integer or below ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"data.{key}: expected an integer >= {least}, found {value!r}")


def check_between(key: str, value: float, least: float, most: float = sys.float_info.max) -> None:
    """Refuse a number outside a closed range, and NaN and infinities always.

    Args:
        key: the key below ``data``.
        value: what was found there.
        least: the smallest value allowed.
        most: the largest value allowed.

    Raises:
        ValueError: if the value is no finite number in the range.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value <= most:
        wanted = f"a number >= {least:g}" if most == sys.float_info.max else f"a number from {least:g} to {most:g}"
        raise ValueError(f"data.{key}: expected {wanted}, found {value!r}")


def check_seed(value: int) -> None:
    """Refuse a seed that one of the generators behind the data sets would not take.

    Args:
        value: ``data.seed``.

    Raises:
        ValueError: if the seed is no integer from 0 to 2^32 - 1, which is what NumPy's RandomState takes.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise ValueError(f"data.seed: expected an integer from 0 to {2**32 - 1}, found {value!r}")
