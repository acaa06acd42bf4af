"""What networks of one input can draw before any training."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nnlab.figure.layout import Margins, note, panels
from nnlab.figure.nothing import refuse_nothing
from nnlab.figure.palette import INK, MUTED, class_color
from nnlab.figure.text import literal


def random_networks(
    grid: np.ndarray, straight: np.ndarray, bent: np.ndarray, input_name: str, output_name: str, title: str
) -> Figure:
    """The same networks without and with their activations, a colour for each.

    Args:
        grid: values of the input, ascending, shape [G].
        straight: outputs without activations, shape [N, G].
        bent: outputs with them, shape [N, G].
        input_name: the input's name.
        output_name: the output's name.
        title: the heading.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no network or value of the input.
    """
    refuse_nothing("random networks", "network", bent)
    refuse_nothing("random networks", "value of the input", grid)
    figure, axes = panels(2, title, width=3.6, height=3.2, margins=Margins(top=0.3))
    note(figure, "one colour, one network: its weights are the same on both sides")
    for panel, curves, name in zip(axes, (straight, bent), ("without activations", "with activations"), strict=True):
        panel.set_title(name, fontsize=11, color=INK, loc="left")
        panel.grid(True, color="#E6E6E6", linewidth=0.6)
        panel.axhline(0, color=MUTED, linewidth=0.8)
        for number, curve in enumerate(curves):
            panel.plot(grid, curve, color=class_color(number), linewidth=1.8)
        panel.set_xlabel(literal(input_name), fontsize=10, color=INK)
        panel.set_ylabel(literal(output_name), fontsize=10, color=INK)
        panel.set_xlim(float(grid[0]), float(grid[-1]))
        panel.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    return figure
