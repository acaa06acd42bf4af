"""What a sweep ends with on the terminal: a row for each member, then the comparison."""

from collections.abc import Sequence

from nnlab.console import Terminal, print_members
from nnlab.experiment import Result
from nnlab.report.conclusion import conclude
from nnlab.report.search_record import SEARCH_FILE


def print_ending(console: Terminal, results: Sequence[Result]) -> None:
    """Print what the members came to, and write the comparison into the sweep's folder.

    Args:
        console: where to.
        results: in the order of the members' numbers; at least one.
    """
    folder = results[0].folder.parent
    if not (folder / SEARCH_FILE).exists():  # whose table has the best of many
        print_members(console, results)
    text = conclude(folder)
    console.print(f"\n{text}", highlight=False, markup=False, soft_wrap=True)
