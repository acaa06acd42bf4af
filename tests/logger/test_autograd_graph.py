"""The graph as TensorBoard's own reader gets it from the event file."""

import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.graph_pb2 import GraphDef

from nnlab.gradient.graph import computational_graph
from nnlab.gradient.recording import Recording
from nnlab.logger.autograd_graph import write_graph


def test_write_graph_is_read_back_with_nodes_leaves_shapes_and_lines(tmp_path):
    w, b, spare = (torch.ones(size, requires_grad=True) for size in ((3, 2), (3,), (7,)))
    x = torch.ones(4, 2)
    leaves = {"w": w, "b": b, "spare": spare, "x": x, "unused": torch.ones(2)}
    with Recording(leaves) as recording:
        value = torch.nn.functional.linear(x, w, b).relu().mean()
    path = write_graph(tmp_path, computational_graph(value, leaves, recording))
    assert path.parent == tmp_path
    (content,) = [event.graph_def for event in EventFileLoader(str(path)).Load() if event.graph_def]
    nodes = GraphDef.FromString(content).node
    found = {
        node.name: (node.op, list(node.input), [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim])
        for node in nodes
    }
    assert len(found) == len(nodes)
    assert found == {
        "w": ("Parameter", [], [3, 2]),
        "b": ("Parameter", [], [3]),
        "x": ("Constant", [], [4, 2]),
        "spare": ("ParameterNotReached", [], [7]),
        "unused": ("ConstantNotReached", [], [2]),
        "3 AddmmBackward0": ("AddmmBackward0", ["b", "x", "w"], [4, 3]),
        "2 ReluBackward0": ("ReluBackward0", ["3 AddmmBackward0"], [4, 3]),
        "1 MeanBackward0": ("MeanBackward0", ["2 ReluBackward0"], []),
    }
