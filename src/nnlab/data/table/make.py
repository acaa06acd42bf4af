"""From a table to a data set: columns chosen, rows dealt, cells encoded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nnlab.data.check import check_seed
from nnlab.data.dataset import Dataset, Split, Task
from nnlab.data.folds import with_fold
from nnlab.data.table.choose import choose_features, choose_target, nearest_column, refuse_unknown
from nnlab.data.table.column import Table
from nnlab.data.table.encoding import Encoding, Missing, check_missing, refuse_missing
from nnlab.data.table.group_folds import group_folds
from nnlab.data.table.kinds import as_kind, check_types, wrong_cell
from nnlab.data.table.made_notes import input_notes, left_out_note, repeated_notes
from nnlab.data.table.splits import LEFT_OUT, TEST, TRAIN, VALID, SplitRule, assign, check_rule, split_notes
from nnlab.data.table.target import TargetEncoding, learn_target
from nnlab.words import counted

PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}


@dataclass(frozen=True)
class Choice:
    """What a user says of a table; the names are those of the keys below ``data``.

    Args:
        target: a column, several, or None for the last one.
        features: the input columns; empty for all that are left.
        exclude: columns to leave out.
        task: None to infer it from the target.
        types: kinds by column.
        missing: what is done with empty cells.
        max_categories: most different values of a category column.
        sample_weight: a column of weights, or None.
        seed: of the split.
        folds: for cross-validation, or None.
        fold: the one that is held out.
    """

    target: str | Sequence[str] | None
    features: Sequence[str]
    exclude: Sequence[str]
    task: Task | None
    types: Mapping[str, str]
    missing: Missing
    max_categories: int
    sample_weight: str | None
    seed: int
    folds: int | None
    fold: int


@dataclass(frozen=True)
class Columns:
    """Names of columns by their use."""

    target: tuple[str, ...]
    features: tuple[str, ...]
    weight: str | None


@dataclass(frozen=True)
class Dealt:
    """A table whose rows are dealt to splits, and what was learnt from those to train on.

    Args:
        table: as it was read.
        columns: by their use.
        rows: the usable ones, int [M].
        targets: of these, as ``TargetEncoding.encode`` gives them.
        parts: the split of each row of the table, int8 [N].
        encoding: of the inputs and the target.
        notes: what has to be said so far.
    """

    table: Table
    columns: Columns
    rows: np.ndarray
    targets: np.ndarray
    parts: np.ndarray
    encoding: Encoding
    notes: tuple[str, ...]


def deal(table: Table, choice: Choice, rule: SplitRule, others: Mapping[str, Table], fitted: Encoding | None) -> Dealt:
    """Choose the columns, deal the rows, and learn from those to train on.

    Args:
        table: the rows that are dealt.
        choice: what the user says of it.
        rule: how its rows are dealt.
        others: tables that are the valid or the test split as they stand.
        fitted: an encoding that another run has learnt; None to learn it from the training rows.

    Returns:
        The rows, none of them encoded yet.

    Raises:
        ValueError: for keys that do not fit the table, and cells that do not fit the keys, with their places.
    """
    check_rule(rule)
    check_seed(choice.seed)
    check_missing(choice.missing if fitted is None else fitted.missing)
    columns = _columns(table, choice, rule, fitted)
    missing = choice.missing if fitted is None else fitted.missing
    rows = usable_rows(table, columns, missing)
    target, why = (
        learn_target(table, columns.target, rows, choice.task, choice.types)
        if fitted is None
        else (fitted.target, f"target {', '.join(fitted.target.names)}: {fitted.target.task}, as in the training")
    )
    targets = target.encode(table, rows)
    parts = _dealt(table, rows, targets, target, choice, rule, others)
    encoding = fitted or Encoding.fit(
        table,
        columns.features,
        np.flatnonzero(parts == TRAIN),
        missing=choice.missing,
        types=choice.types,
        max_categories=choice.max_categories,
        target=target,
    )
    notes = [*table.notes, *_choice_notes(choice, columns, rule, fitted), why, f"inputs: {encoding.summary}"]
    notes += left_out_note(table, table.num_rows - len(rows), len(rows))
    notes += _split_notes(table, rows, parts, targets, target, rule, others)
    return Dealt(table, columns, rows, targets, parts, encoding, tuple(notes))


def make_dataset(
    table: Table, choice: Choice, rule: SplitRule, others: Mapping[str, Table], fitted: Encoding | None
) -> Dataset:
    """A data set of one's own rows.

    Args:
        table: the rows that are dealt.
        choice: what the user says of it.
        rule: how its rows are dealt.
        others: tables that are the valid or the test split as they stand.
        fitted: an encoding that another run has learnt; None to learn it from the training rows.

    Returns:
        The rows as numbers, before any preprocessing.

    Raises:
        ValueError: as ``deal``.
    """
    dealt = deal(table, choice, rule, others, fitted)
    rows, columns, encoding, parts = dealt.rows, dealt.columns, dealt.encoding, dealt.parts
    encoded = encoding.encode(table, rows)
    weights = _weights(table, columns.weight, rows)
    splits: dict[str, Split | None] = {
        name: _part(encoded.values, dealt.targets, weights, parts[rows] == part, encoding.target.task)
        for name, part in PARTS.items()
    }
    notes = [*dealt.notes, *encoded.notes]
    for name, other in others.items():
        splits[name], said = _other(other, columns, encoding)
        notes += said
    train = splits["train"]
    assert train is not None
    notes += repeated_notes({"train": table, **others}, (*columns.features, *columns.target), parts)
    if fitted is None:
        values = train.inputs.numpy()
        notes += input_notes(encoding, values.min(axis=0), values.max(axis=0))
    return Dataset(
        encoding.target.task,
        train,
        splits["valid"],
        splits["test"],
        encoding.input_names,
        encoding.target.names,
        encoding.target.class_names,
        encoding=encoding,
        notes=tuple(dict.fromkeys(notes)),
        num_empty=num_empty(table, encoding, parts),
    )


def num_empty(table: Table, encoding: Encoding, parts: np.ndarray) -> tuple[int, ...]:
    """The training cells of each column that were filled in; nothing where none ever is.

    Args:
        table: as it was read.
        encoding: of its columns.
        parts: the split of each row, int8 [N].
    """
    if encoding.missing != "impute":
        return ()
    is_train = parts == TRAIN
    return tuple(int(np.count_nonzero(table.columns[name].missing() & is_train)) for name in encoding.raw_names)


def _columns(table: Table, choice: Choice, rule: SplitRule, fitted: Encoding | None) -> Columns:
    if not table.num_rows:
        raise ValueError(f"{table.source}: expected rows below the header, found none")
    if choice.sample_weight is not None:
        refuse_unknown("data.sample_weight", [choice.sample_weight], table)
    if fitted is not None:
        for name in fitted.target.names:
            if name not in table.columns:
                raise ValueError(f"{table.source}: the target {name} is missing{nearest_column(name, table)}")
        return Columns(fitted.target.names, fitted.raw_names, choice.sample_weight)
    target = choose_target(table, choice.target)
    check_types(choice.types, table)
    if choice.sample_weight in target:
        raise ValueError(f"data.sample_weight: {choice.sample_weight} is the target")
    aside = [name for name in (rule.split_column, choice.sample_weight) if name is not None]
    features = choose_features(table, target, choice.features, choice.exclude, aside)
    return Columns(target, features, choice.sample_weight)


def usable_rows(table: Table, columns: Columns, missing: Missing) -> np.ndarray:
    """The rows that have what is needed; others are refused, or left out where the user says so.

    Args:
        table: as it was read.
        columns: by their use.
        missing: what is done with empty cells.

    Returns:
        Numbers of rows, int [M].

    Raises:
        ValueError: naming the first empty cell.
    """
    needed = [*columns.target, *([columns.weight] if columns.weight else [])]
    if missing != "impute":
        needed = [*columns.features, *needed]
    # Mostly nothing is missing: then there is no need for a mask of every column at the same time.
    num_empty_of = {name: int(table.columns[name].missing().sum()) for name in needed}
    for name in columns.target:
        if num_empty_of[name] == table.num_rows:
            raise ValueError(f"{table.source}: column {name}: every cell of the target is empty")
    rows = np.arange(table.num_rows)
    if not any(num_empty_of.values()):
        return rows
    if missing == "drop":
        is_whole = np.ones(table.num_rows, bool)
        for name, number in num_empty_of.items():
            if number:
                is_whole &= ~table.columns[name].missing()
        if not is_whole.any():
            worst = max(needed, key=lambda name: num_empty_of[name])
            raise ValueError(
                f"{table.source}: every row has an empty cell, so that data.missing=drop leaves none; "
                f"{worst} has the most: data.exclude=[{worst}], or data.missing=impute"
            )
        return np.flatnonzero(is_whole)
    if missing == "error":
        refuse_missing(table, needed, rows, [table.columns[name].missing() for name in needed])
    name = next(name for name in needed if num_empty_of[name])
    what = "target" if name in columns.target else "weight"
    raise wrong_cell(
        table,
        name,
        int(np.argmax(table.columns[name].missing())),
        f"a {what}, which is never filled in ({num_empty_of[name]:,} empty)",
        "leave these rows out of the file, or set data.missing=drop",
    )


def _dealt(
    table: Table,
    rows: np.ndarray,
    targets: np.ndarray,
    target: TargetEncoding,
    choice: Choice,
    rule: SplitRule,
    others: Mapping[str, Table],
) -> np.ndarray:
    """The split of each row of the table, int8 [N]."""
    left_out = np.ones(table.num_rows, bool)
    left_out[rows] = False
    codes = None
    if target.task != "regression":
        codes = np.zeros(table.num_rows, np.int64)
        codes[rows] = targets
    parts = assign(table, codes, rule, choice.seed, left_out if len(rows) < table.num_rows else None)
    if choice.folds is None and choice.fold == 0:
        return parts
    if rule.split in ("time", "files") or others:
        how = f"data.split={rule.split}" if rule.split in ("time", "files") else "data.valid_path or data.test_path"
        raise ValueError(f"data.folds: folds are dealt from all rows, which {how} keeps apart; leave one of them out")
    if rule.split == "group":
        return group_folds(table, parts, str(rule.split_column), choice.folds, choice.fold, choice.seed)
    return _plain_folds(table, rows, parts, targets, target, choice)


def _plain_folds(
    table: Table, rows: np.ndarray, parts: np.ndarray, targets: np.ndarray, target: TargetEncoding, choice: Choice
) -> np.ndarray:
    """As any data set is dealt onto folds, with row numbers in place of the rows."""

    def split(part: int) -> Split | None:
        chosen = parts[rows] == part
        numbers = torch.from_numpy(rows[chosen])[:, None]
        return Split(numbers, torch.from_numpy(targets[chosen])) if chosen.any() else None

    train = split(TRAIN)
    assert train is not None
    whole = Dataset(target.task, train, split(VALID), None, (), target.names, target.class_names)
    dealt = with_fold(whole, choice.folds, choice.fold, choice.seed)
    parts = parts.copy()
    for part, held in ((TRAIN, dealt.train), (VALID, dealt.valid)):
        if held is not None:
            parts[held.inputs[:, 0].numpy()] = part
    return parts


def _part(
    values: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, chosen: np.ndarray, task: Task
) -> Split | None:
    """The rows of one split, or None where there is none."""
    if not chosen.any():
        return None
    # A gather copies; a table that is not split need not be.
    rows = slice(None) if chosen.all() else np.flatnonzero(chosen)
    target = torch.from_numpy(targets[rows])
    target = target.float()[:, None] if task == "binary" else target
    split = Split(torch.from_numpy(values[rows]), target)
    return split if weights is None else _weighted(split, weights[rows])


def _weighted(split: Split, weights: np.ndarray) -> Split:
    raise ValueError("data.sample_weight: weights are not known here yet; leave it out")


def _weights(table: Table, name: str | None, rows: np.ndarray) -> np.ndarray | None:
    """Float32 [M], or None where rows have no weights."""
    if name is None:
        return None
    values = as_kind(table, name, "number").values[rows]
    is_wrong = ~((values >= 0) & (values <= np.finfo(np.float32).max))
    if is_wrong.any():
        raise wrong_cell(table, name, int(rows[np.argmax(is_wrong)]), "a finite weight >= 0")
    return np.asarray(values, np.float32)


def check_other(table: Table, columns: Columns) -> None:
    """Refuse a table of a split that lacks a column.

    Args:
        table: as it was read.
        columns: that are needed.

    Raises:
        ValueError: naming the column.
    """
    if not table.num_rows:
        raise ValueError(f"{table.source}: expected rows below the header, found none")
    for name in (*columns.target, *([columns.weight] if columns.weight else [])):
        if name not in table.columns:
            raise ValueError(f"{table.source}: column {name} is missing{nearest_column(name, table)}")
    absent = [name for name in columns.features if name not in table.columns]
    if absent:
        raise ValueError(f"{table.source}: column {absent[0]} is missing{nearest_column(absent[0], table)}")


def _other(table: Table, columns: Columns, encoding: Encoding) -> tuple[Split, list[str]]:
    """A split that has a table of its own."""
    check_other(table, columns)
    rows = usable_rows(table, columns, encoding.missing)
    encoded = encoding.encode(table, rows)
    targets = encoding.target.encode(table, rows)
    weights = _weights(table, columns.weight, rows)
    split = _part(encoded.values, targets, weights, np.ones(len(rows), bool), encoding.target.task)
    assert split is not None
    said = [*table.notes, *left_out_note(table, table.num_rows - len(rows), len(rows)), *encoded.notes]
    return split, said


def _choice_notes(choice: Choice, columns: Columns, rule: SplitRule, fitted: Encoding | None) -> list[str]:
    if fitted is not None:
        return []
    notes = []
    if choice.target is None:
        notes.append(f"data.target is null: the last column, {columns.target[0]}, is the target")
    for name, use in ((rule.split_column, "splits the rows"), (columns.weight, "weighs the rows")):
        if name is not None and name not in (*columns.features, *columns.target):
            notes.append(f"{name} {use} and is no input; data.features can name it as one")
    return notes


def _split_notes(
    table: Table,
    rows: np.ndarray,
    parts: np.ndarray,
    targets: np.ndarray,
    target: TargetEncoding,
    rule: SplitRule,
    others: Mapping[str, Table],
) -> list[str]:
    codes = None
    if target.task != "regression":
        codes = np.zeros(table.num_rows, np.int64)
        codes[rows] = targets
    assert LEFT_OUT not in parts[rows]
    notes = list(split_notes(table, parts, rule, codes, target.class_names))
    notes += [f"{name}: {counted(other.num_rows, 'row')} of {other.source}" for name, other in others.items()]
    return notes
