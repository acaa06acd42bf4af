"""Where the boxes of a graph without cycles go: layers, an order within each, and places along it.

The steps are those of Sugiyama, Tagawa and Toda (1981), "Methods for Visual Understanding of Hierarchical System
Structures": longest-path layers, invisible points where an arrow passes a layer, barycentres against crossings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

#: how often the layers are gone through
_ORDER_SWEEPS = 12
_PLACE_SWEEPS = 60
#: room that an arrow takes on its way through a layer
_LANE = 0.12
#: how strongly an arrow pulls at its ends: between boxes that matter, along its own way, from there to a box, elsewhere
_SPINE, _WAY, _JOINT, _LEAF = 8.0, 2.0, 0.5, 0.02


@dataclass(frozen=True)
class Layout:
    """Places.

    Args:
        x: the middle of each box; all boxes lie between 0 and ``width``.
        layer: of each box; 0 holds those that nothing was computed from.
        lanes: for each arrow, where it passes the layers between its ends, from its parent's side.
        width: of the whole.
    """

    x: list[float]
    layer: list[int]
    lanes: list[list[float]]
    width: float


def layered(widths: Sequence[float], arrows: Sequence[tuple[int, int]], is_spine: Sequence[bool], gap: float) -> Layout:
    """Lay out a graph.

    Args:
        widths: of the boxes. They come in an order in which each is before its parents.
        arrows: pairs of a parent and a child, in the order in which a child's parents should stand.
        is_spine: for each box whether it matters: between two that do, arrows are upright if possible.
        gap: between boxes.

    Returns:
        The places, in the unit of the widths.
    """
    layer = _layers(len(widths), arrows)
    size = list(widths)
    links: list[tuple[int, int, float]] = []
    chains = []
    for parent, child in arrows:
        chain = [parent]
        for level in range(layer[parent] - 1, layer[child], -1):
            chain.append(len(layer))
            layer.append(level)
            size.append(_LANE)
        chain.append(child)
        links += _links(chain, is_spine[parent] and is_spine[child])
        chains.append(chain[1:-1])
    rows = _ordered(layer, links)
    x = _placed(rows, size, links, gap)
    left = min(x[box] - size[box] / 2 for box in range(len(layer)))
    right = max(x[box] + size[box] / 2 for box in range(len(layer)))
    x = [place - left for place in x]
    return Layout(
        x[: len(widths)], layer[: len(widths)], [[x[point] for point in chain] for chain in chains], right - left
    )


def _links(chain: Sequence[int], is_spine: bool) -> list[tuple[int, int, float]]:
    """Neighbours on an arrow's way, and how strongly they pull at each other."""
    if len(chain) == 2:
        return [(chain[0], chain[1], _SPINE if is_spine else _LEAF)]
    ends = _JOINT if is_spine else _LEAF
    forces = [ends, *[_WAY] * (len(chain) - 3), ends]
    return [(a, b, force) for (a, b), force in zip(pairwise(chain), forces, strict=True)]


def _layers(num: int, arrows: Sequence[tuple[int, int]]) -> list[int]:
    """The longest way from each box to one that nothing was computed from."""
    layer = [0] * num
    for parent, child in sorted(arrows, key=lambda arrow: arrow[1]):
        layer[parent] = max(layer[parent], layer[child] + 1)
    return layer


def _ordered(layer: Sequence[int], links: Sequence[tuple[int, int, float]]) -> list[list[int]]:
    """The boxes of each layer from left to right, with few crossings."""
    parents, children = _neighbours(len(layer), links)
    rows: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    seen = set()
    waiting = [box for box in range(len(layer) - 1, -1, -1) if not children[box]]
    while waiting:
        box = waiting.pop()
        if box not in seen:
            seen.add(box)
            rows[layer[box]].append(box)
            waiting += reversed(parents[box])
    best, fewest = rows, _crossings(rows, links)
    for sweep in range(_ORDER_SWEEPS):
        sides = (children, range(1, len(rows))) if sweep % 2 == 0 else (parents, range(len(rows) - 2, -1, -1))
        rows = _swept(rows, *sides)
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _neighbours(num: int, links: Sequence[tuple[int, int, float]]) -> tuple[list[list[int]], list[list[int]]]:
    parents: list[list[int]] = [[] for _ in range(num)]
    children: list[list[int]] = [[] for _ in range(num)]
    for parent, child, _ in links:
        parents[child].append(parent)
        children[parent].append(child)
    return parents, children


def _swept(rows: list[list[int]], towards: list[list[int]], levels: range) -> list[list[int]]:
    """Each layer ordered by the mean rank of its boxes' neighbours on one side."""
    rows = list(rows)
    rank = {box: index / len(row) for row in rows for index, box in enumerate(row)}
    for level in levels:
        middle = {
            box: float(np.mean([rank[other] for other in towards[box]])) if towards[box] else rank[box]
            for box in rows[level]
        }
        rows[level] = sorted(rows[level], key=lambda box: middle[box])
        rank |= {box: index / len(rows[level]) for index, box in enumerate(rows[level])}
    return rows


def _crossings(rows: list[list[int]], links: Sequence[tuple[int, int, float]]) -> int:
    rank = {box: index for row in rows for index, box in enumerate(row)}
    level = {box: number for number, row in enumerate(rows) for box in row}
    count = 0
    for number in range(1, len(rows)):
        ends = np.array([(rank[a], rank[b]) for a, b, _ in links if level[a] == number]).reshape(-1, 2)
        above, below = (ends[:, None, side] - ends[None, :, side] for side in (0, 1))
        count += int((above * below < 0).sum()) // 2
    return count


def _placed(
    rows: list[list[int]], size: Sequence[float], links: Sequence[tuple[int, int, float]], gap: float
) -> list[float]:
    """Places that keep each layer's order and make arrows as upright as the boxes allow."""
    x = np.zeros(len(size))
    offsets = []
    for row in rows:
        steps = [(size[a] + size[b]) / 2 + gap for a, b in pairwise(row)]
        offsets.append(np.concatenate([[0.0], np.cumsum(steps)]))
        x[row] = offsets[-1] - offsets[-1].mean()
    around: list[list[tuple[int, float]]] = [[] for _ in size]
    for parent, child, force in links:
        around[parent].append((child, force))
        around[child].append((parent, force))
    for sweep in range(_PLACE_SWEEPS):
        order = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        for level in order:
            row = rows[level]
            forces = np.array([sum(force for _, force in around[box]) for box in row]) + 1e-6
            wanted = np.array([sum(force * x[other] for other, force in around[box]) for box in row]) / forces
            x[row] = _ascending(wanted - offsets[level], forces) + offsets[level]
    return [float(place) for place in x]


def _ascending(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The ascending numbers nearest to some values in weighted squares: pools of equal numbers, merged as needed."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append((float(value), float(weight), 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m, i), (b, n, j) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n, i + j)]
    return np.concatenate([np.full(count, value) for value, _, count in pools])
