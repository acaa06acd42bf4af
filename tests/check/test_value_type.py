"""Plain values against defaults and annotations."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest
from torch import Tensor

from nnlab.check.value_type import type_problem

#: annotation, default, values that fit, values that do not, what was expected
TYPES = [
    (int, 2, [0, -1, 5], [1.5, "a", None, True, [1], {"a": 1}], "a whole number"),
    (float, 0.1, [0.5, 1, float("inf")], ["a", None, False, [0.1]], "a number"),
    (float | Tensor, 0.1, [0.5, 1], ["a", None], "a number"),
    (bool, False, [True, False], [0, 1, "true", None], "true or false"),
    (str, "relu", ["tanh", ""], [5, None, True], "a word"),
    (str | None, None, ["a", None], [5, ["a"]], "a word or null"),
    (int | None, None, [5, None], [5.5, "a"], "a whole number or null"),
    (str | int, "30s", ["2ep", 50], [1.5, None, True], "a word or a whole number"),
    (Literal["a", "b"] | None, None, ["a", None], ["c", 1], "a or b or null"),
    (Sequence[int] | None, None, [[1, 2], [], None], [5, [1.5], ["a"], "ab"], "a list of whole numbers or null"),
    (Sequence[float], [0.1], [[1, 0.5]], [0.5, ["a"], None], "a list of numbers"),
    (Sequence[float] | Sequence[Sequence[float]], None, [[1.0], [[1.0]]], ["a", [["a"]]], "a list of numbers"),
    (tuple[float, float], [0.9, 0.99], [[0.1, 0.2]], [[0.1], [0.1, 0.2, 0.3], 0.1], "a list of 2 numbers"),
    (tuple[float | Tensor, float | Tensor], [0.9, 0.99], [[0.1, 0.2]], [["a", "b"]], "a list of 2 numbers"),
    (tuple[int, ...], [1], [[1, 2, 3], []], [[1.5], 1], "a list of whole numbers"),
    (str | Callable[[], Any], "relu", ["tanh", {"_target_": "x"}], [5, {"a": 1}], "a word or a component {_target_"),
    (Mapping[str, int], {}, [{"a": 1}], [5, "a"], "keys and values"),
    # without an annotation the default speaks
    (Any, 2, [3], [1.5, "a", None], "a whole number"),
    (Any, [], [[1], ["a"]], [5, "a"], "a list"),
    (Any, [0.9], [[1]], [["a"], 5], "a list"),
    # and without both, anything goes
    (Any, None, [1, "a", None, [1]], [], ""),
    (Any, "${seed}", [1, "a"], [], ""),
    (Tensor, None, [1, "a"], [], ""),
    # the default is an interpolation, the annotation speaks
    (int, "${seed}", [1], ["a", 1.5], "a whole number"),
]


@pytest.mark.parametrize(("annotation", "default", "fitting", "unfitting", "expected"), TYPES)
def test_value_type_is_judged_by_annotation_and_default(annotation, default, fitting, unfitting, expected):
    for value in fitting:
        assert type_problem(value, default, lambda: annotation) is None
    for value in unfitting:
        assert type_problem(value, default, lambda: annotation).startswith(f"expected {expected}")


def test_annotation_is_not_asked_where_the_default_settles_it():
    def annotation():
        raise AssertionError("importing a target costs a second")

    assert type_problem(0.5, 0.1, annotation) is None
    assert type_problem(5, 0.1, annotation) is None
    assert type_problem("a", "b", annotation) is None


@pytest.mark.parametrize(("value", "text"), [(None, "null"), (True, "true"), ("a", "'a'"), ([1, None], "[1, null]")])
def test_found_value_is_shown_as_it_is_typed(value, text):
    assert type_problem(value, 2, lambda: int) == f"expected a whole number, found {text}"
