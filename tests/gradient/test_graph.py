"""The graph that autograd recorded, against torch's own nodes and a real backward pass."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nnlab.gradient.graph import computational_graph
from nnlab.gradient.operation import meaning
from nnlab.gradient.recording import Recording
from nnlab.model import ACTIVATIONS


def rows(graph):
    return [(node.name, *(parent.text for parent in node.parents)) for node in graph.nodes]


def names(leaves):
    return [leaf.name for leaf in leaves]


def model_and_batch(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 5, bias=False), nn.BatchNorm1d(5), nn.GELU(), nn.Dropout(0.5), nn.Linear(5, 3))
    return model, torch.randn(8, 2), torch.randint(3, (8,))


def loss_of(model, inputs, target):
    penalty = torch.stack([p.square().sum() for p in model.parameters() if p.dim() == 2]).sum()
    return F.cross_entropy(model(inputs), target) + 0.1 * penalty


def test_graph_of_the_second_notebook_shows_what_the_sum_does_not_reach():
    x1, x2, x3 = (torch.tensor(value, requires_grad=True) for value in ([2.0, 3.0], [4.0, 5.0], [6.0, 7.0]))
    leaves = {"x1": x1, "x2": x2, "x3": x3}
    with Recording(leaves) as recording:
        c = x1 * x2
        d = 12 + x3
        e = torch.sum(d)
    assert rows(computational_graph(e, leaves)) == [("SumBackward0", "2"), ("AddBackward0", "x3", "constant")]
    graph = computational_graph(e, leaves, recording)
    assert rows(graph) == [("SumBackward0", "2"), ("AddBackward0", "x3", "12")]
    assert [node.shape for node in graph.nodes] == [(), (2,)]
    assert (names(graph.reached), names(graph.not_reached)) == (["x3"], ["x1", "x2"])
    assert rows(computational_graph(c, leaves, recording)) == [("MulBackward0", "x1", "x2")]


def test_graph_any_shape_is_that_of_the_gradient_which_the_backward_pass_sends():
    model, inputs, target = model_and_batch()
    value = loss_of(model, inputs, target)
    graph = computational_graph(value, dict(model.named_parameters()))
    seen = {}

    def watch(function):
        def note(gradients):
            seen[function] = tuple(gradients[0].shape)

        function.register_prehook(note)
        for parent, _ in function.next_functions:
            if parent is not None:
                watch(parent)

    watch(value.grad_fn)
    value.backward()
    expected = Counter((function.name(), shape) for function, shape in seen.items())
    # Two weights: each is accumulated and, for its matrix product, transposed.
    left_out = [key for key in expected if "AccumulateGrad" in key[0] or key[0] == "TBackward0"]
    assert sum(expected.pop(key) for key in left_out) == 5 + 2
    assert Counter((node.name, node.shape) for node in graph.nodes) == expected
    assert len(expected) > 8


def test_graph_every_node_comes_before_what_it_was_computed_from():
    model, inputs, target = model_and_batch()
    graph = computational_graph(loss_of(model, inputs, target), dict(model.named_parameters()))
    assert [node.number for node in graph.nodes] == list(range(1, len(graph.nodes) + 1))
    for node in graph.nodes:
        assert all(parent.node is None or parent.node > node.number for parent in node.parents)
    assert names(graph.reached) == ["0.weight", "1.weight", "1.bias", "4.weight", "4.bias"]


@pytest.mark.parametrize("is_short_way_first", [True, False])
def test_graph_node_that_is_used_twice_comes_after_both_uses(is_short_way_first):
    doubled = 2 * W
    long_way = doubled.exp().sin()
    value = doubled - long_way if is_short_way_first else long_way - doubled
    graph = computational_graph(value, {"w": W})
    order = ["SubBackward0", "SinBackward0", "ExpBackward0", "MulBackward0"]
    assert [node.name for node in graph.nodes] == order
    assert [parent.text for parent in graph.nodes[0].parents] == (["4", "2"] if is_short_way_first else ["2", "4"])


def test_graph_reading_it_leaves_parameters_and_gradients_alone():
    model, inputs, target = model_and_batch()
    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    value = loss_of(model, inputs, target)
    computational_graph(value, dict(model.named_parameters()))
    for name, parameter in model.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, before[name])
    value.backward()  # the graph is still whole
    assert model[0].weight.grad.abs().sum() > 0


def test_recording_changes_neither_the_value_nor_the_graph():
    results = []
    for recorded in (False, True):
        model, inputs, target = model_and_batch()
        leaves = {**dict(model.named_parameters()), "inputs": inputs, "target": target}
        recording = Recording(leaves)
        if recorded:
            with recording:
                value = loss_of(model, inputs, target)
        else:
            value = loss_of(model, inputs, target)
        graph = computational_graph(value, leaves, recording)
        results.append((float(value.detach()), [(node.name, node.shape) for node in graph.nodes]))
    assert results[0] == results[1]


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, scale):
        return (a * 1).mul_(scale)

    @staticmethod
    def backward(ctx, gradient):
        raise AssertionError("nothing is computed backwards")


W, X = torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[3.0, 4.0]])
CODES = torch.tensor([1])
RECORDED = {
    "linear layer": (lambda: F.linear(X, W), [("MmBackward0", "x", "w.T")]),
    "class codes": (lambda: F.nll_loss(W, CODES), [("NllLossBackward0", "w", "codes")]),
    "made from a constant": (lambda: W - F.one_hot(CODES, 2), [("SubBackward0", "w", "codes")]),
    "two constants": (lambda: W * (X + CODES), [("MulBackward0", "w", "x", "codes")]),
    "number first": (lambda: 12 - W, [("RsubBackward1", "w")]),
    "number": (lambda: W / 4, [("DivBackward0", "w", "4")]),
    "no name": (lambda: W * torch.ones(2), [("MulBackward0", "w", "constant")]),
    "random": (lambda: W * torch.empty(1, 2).bernoulli_(0.5).div_(0.5), [("MulBackward0", "w", "random numbers")]),
    "detached": (lambda: W * W.detach(), [("MulBackward0", "w", "constant")]),
    "used twice": (lambda: W * W, [("MulBackward0", "w", "w")]),
    "list": (lambda: torch.cat([X, W]), [("CatBackward0", "x", "w")]),
    "own function": (lambda: Scaled.apply(W, X), [("ScaledBackward", "x", "w")]),
    "in place": (lambda: (W * X).add_(CODES), [("AddBackward0", "2", "codes"), ("MulBackward0", "w", "x")]),
    "condition": (lambda: torch.where(X > 3, W, X), [("WhereBackward0", "x", "w", "x")]),
    "transposed value": (lambda: W.t(), [("TBackward0", "w")]),
    "no constant": (lambda: W.sum(), [("SumBackward0", "w")]),
}


@pytest.mark.parametrize(("compute", "expected"), RECORDED.values(), ids=RECORDED)
def test_recording_any_constant_stands_where_it_was_used(compute, expected):
    leaves = {"w": W, "x": X, "codes": CODES}
    with Recording(leaves) as recording:
        value = compute()
    graph = computational_graph(value, leaves, recording)
    assert rows(graph) == expected
    used = {parent.leaf for node in graph.nodes for parent in node.parents} - {None}
    assert set(names(graph.reached)) == used
    assert set(names(graph.not_reached)) == leaves.keys() - used
    assert [leaf.is_constant for leaf in graph.reached] == [leaf.name != "w" for leaf in graph.reached]


def test_graph_without_a_recording_says_nothing_of_constants():
    graph = computational_graph((W * X).sum(), {"w": W, "x": X})
    assert names(graph.reached + graph.not_reached) == ["w"]


def test_graph_leaves_without_a_name_are_numbered():
    b, c = (torch.ones(2, requires_grad=True) for _ in range(2))
    graph = computational_graph(W * b + c, {"w": W})
    assert rows(graph) == [("AddBackward0", "2", "leaf"), ("MulBackward0", "w", "leaf_2")]
    assert names(graph.reached) == ["w", "leaf", "leaf_2"]


def test_graph_deeper_than_the_interpreters_stack_is_read():
    value = W
    for _ in range(3000):
        value = value + 1
    graph = computational_graph(value, {"w": W})
    assert len(graph.nodes) == 3000
    assert graph.nodes[-1].parents[0].text == "w"


@pytest.mark.parametrize("value", [X, W, (W * 2).detach()], ids=["constant", "leaf", "detached"])
def test_graph_value_that_autograd_knows_nothing_of_is_refused(value):
    with pytest.raises(ValueError, match="for which autograd recorded nothing"):
        computational_graph(value, {"w": W})


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_meaning_is_known_for_every_activation(activation):
    value = ACTIVATIONS[activation]()(torch.randn(4, 3, requires_grad=True) * 1)
    if value.grad_fn.name() != "MulBackward0":  # identity
        assert all(meaning(node.name) for node in computational_graph(value, {}).nodes)
