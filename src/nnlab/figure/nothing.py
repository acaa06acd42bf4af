"""What every figure refuses: to show nothing."""

from collections.abc import Sized


def refuse_nothing(figure: str, what: str, items: Sized) -> None:
    """Refuse a figure without content, which would be an empty frame or an error of matplotlib's.

    Args:
        figure: what it is called.
        what: one of the items.
        items: what is to be drawn.

    Raises:
        ValueError: if there are no items.
    """
    if len(items) == 0:
        raise ValueError(f"{figure}: expected at least one {what}, found none")
