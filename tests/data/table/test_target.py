"""The task that follows from a target, and what its cells become."""

import json

import numpy as np
import pytest
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import type_of_target

from nnlab.data.table.column import Column, Table
from nnlab.data.table.target import TargetEncoding, learn_target

RANDOM = np.random.default_rng(0)


def numbers(values):
    return Column("y", "number", np.asarray(values, np.float64))


def texts(cells):
    names = tuple(dict.fromkeys(cells))
    return Column("y", "text", np.array([names.index(cell) for cell in cells], np.int32), names)


def booleans(values):
    return Column("y", "boolean", np.asarray(values, np.float64))


def table_of(*columns):
    num_rows = len(columns[0].values)
    return Table("house.csv", {column.name: column for column in columns}, num_rows, lines=np.arange(2, num_rows + 2))


def learn(column, task=None, types=None):
    return learn_target(table_of(column), [column.name], np.arange(len(column.values)), task, types or {})


INFERRED = {
    "texts of two": (texts(["no", "yes", "no", "yes"]), "binary", ("no", "yes")),
    "texts of three": (texts(["c", "a", "b", "c", "a", "b"]), "multiclass", ("a", "b", "c")),
    "booleans": (booleans([1, 0, 1, 0]), "binary", ("false", "true")),
    "zero and one": (numbers([1, 0, 1, 0]), "binary", ("0", "1")),
    "two whole numbers": (numbers([10, 9, 10, 9]), "binary", ("9", "10")),
    "negative": (numbers([-1, 1, -1, 1]), "binary", ("-1", "1")),
    "ten": (numbers(np.arange(20) % 10 + 1), "multiclass", tuple(map(str, range(1, 11)))),
    "eleven": (numbers(np.arange(22) % 11), "regression", ()),
    "one of one row": (numbers([1, 1, 2, 2, 3]), "regression", ()),
    "fractions": (numbers([0.5, 1.5, 0.5, 1.5]), "regression", ()),
    "many": (numbers(RANDOM.normal(size=3000)), "regression", ()),
    "more numbers behind the thousandth row": (numbers(np.r_[np.zeros(1500), np.arange(1500)]), "regression", ()),
    "fractions behind the thousandth row": (numbers(np.r_[np.zeros(1500), 0.5, 0.5]), "regression", ()),
}


@pytest.mark.parametrize("case", INFERRED)
def test_task_is_inferred_from_the_cells_and_said(case):
    column, task, classes = INFERRED[case]
    encoding, note = learn(column)
    assert (encoding.task, encoding.class_names) == (task, classes)
    assert note.startswith(f"target y: {task}")
    assert note.endswith("; data.task=… chooses another")
    if task != "regression":
        assert type_of_target(column.values) == task
        codes = encoding.encode(table_of(column), np.arange(len(column.values)))
        cells = [column.cell(row) for row in range(len(column.values))]
        expected = column.values if column.stored != "text" else cells
        assert codes.tolist() == LabelEncoder().fit_transform(expected).tolist()


@pytest.mark.parametrize(
    ("column", "task", "found"),
    [
        (numbers([1, 0, 1, 0]), "regression", "regression"),
        (numbers([1, 0, 1, 0]), "multiclass", "multiclass"),
        (numbers(np.arange(60) % 30), "multiclass", "multiclass"),
        (booleans([1, 0, 1, 0]), "regression", "regression"),
        (texts(["3", "5", "3", "7"]), "regression", "regression"),
        (numbers([0.5, 1.5, 0.5, 1.5]), "binary", "binary"),
    ],
)
def test_declared_task_wins(column, task, found):
    encoding, note = learn(column, task)
    assert encoding.task == found
    assert note.endswith("as data.task says")


def test_declared_category_makes_numbers_classes():
    encoding, note = learn(numbers(np.arange(60) % 30), types={"y": "category"})
    assert encoding.class_names == tuple(map(str, range(30)))
    assert "data.types.y" in note


REFUSED = {
    "one class": (texts(["a"] * 4), None, r"every row is of the class 'a'; expected at least 2"),
    "constant": (numbers([2.5] * 4), None, r"the target is 2\.5 in every row; there is nothing to learn"),
    "constant whole": (numbers([2] * 4), None, r"every row is of the class '2'; expected at least 2"),
    "identifier": (texts([f"n{row}" for row in range(30)]), None, r"30 classes in 30 rows: expected at most half"),
    "numbers as classes": (numbers(RANDOM.normal(size=30)), "multiclass", r"data\.task=regression predicts the number"),
    "three for binary": (texts(["a", "b", "c"] * 3), "binary", r"data\.task: binary needs 2 classes; column y has 3"),
    "text for regression": (texts(["1", "2", "n/k"] * 3), "regression", r"row 3 \(line 4\), column y: .* found 'n/k'"),
    "unknown task": (texts(["a", "b"]), "ranking", r"data\.task: expected one of regression, binary, multiclass"),
    "dates": (Column("y", "date", np.array(["2024-01-01", "2024-01-02"], "datetime64[us]")), None, r"holds dates"),
    "no rows": (numbers([]), None, r"every cell of the target is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_target_that_cannot_be_learnt_is_refused_with_the_reason(case):
    column, task, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        learn(column, task)


def test_several_targets_are_a_regression():
    table = table_of(numbers([1, 0, 1, 0]), Column("z", "number", np.array([5.0, 6.0, 7.0, 9.0])))
    encoding, note = learn_target(table, ["y", "z"], np.arange(4), None, {})
    assert encoding == TargetEncoding("regression", ("y", "z"))
    assert encoding.encode(table, np.array([3, 0])).tolist() == [[0.0, 9.0], [1.0, 5.0]]
    assert "2 target columns" in note
    with pytest.raises(ValueError, match=r"data\.target: expected one column for binary, found 2: y, z"):
        learn_target(table, ["y", "z"], np.arange(4), "binary", {})


def test_class_that_the_training_lacks_is_refused_with_its_row():
    encoding, _ = learn(texts(["no", "yes", "no", "yes"]))
    with pytest.raises(
        ValueError, match=r"row 2 \(line 3\), column y: expected one of the classes no, yes, found 'mu'"
    ):
        encoding.encode(table_of(texts(["no", "mu", "yes"])), np.arange(3))


def test_infinite_target_is_refused_with_its_row():
    column = numbers([1.5, 2.5, 1e39, 3.5])
    encoding, _ = learn(column)
    with pytest.raises(ValueError, match=r"row 3 \(line 4\), column y: expected a number within the range of float32"):
        encoding.encode(table_of(column), np.arange(4))


@pytest.mark.parametrize("case", INFERRED)
def test_json_round_trip_is_equal(case):
    encoding, _ = learn(INFERRED[case][0])
    assert TargetEncoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding
