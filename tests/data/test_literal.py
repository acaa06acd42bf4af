import math

import pytest
import torch

from nnlab.data import inline

INFERRED = [
    ([0, 1, 1, 0], "binary", [[0.0], [1.0], [1.0], [0.0]], ("0", "1")),
    ([[0], [1], [1], [0]], "binary", [[0.0], [1.0], [1.0], [0.0]], ("0", "1")),
    ([2, 0, 1, 2], "multiclass", [2, 0, 1, 2], ("0", "1", "2")),
    ([0.0, 1.0, 1.0, 0.0], "regression", [[0.0], [1.0], [1.0], [0.0]], ()),
    ([0, 1, 1.0, 0], "regression", [[0.0], [1.0], [1.0], [0.0]], ()),
    ([1, 2, 3, 4], "regression", [[1.0], [2.0], [3.0], [4.0]], ()),
    ([0, 2, 4, 6], "regression", [[0.0], [2.0], [4.0], [6.0]], ()),
    ([0, 0, 0, 0], "regression", [[0.0], [0.0], [0.0], [0.0]], ()),
    ([0, 1, -1, 0], "regression", [[0.0], [1.0], [-1.0], [0.0]], ()),
    ([[0, 1], [1, 0], [1, 1], [0, 0]], "regression", [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], ()),
]


@pytest.mark.parametrize(("targets", "task", "target", "class_names"), INFERRED)
def test_task_left_to_infer_follows_from_the_targets(targets, task, target, class_names):
    data = inline(inputs=[1, 2, 3, 4], targets=targets)
    assert (data.task, data.train.target.tolist(), data.class_names) == (task, target, class_names)
    assert data.train.target.dtype == (torch.int64 if task == "multiclass" else torch.float32)


GIVEN = [
    ([0, 1, 1], "regression", [[0.0], [1.0], [1.0]]),
    ([0.0, 1.0, 1.0], "binary", [[0.0], [1.0], [1.0]]),
    ([1, 1, 1], "binary", [[1.0], [1.0], [1.0]]),
    ([0.0, 1.0, 1.0], "multiclass", [0, 1, 1]),
]


@pytest.mark.parametrize(("targets", "task", "target"), GIVEN)
def test_task_given_overrules_what_would_be_inferred(targets, task, target):
    data = inline(inputs=[1, 2, 3], targets=targets, task=task)
    assert (data.task, data.train.target.tolist()) == (task, target)


def test_inputs_flat_or_nested_are_one_column_or_many():
    flat = inline(inputs=[1, 2.5], targets=[3.5, 4.5])
    nested = inline(inputs=[[1, 2.5, 3], [4, 5, 6]], targets=[[1.5, 2], [3, 4]])
    assert (flat.train.inputs.tolist(), flat.input_names, flat.target_names) == ([[1.0], [2.5]], ("x",), ("y",))
    assert nested.train.inputs.tolist() == [[1.0, 2.5, 3.0], [4.0, 5.0, 6.0]]
    assert (nested.input_names, nested.target_names) == (("x1", "x2", "x3"), ("y1", "y2"))
    assert nested.valid is None
    assert nested.test is None


BAD = [
    ([], [1.5], None, r"data\.inputs: expected a list of at least one row, found \[\]"),
    (3, [1.5], None, r"data\.inputs: expected a list of at least one row, found 3"),
    ("12", [1.5], None, r"data\.inputs: expected a list of at least one row, found '12'"),
    ([1.5], [], None, r"data\.targets: expected a list of at least one row, found \[\]"),
    ([[]], [1.5], None, r"data\.inputs: row 1: expected at least one number"),
    ([1, 2, 3], [1, 2], None, r"data\.targets: expected 3 rows, one for each row of data\.inputs, found 2"),
    ([[1, 2], [3, 4], [5]], [1, 2, 3], None, r"data\.inputs: row 3: expected 2 numbers as in row 1, found 1"),
    ([1, 2], [[1], [1, 2]], None, r"data\.targets: row 2: expected 1 numbers as in row 1, found 2"),
    ([[1], 2], [1, 2], None, r"data\.inputs: row 2: expected a list as in row 1, found 2"),
    ([1, [2]], [1, 2], None, r"data\.inputs: row 2: expected a number as in row 1, found \[2\]"),
    ([1, "2"], [1, 2], None, r"data\.inputs: row 2: expected a number, found '2'"),
    ([1, None], [1, 2], None, r"data\.inputs: row 2: expected a number, found None"),
    ([1, 2], [True, False], None, r"data\.targets: row 1: expected a number, found True"),
    ([[1, [2]]], [1], None, r"data\.inputs: row 1: expected a number, found \[2\]"),
    ([1, math.nan], [1, 2], None, r"data\.inputs: row 2: expected a finite number .*, found nan"),
    ([1, 2], [math.inf, 2], None, r"data\.targets: row 1: expected a finite number .*, found inf"),
    ([1, 2], [1e39, 2], None, r"data\.targets: row 1: expected a finite number .*, found 1e\+39"),
    ([10**400, 2], [1, 2], None, r"data\.inputs: row 1: expected a finite number"),
    ([1, 2], [0, 2], "multiclass", r"data\.targets: expected every class code from 0 on, .* found no 1 among \[0, 2\]"),
    ([1, 2, 3], [0, 3, 1], "multiclass", r"data\.targets: .* found no 2 among \[0, 1, 3\]"),
    ([1, 2], [1, 2], "multiclass", r"data\.targets: .* found no 0 among \[1, 2\]"),
    ([1, 2], [0, 0], "multiclass", r"data\.targets: .* found no 1 among \[0\]"),
    ([1, 2], [0, -1], "multiclass", r"data\.targets: row 2: expected a class code .* found -1"),
    ([1, 2], [0, 0.5], "multiclass", r"data\.targets: row 2: expected a class code .* found 0\.5"),
    ([1, 2], [0, 2], "binary", r"data\.targets: row 2: expected 0 or 1 for binary, found 2"),
    ([1, 2], [[0, 1], [1, 0]], "binary", r"data\.targets: expected one column of class codes for binary, found 2"),
    ([1, 2], [0, 1], "ranking", r"data\.task: expected one of regression, binary, multiclass, .* found 'ranking'"),
]


@pytest.mark.parametrize(("inputs", "targets", "task", "message"), BAD)
def test_bad_numbers_are_refused_with_key_and_row(inputs, targets, task, message):
    with pytest.raises(ValueError, match=message):
        inline(inputs=inputs, targets=targets, task=task)
