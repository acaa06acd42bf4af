"""The computational graph: how a value came from its leaves, as autograd recorded it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor
from torch.autograd.graph import Node as GradFn

from nnlab.gradient.recording import Recording

_ACCUMULATE = "torch::autograd::AccumulateGrad"
_TRANSPOSE = "TBackward0"


@dataclass(frozen=True)
class Parent:
    """What a node was computed from.

    Args:
        text: as a reader sees it: a node's number, a leaf's name, ``w.T`` for the leaf w transposed, a plain number,
            ``random numbers``, or ``constant`` for a tensor that has no name.
        node: the number, if it is a node.
        leaf: the name, if it is a leaf.
    """

    text: str
    node: int | None = None
    leaf: str | None = None


@dataclass(frozen=True)
class Node:
    """An operation that autograd recorded.

    Args:
        number: from 1, the value's own; what a node was computed from has higher numbers.
        name: as torch calls it, such as ``AddmmBackward0``.
        shape: of its output.
        parents: what it was computed from.
    """

    number: int
    name: str
    shape: tuple[int, ...]
    parents: tuple[Parent, ...]


@dataclass(frozen=True)
class Leaf:
    """A tensor that was given, not computed.

    Args:
        name: its name.
        shape: its shape.
        is_constant: whether it has no gradient.
    """

    name: str
    shape: tuple[int, ...]
    is_constant: bool


@dataclass(frozen=True)
class Graph:
    """How a value was computed.

    Args:
        nodes: by their numbers, the value's own first.
        reached: leaves that the value depends on.
        not_reached: leaves that it does not depend on.
    """

    nodes: tuple[Node, ...]
    reached: tuple[Leaf, ...]
    not_reached: tuple[Leaf, ...]


def computational_graph(value: Tensor, leaves: Mapping[str, Tensor], recording: Recording | None = None) -> Graph:
    """Read the graph that autograd recorded for a value. Nothing is computed, and no ``grad`` is touched.

    A leaf that is only transposed on its way (``TBackward0``, as the weight of every linear layer) makes no node of its
    own: what was computed from it names it ``w.T``.

    Args:
        value: of any shape, computed from at least one tensor that requires a gradient.
        leaves: tensors that may have gone into it, by name. Autograd forgets those without a gradient: they are found
            through ``recording`` and left out without one. A leaf that is not among them is called ``leaf``.
        recording: of the value's computation, with the same leaves.

    Returns:
        The graph.

    Raises:
        ValueError: if autograd recorded nothing for the value.

    Example:
        >>> import torch
        >>> w, b, unused = (torch.ones(3, requires_grad=True) for _ in range(3))
        >>> graph = computational_graph((w * 2 + b).sum(), {"w": w, "b": b, "unused": unused})
        >>> for node in graph.nodes:
        ...     print(node.number, node.name, list(node.shape), *(parent.text for parent in node.parents))
        1 SumBackward0 [] 2
        2 AddBackward0 [3] 3 b
        3 MulBackward0 [3] w constant
        >>> [leaf.name for leaf in graph.not_reached]
        ['unused']
    """
    if value.grad_fn is None:
        raise ValueError(
            "computational graph: expected a value that was computed from a tensor with a gradient, found one for "
            "which autograd recorded nothing (computed under no_grad, detached, or itself a leaf?)"
        )
    names = _Names(leaves)
    functions = _in_order(value.grad_fn)
    numbers = {function: number for number, function in enumerate(functions, 1)}
    used_outputs = {value.grad_fn: value.output_nr} | {
        parent: output for function in functions for parent, output in function.next_functions if parent in numbers
    }
    nodes = [
        Node(
            number,
            function.name(),
            tuple(function._input_metadata[used_outputs[function]].shape),
            tuple(_parent(source, numbers, names) for source in _sources(function, recording)),
        )
        for function, number in numbers.items()
    ]
    searched = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad or recording is not None}
    described = [
        Leaf(name, tuple(leaf.shape), not leaf.requires_grad) for name, leaf in {**searched, **names.used}.items()
    ]
    return Graph(
        tuple(nodes),
        tuple(leaf for leaf in described if leaf.name in names.used),
        tuple(leaf for leaf in described if leaf.name not in names.used),
    )


class _Names:
    """What leaves are called, and which were asked for.

    Args:
        leaves: by name.
    """

    def __init__(self, leaves: Mapping[str, Tensor]) -> None:
        self._leaves = leaves
        self._names = {id(leaf): name for name, leaf in leaves.items()}
        self.used: dict[str, Tensor] = {}

    def of_tensor(self, leaf: Tensor) -> str:
        if id(leaf) not in self._names:
            number = len(self._names) - len(self._leaves) + 1
            self._names[id(leaf)] = "leaf" if number == 1 else f"leaf_{number}"
        name = self._names[id(leaf)]
        self.used[name] = leaf
        return name

    def of_constant(self, text: str) -> str | None:
        if text not in self._leaves:
            return None
        self.used[text] = self._leaves[text]
        return text


def _parent(source: GradFn | str, numbers: Mapping[GradFn, int], names: _Names) -> Parent:
    if isinstance(source, str):
        return Parent(source, leaf=names.of_constant(source))
    if source in numbers:
        return Parent(str(numbers[source]), node=numbers[source])
    is_transposed = source.name() == _TRANSPOSE
    accumulate: Any = _before(source)[0] if is_transposed else source
    name = names.of_tensor(cast(Tensor, accumulate.variable))
    return Parent(f"{name}.T" if is_transposed else name, leaf=name)


def _sources(function: GradFn, recording: Recording | None) -> list[GradFn | str]:
    """What a node was computed from in the operation's order: nodes, and constants by what they are called."""
    sources = [source for source, _ in function.next_functions]
    arguments = recording.arguments(function) if recording is not None else None
    if arguments is None:
        return [source or "constant" for source in sources]
    with_gradient = iter([source for source in sources if source is not None])
    # An operation has arguments that it is not a function of, such as a dimension or a running mean.
    num_unnamed = sources.count(None) - sum(len(argument.names) > 0 for argument in arguments)
    merged: list[GradFn | str] = []
    for argument in arguments:
        if argument.has_gradient:
            merged += [source for source in [next(with_gradient, None)] if source is not None]
        elif argument.names:
            merged += argument.names
        elif num_unnamed > 0:
            merged.append(argument.text)
            num_unnamed -= 1
    return [*merged, *with_gradient, *["constant"] * num_unnamed]


def _in_order(root: GradFn) -> list[GradFn]:
    """All nodes, each before what it was computed from; a branch is followed to its end before the next."""
    num_uses = {root: 0}
    waiting = [root]
    while waiting:
        for parent in _before(waiting.pop()):
            if parent not in num_uses:
                waiting.append(parent)
            num_uses[parent] = num_uses.get(parent, 0) + 1
    ordered, ready = [], [root]
    while ready:
        ordered.append(ready.pop())
        for parent in reversed(_before(ordered[-1])):
            num_uses[parent] -= 1
            if not num_uses[parent]:
                ready.append(parent)
    return [root, *(function for function in ordered[1:] if not _is_leaf(function))]


def _before(function: GradFn) -> list[GradFn]:
    return [parent for parent, _ in function.next_functions if parent is not None]


def _is_leaf(function: GradFn) -> bool:
    before = _before(function)
    is_transposed_leaf = function.name() == _TRANSPOSE and before[0].name() == _ACCUMULATE
    return function.name() == _ACCUMULATE or is_transposed_leaf
