"""A model's layers as the graph that TensorBoard draws."""

from itertools import chain

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef
from torch import nn

#: a layer may be called "output", so the ends of the graph are not
_INPUT, _OUTPUT = "(input)", "(output)"


def module_graph(model: nn.Module) -> GraphDef:
    """One node for each module without children, in the order in which they are defined, from input to output.

    Nothing is run or traced: the graph shows what the model is made of, and for layers in sequence that is also how
    rows flow through it.

    Args:
        model: the model.

    Returns:
        The graph. Each layer has its class as ``op``, the shape of every parameter and buffer as an attribute, and,
        where it is known, the shape that it puts out.
    """
    graph = GraphDef(versions=VersionDef(producer=22))
    widths = [layer.in_features for layer in model.modules() if isinstance(layer, nn.Linear)]
    shape = {"_output_shapes": _output_shape(widths[0])} if widths else {}
    graph.node.append(NodeDef(name=_INPUT, op="Input", attr=shape))
    for name, module in model.named_modules():
        if next(module.children(), None) is None:
            graph.node.append(_node(name.replace(".", "/") or "model", module, graph.node[-1]))
    last = graph.node[-1]
    graph.node.append(NodeDef(name=_OUTPUT, op="Output", input=[last.name], attr=_known_output(last)))
    return graph


def _node(name: str, module: nn.Module, before: NodeDef) -> NodeDef:
    tensors = chain(module.named_parameters(), module.named_buffers())
    attributes = {key: AttrValue(shape=_shape(list(tensor.shape))) for key, tensor in tensors}
    width = getattr(module, "out_features", None)
    if isinstance(width, int):
        attributes["_output_shapes"] = _output_shape(width)
    elif _keeps_shape(module):
        attributes.update(_known_output(before))
    return NodeDef(name=name, op=type(module).__name__, input=[before.name], attr=attributes)


def _keeps_shape(module: nn.Module) -> bool:
    families = ("activation", "dropout", "batchnorm", "normalization")
    return type(module).__module__ in {f"torch.nn.modules.{family}" for family in families}


def _known_output(node: NodeDef) -> dict[str, AttrValue]:
    return {key: value for key, value in node.attr.items() if key == "_output_shapes"}


def _output_shape(width: int) -> AttrValue:
    return AttrValue(list=AttrValue.ListValue(shape=[_shape([-1, width])]))


def _shape(sizes: list[int]) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])
