"""Names from configs and files, shown as they are written."""

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend


def literal(text: str, most: int = 60) -> str:
    r"""A text that matplotlib draws letter by letter: no ``$…$`` formulas, no line breaks, not endless.

    Args:
        text: any text.
        most: characters to keep; a longer text loses its middle.

    Returns:
        The text, ``$`` escaped.

    Example:
        >>> literal("cost_$US$"), literal("abcdefghij", most=5)
        ('cost_\\$US\\$', 'ab…ij')
    """
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    if len(shown) > most:
        head = most // 2
        shown = f"{shown[:head]}…{shown[len(shown) - (most - head - 1) :]}"
    return shown.replace("$", r"\$")


def legend(
    owner: Axes | Figure, handles: Sequence[Artist], labels: Sequence[str], at: tuple[float, float], columns: int = 1
) -> Legend:
    """A legend whose labels may begin with an underscore, which matplotlib takes for "not in the legend".

    Args:
        owner: the axes or figure that it belongs to.
        handles: what the entries show.
        labels: one for each; drawn literally.
        at: its upper left corner, in the owner's coordinates from 0 to 1.
        columns: entries side by side.

    Returns:
        The legend.
    """
    made = owner.legend(
        handles,
        ["label"] * len(labels),
        loc="upper left",
        bbox_to_anchor=at,
        ncols=columns,
        frameon=False,
        fontsize=9,
        borderaxespad=0,
        borderpad=0,
    )
    for entry, label in zip(made.get_texts(), labels, strict=True):
        entry.set_text(literal(label, most=30))
    return made
