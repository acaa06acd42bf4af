"""A computational graph as TensorBoard draws it."""

import time
from pathlib import Path

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef

from nnlab.gradient.graph import Graph, Leaf, Node
from nnlab.logger.event_file import EventFile


def write_graph(folder: Path, graph: Graph) -> Path:
    """Write an event file that shows a graph on TensorBoard's graph tab.

    Args:
        folder: where the file goes.
        graph: the graph.

    Returns:
        The file.

    Raises:
        OSError: if it cannot be written.
    """
    events = EventFile(folder, flush_every_s=0)
    events.write(Event(wall_time=time.time(), graph_def=autograd_graph(graph).SerializeToString()))
    events.flush()
    return events.path


def autograd_graph(graph: Graph) -> GraphDef:
    """One node for each operation and each leaf, those that the value does not depend on without a line to it.

    Args:
        graph: the graph.

    Returns:
        The graph. Operations are called by number and name, leaves by their names; each has its shape as
        ``_output_shapes``.
    """
    drawn = GraphDef(versions=VersionDef(producer=22))
    names = {node.number: f"{node.number} {node.name}" for node in graph.nodes}
    for leaf in (*graph.reached, *graph.not_reached):
        kind = "Constant" if leaf.is_constant else "Parameter"
        op = kind if leaf in graph.reached else f"{kind}NotReached"
        drawn.node.append(NodeDef(name=leaf.name, op=op, attr=_shape(leaf)))
    for node in reversed(graph.nodes):
        before = [names[parent.node] if parent.node is not None else parent.leaf for parent in node.parents]
        inputs = list(dict.fromkeys(name for name in before if name is not None))
        drawn.node.append(NodeDef(name=names[node.number], op=node.name, input=inputs, attr=_shape(node)))
    return drawn


def _shape(one: Node | Leaf) -> dict[str, AttrValue]:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in one.shape])
    return {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=[shape]))}
