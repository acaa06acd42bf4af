"""A figure as a drawing that stays sharp at any size."""

import hashlib
import io
import re

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from nnlab.figure.png import foreign_letters

#: a rule for every element of the page that the drawing is put into; as an attribute it is inherited by its own alone
_STYLE = re.compile(r"<defs>\s*<style type=\"text/css\">\*\{([^}]*)\}</style>\s*</defs>")
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_IDENTIFIER = re.compile(r"(\bid=\"|\bxlink:href=\"#|\burl\(#)")
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


def svg(figure: Figure) -> bytes:
    """Draw a figure.

    Letters are paths: they look the same where the typeface is missing, at the price of not being searchable. Nothing
    outside is referred to, and several drawings fit into one HTML page: identifiers begin with a digest of the drawing.

    Args:
        figure: the figure.

    Returns:
        One ``<svg>`` element, UTF-8. Equal figures give equal bytes: no date, no version in it.
    """
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "nnlab", "svg.fonttype": "path"}), foreign_letters():
        FigureCanvasSVG(figure).print_svg(file, metadata=_NO_METADATA)  # type: ignore[no-untyped-call]
    text = _COMMENT.sub("", file.getvalue())
    # without the prologue, which names a document type at an address
    text = _STYLE.sub("", text[text.index("<svg") :], count=1)
    text = text.replace("<svg ", '<svg style="stroke-linejoin: round; stroke-linecap: butt" ', 1)
    prefix = "n" + hashlib.sha256(text.encode()).hexdigest()[:10]
    return _IDENTIFIER.sub(rf"\g<1>{prefix}-", text).encode()
