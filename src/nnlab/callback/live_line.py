"""A line that is drawn again in its place: on a terminal, or below the cell of a notebook."""

import sys
from typing import Any, Protocol, final

from rich.console import Console
from rich.live import Live
from rich.text import Text


class Line(Protocol):
    """What may be drawn again; ``rich.live.Live`` is one."""

    def start(self) -> None:
        """Show it."""

    def stop(self) -> None:
        """Draw it no more."""

    def update(self, renderable: Text, *, refresh: bool = False) -> None:
        """Draw it."""


@final
class ProgressConsole(Console):
    """The console of a program that calls nnlab: once nobody reads it, it is silent, and the training goes on."""

    def __init__(self, quiet: bool = False) -> None:
        # rich would give each line of a notebook a block of its own; a run's name is a stranger's, and no markup.
        super().__init__(force_jupyter=False, markup=False, highlight=False, quiet=quiet)

    def on_broken_pipe(self) -> None:
        """Print nothing from here on; rich would end the program."""
        self.quiet = True


def live_line(console: Console) -> Line | None:
    """A line to be drawn again, or None where there are only plain lines, one below the other.

    Args:
        console: where to.
    """
    if console.quiet:
        return None
    # Asked first: Jupyter sets FORCE_COLOR, by which rich believes to be on a terminal.
    if console.file is sys.stdout and in_notebook():
        return DisplayedLine()
    return Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None


def in_notebook() -> bool:
    """Whether Jupyter runs this program."""
    ipython = sys.modules.get("IPython")  # who is in a notebook has imported it
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None


@final
class DisplayedLine:
    """One plain line below a notebook's cell; rich's own live display would need ipywidgets.

    The last line stays: what a notebook shows is kept with it.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def start(self) -> None:
        """See ``Line``: it is shown as soon as there is something in it."""

    def stop(self) -> None:
        """See ``Line``."""
        self._handle = None

    def update(self, renderable: Text, *, refresh: bool = False) -> None:
        """See ``Line``."""
        content = {"text/plain": renderable.plain}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(content, raw=True)
