"""A data set whose numbers stand in the config."""

from collections.abc import Sequence
from typing import get_args

import torch

from nnlab.data.dataset import Dataset, Split, Task

Rows = Sequence[float] | Sequence[Sequence[float]]


def inline(inputs: Rows, targets: Rows, task: Task | None = None) -> Dataset:
    """Rows typed into the config or the command line; all of them are for training.

    Args:
        inputs: N rows of F numbers, or a flat list of N numbers for one column.
        targets: N rows of T numbers, or a flat list; class codes 0 … C-1 for classification.
        task: None to infer it: integers that are whole codes 0 … C-1 mean ``binary`` for two classes and
            ``multiclass`` for more; anything else, 0.0 and 1.0 included, means ``regression``.

    Returns:
        A set with a train split only.

    Raises:
        ValueError: if the lists are empty, ragged or of unequal lengths, hold anything but finite numbers, or the
            targets do not fit the task. Rows are counted from 1.

    Example:
        >>> data = inline(inputs=[[0, 0], [0, 1], [1, 0], [1, 1]], targets=[0, 1, 1, 0])
        >>> data.task, data.train.target.flatten().tolist()
        ('binary', [0.0, 1.0, 1.0, 0.0])
    """
    input_rows = _table("inputs", inputs)
    target_rows = _table("targets", targets)
    if len(input_rows) != len(target_rows):
        raise ValueError(
            f"data.targets: expected {len(input_rows)} rows, one for each row of data.inputs, found {len(target_rows)}"
        )
    if task is not None and task not in get_args(Task):
        raise ValueError(f"data.task: expected one of {', '.join(get_args(Task))}, or null to infer it, found {task!r}")
    task = task or _infer(target_rows)
    columns = torch.tensor(input_rows, dtype=torch.float32)
    input_names = _names("x", columns.shape[1])
    if task == "regression":
        train = Split(columns, torch.tensor(target_rows, dtype=torch.float32))
        return Dataset(task, train, None, None, input_names, _names("y", train.target.shape[1]))
    codes = torch.tensor(_codes(target_rows, task))
    num_classes = 2 if task == "binary" else int(codes.max()) + 1
    train = Split(columns, codes.float()[:, None] if task == "binary" else codes)
    return Dataset(task, train, None, None, input_names, ("class",), tuple(str(code) for code in range(num_classes)))


def _table(key: str, rows: Rows) -> list[list[float]]:
    if not isinstance(rows, list | tuple) or not rows:
        raise ValueError(f"data.{key}: expected a list of at least one row, found {rows!r}")
    table = [list(row) if isinstance(row, list | tuple) else [row] for row in rows]
    nested = isinstance(rows[0], list | tuple)
    for number, (row, cells) in enumerate(zip(rows, table, strict=True), start=1):
        if isinstance(row, list | tuple) != nested:
            raise ValueError(
                f"data.{key}: row {number}: expected a {'list' if nested else 'number'} as in row 1, found {row!r}"
            )
        if not cells:
            raise ValueError(f"data.{key}: row {number}: expected at least one number, found an empty list")
        if len(cells) != len(table[0]):
            raise ValueError(
                f"data.{key}: row {number}: expected {len(table[0])} numbers as in row 1, found {len(cells)}"
            )
        for cell in cells:
            _check_number(key, number, cell)
    return table


def _check_number(key: str, row: int, cell: object) -> None:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise ValueError(f"data.{key}: row {row}: expected a number, found {cell!r}")
    largest = torch.finfo(torch.float32).max
    if not abs(cell) <= largest:  # true of NaN as well
        raise ValueError(f"data.{key}: row {row}: expected a finite number of at most {largest:.4g}, found {cell!r}")


def _infer(rows: list[list[float]]) -> Task:
    found = {cell for row in rows for cell in row}
    whole_codes = all(isinstance(cell, int) for row in rows for cell in row) and found == set(range(len(found)))
    if len(rows[0]) > 1 or len(found) < 2 or not whole_codes:
        return "regression"
    return "binary" if len(found) == 2 else "multiclass"


def _codes(rows: list[list[float]], task: Task) -> list[int]:
    if len(rows[0]) > 1:
        raise ValueError(f"data.targets: expected one column of class codes for {task}, found {len(rows[0])} columns")
    for number, (cell,) in enumerate(rows, start=1):
        if cell != int(cell) or cell < 0 or (task == "binary" and cell > 1):
            wanted = "0 or 1" if task == "binary" else "a class code 0, 1, 2, …"
            raise ValueError(f"data.targets: row {number}: expected {wanted} for {task}, found {cell!r}")
    codes = [int(cell) for (cell,) in rows]
    missing = min(set(range(len(codes) + 1)) - set(codes))
    if task == "multiclass" and (missing < max(codes) or missing < 2):
        raise ValueError(
            f"data.targets: expected every class code from 0 on, at least 0 and 1, found no {missing} "
            f"among {sorted(set(codes))}; number the classes without gaps"
        )
    return codes


def _names(letter: str, count: int) -> tuple[str, ...]:
    return (letter,) if count == 1 else tuple(f"{letter}{column}" for column in range(1, count + 1))
