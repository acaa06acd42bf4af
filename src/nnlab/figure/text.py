"""Names from configs and files, shown as they are written."""

from collections.abc import Sequence
from functools import cache

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
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
    return _shortened(_printable(text), most).replace("$", r"\$")


def width_of(text: str, size: float) -> float:
    """How wide a text in the usual typeface is.

    Args:
        text: the text as it is shown.
        size: of the letters, points.

    Returns:
        Inches.
    """
    # letters are set on whole pixels, which makes a text up to a twentieth wider
    return 1.05 * sum(_advance(letter) for letter in text) * size / 72


def fitted(text: str, inches: float, size: float) -> str:
    """A text that is no wider than its place: a longer one loses its middle.

    Args:
        text: any text.
        inches: how wide the place is.
        size: of the letters, points.

    Returns:
        The text as it is to be shown, ``$`` not yet escaped.
    """
    shown = _printable(text)
    most = min(len(shown), 200)
    while most > 1 and width_of(_shortened(shown, most), size) > inches:
        most -= 1
    return _shortened(shown, most)


def folded(text: str, inches: float, size: float, most_lines: int = 2) -> str:
    """A name over several lines, each drawn literally: broken after a comma, else after a sign, else where it is full.

    Args:
        text: any text.
        inches: how wide the place is.
        size: of the letters, points.
        most_lines: how many lines there may be; what is too long for them loses its middle.

    Returns:
        The lines, ``$`` escaped.
    """
    rest = _printable(text)
    lines: list[str] = []
    while rest and len(lines) < most_lines - 1 and width_of(rest, size) > inches:
        full = next(end for end in range(len(rest), 0, -1) if end == 1 or width_of(rest[:end], size) <= inches)
        end = rest.rfind(", ", 0, full + 1) + 1 or max(rest.rfind(sign, 0, full) + 1 for sign in "._=/ ") or full
        lines.append(rest[:end])
        rest = rest[end:].lstrip()
    return "\n".join(literal(line, most=len(line)) for line in [*lines, fitted(rest, inches, size)])


def short_names(names: Sequence[str], inches: float, size: float) -> tuple[list[str], str]:
    """Names of groups such as ``optim=adam, model.width=8``, without their keys where that saves room that is needed.

    Args:
        names: of the groups.
        inches: how wide their place is.
        size: of the letters, points.

    Returns:
        The names and an empty remark; or, if they do not fit and all have the same keys, their values alone and a
        remark that names the keys.

    Example:
        >>> short_names(["optim=adam, lr=1", "optim=sgd, lr=2"], 0.5, 9)
        (['adam, 1', 'sgd, 2'], 'groups: optim, lr')
    """
    parts = [_parts(name) for name in names]
    keys = [[key for key, _, _ in part] for part in parts]
    fit = all(width_of(name, size) <= inches for name in names)
    if fit or any(own != keys[0] for own in keys) or any(not sign for part in parts for _, sign, _ in part):
        return list(names), ""
    return [", ".join(value for _, _, value in part) for part in parts], f"groups: {', '.join(keys[0])}"


def _parts(name: str) -> list[tuple[str, str, str]]:
    """Key, equals sign and value of each setting; a comma within a list's value separates nothing."""
    parts: list[str] = []
    for part in name.split(", "):
        if parts and "=" not in part:
            parts[-1] += f", {part}"
        else:
            parts.append(part)
    return [part.partition("=") for part in parts]


def label(text: str, inches: float, size: float = 9.5) -> str:
    """A name beside an axis, drawn literally and no longer than its place.

    Args:
        text: any text.
        inches: how long the place is.
        size: of the letters, points.

    Returns:
        The text, ``$`` escaped.
    """
    return literal(fitted(text, inches, size), most=200)


def metric_label(metric: str, grows: bool, inches: float) -> str:
    """A metric's name for an axis, and which way is better, no longer than its place in inches."""
    direction = f" ({'more' if grows else 'less'} is better)"
    return label(metric, inches - width_of(direction, 9.5), 9.5) + direction


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[:head]}…{text[len(text) - (most - head - 1) :]}"


@cache
def _advance(letter: str) -> float:
    """A letter's width as a multiple of its size."""
    font = get_font(findfont(FontProperties()))
    if not font.get_char_index(ord(letter)):
        return 1.0  # it is drawn as a box, or by a typeface that has it
    font.set_size(100, 72)
    return float(font.load_char(ord(letter)).linearHoriAdvance) / 65536 / 100


def legend(
    owner: Axes | Figure,
    handles: Sequence[Artist],
    labels: Sequence[str],
    at: tuple[float, float],
    columns: int = 1,
    most: int = 30,
) -> Legend:
    """A legend whose labels may begin with an underscore, which matplotlib takes for "not in the legend".

    Args:
        owner: the axes or figure that it belongs to.
        handles: what the entries show.
        labels: one for each; drawn literally.
        at: its upper left corner, in the owner's coordinates from 0 to 1.
        columns: entries side by side.
        most: letters of a label to keep.

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
    for entry, shown in zip(made.get_texts(), labels, strict=True):
        entry.set_text(literal(shown, most=most))
    return made
