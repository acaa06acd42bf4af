"""Rows of values in which every two values of different factors meet at least once."""

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Row = dict[str, Any]


def pairs_of(row: Row) -> set[tuple[Any, ...]]:
    """The pairs that a row covers."""
    return {(a, row[a], b, row[b]) for a, b in combinations(row, 2)}


def all_pairs(factors: Mapping[str, Sequence[Any]]) -> set[tuple[Any, ...]]:
    """Every pair of values of different factors."""
    return {(a, x, b, y) for a, b in combinations(factors, 2) for x, y in product(factors[a], factors[b])}


def covering(
    factors: Mapping[str, Sequence[Any]],
    costly: Sequence[str] = (),
    refused: Callable[[Row], bool] = lambda row: False,
    seed: int = 0,
    tries: int = 12,
) -> list[Row]:
    """Rows that cover all pairs, found greedily: each begins with an open pair and takes what covers most.

    Args:
        factors: name -> values.
        costly: factors whose first values are preferred where it makes no difference.
        refused: whether three or more values must not meet, told of rows that may lack some factors.
        seed: of the choice among equals.
        tries: rows to choose each one from.
    """
    chance = random.Random(seed)
    names = list(factors)
    places = {name: place for place, name in enumerate(names)}
    left = all_pairs(factors)
    rows: list[Row] = []

    def is_open(a: str, x: Any, b: str, y: Any) -> bool:
        return ((a, x, b, y) if places[a] < places[b] else (b, y, a, x)) in left

    while left:
        best: tuple[int, Row] = (-1, {})
        first = min(left, key=repr)
        for _ in range(tries):
            row = {first[0]: first[1], first[2]: first[3]}
            others = [name for name in names if name not in row and name not in costly]
            chance.shuffle(others)
            others += [name for name in costly if name not in row]
            for name in others:
                gains = [
                    (
                        sum(is_open(name, value, other, row[other]) for other in row),
                        -number if name in costly else chance.random(),
                        value,
                    )
                    for number, value in enumerate(factors[name])
                    if not refused({**row, name: value})
                ]
                row[name] = max(gains, key=lambda gain: gain[:2])[2]
            row = {name: row[name] for name in names}
            best = max(best, (len(pairs_of(row) & left), row), key=lambda scored: scored[0])
        rows.append(best[1])
        left -= pairs_of(best[1])
    return rows
