"""The picture of a computational graph."""

from nnlab.figure.graph import Box
from nnlab.figure.graph import graph as graph_figure
from nnlab.figure.png import png
from nnlab.gradient.graph import Graph, Leaf, Parent

#: operations in the picture; a taller one is looked at in pieces anyway
MOST = 100
REMARK = "Arrows: how the loss was computed (T: transposed). The gradient flows against them."


def draw(graph: Graph, title: str) -> bytes:
    """Draw a graph.

    Args:
        graph: of a loss.
        title: the heading.

    Returns:
        The picture as PNG.
    """
    remarks = [REMARK, *([shortened(graph)] if shortened(graph) else [])]
    return png(graph_figure(_boxes(graph), [_box(leaf) for leaf in graph.not_reached], title, remarks))[0]


def shortened(graph: Graph) -> str:
    """What the picture leaves out; empty if it shows the whole graph."""
    if len(graph.nodes) <= MOST:
        return ""
    return f"Drawn are the {MOST} nodes nearest to the loss, of {len(graph.nodes):,}."


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as a reader sees it, such as ``[32, 100]``; of a single number, ``scalar``."""
    return str(list(shape)) if shape else "scalar"


def _boxes(graph: Graph) -> list[Box]:
    """The nodes in their order, then their leaves, then what has no name."""
    nodes = graph.nodes[:MOST]
    used = {parent.leaf for node in nodes for parent in node.parents}
    leaves = [leaf for leaf in graph.reached if leaf.name in used]
    places = {leaf.name: len(nodes) + index for index, leaf in enumerate(leaves)}
    unnamed: list[Box] = []

    def arrow(parent: Parent) -> tuple[int, str]:
        if parent.leaf is not None:
            return places[parent.leaf], "T" if parent.text == f"{parent.leaf}.T" else ""
        if parent.node is None:
            unnamed.append(Box(parent.text, "", "constant"))
        elif parent.node <= len(nodes):
            return parent.node - 1, ""
        else:
            unnamed.append(Box(f"… node {parent.node}", "", "operation"))
        return len(nodes) + len(leaves) + len(unnamed) - 1, ""

    boxes = [
        Box(node.name, shape_text(node.shape), "operation", node.number, tuple(arrow(one) for one in node.parents))
        for node in nodes
    ]
    return [*boxes, *(_box(leaf) for leaf in leaves), *unnamed]


def _box(leaf: Leaf) -> Box:
    return Box(leaf.name, shape_text(leaf.shape), "constant" if leaf.is_constant else "parameter")
