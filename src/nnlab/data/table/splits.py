"""Which rows of a table are to train, to select and to report on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from nnlab.data.check import check_between, check_count, check_seed
from nnlab.data.table.column import Column, Table
from nnlab.words import counted

Kind = Literal["auto", "random", "stratified", "group", "time", "column", "order", "files"]

TRAIN, VALID, TEST, LEFT_OUT = 0, 1, 2, -1
#: what a cell of the column of ``data.split=column`` may say, in lower case
SPLIT_NAMES = {"train": TRAIN, "valid": VALID, "validation": VALID, "val": VALID, "test": TEST}
#: of the rows, for validation and for test, where nothing is said
FRACTION = 0.2
#: a table of fewer rows is not split unless a fraction or a count is given
LEAST_ROWS = 20
#: kinds of split that go by a column
_BY_COLUMN = ("group", "time", "column")


@dataclass(frozen=True)
class SplitRule:
    """How rows are dealt; the names are those of the keys below ``data``.

    Args:
        split: ``auto`` is ``stratified`` for classes and ``random`` for numbers; ``group`` keeps rows of equal value in
            ``split_column`` together; ``time`` trains on the earliest and tests on the latest; ``column`` reads train,
            valid or test from ``split_column``; ``order`` cuts the rows as they stand; ``files``: nothing is dealt.
        split_column: for ``group``, ``time`` and ``column``; it is no input unless the user names it in the features.
        valid_fraction: part of the rows to select on; 0 for none. None, with ``num_valid`` None as well: 0.2, or none
            in a table of fewer than 20 rows.
        test_fraction: likewise, to report on.
        num_valid: rows to select on, in place of the fraction.
        num_test: rows to report on, in place of the fraction.
    """

    split: Kind = "auto"
    split_column: str | None = None
    valid_fraction: float | None = None
    test_fraction: float | None = None
    num_valid: int | None = None
    num_test: int | None = None


def assign(
    table: Table, target: np.ndarray | None, rule: SplitRule, seed: int, left_out: np.ndarray | None = None
) -> np.ndarray:
    """The split of each row.

    Validation rows are taken from one end of a seeded order, test rows from the other: another number of test rows
    moves rows between train and test only, unless the two ends meet. By time there is one order, and the validation
    rows move along with the test rows.

    Args:
        table: of N rows.
        target: class codes from 0, int [N]; None for numbers.
        rule: the user's.
        seed: of the order in which rows or groups are dealt. The columns have no part in it.
        left_out: bool [N], rows that are in no split; None for none of them.

    Returns:
        int8 [N]: 0 train, 1 valid, 2 test, -1 left out.

    Raises:
        ValueError: for keys that contradict each other, a split that would be empty, or a column that is absent, has
            missing cells or is unfit.

    Example:
        >>> score = Column("score", "number", np.arange(50.0))
        >>> parts = assign(Table("t.csv", {"score": score}, 50), None, SplitRule(num_test=5), seed=0)
        >>> np.bincount(parts).tolist()
        [35, 10, 5]
    """
    check_rule(rule)
    check_seed(seed)
    rows = np.arange(table.num_rows) if left_out is None else np.flatnonzero(~left_out)
    parts = np.full(table.num_rows, LEFT_OUT, dtype=np.int8)
    if rule.split == "column":
        parts[rows] = _by_column(table, rows, rule)
        return parts
    num_valid, num_test = _sizes(len(rows), rule)
    kind = _kind(rule, target)
    if not num_valid and not num_test:
        parts[rows] = TRAIN
    elif kind == "group":
        parts[rows] = _by_group(table, rows, rule, num_valid, num_test, seed)
    elif kind == "time":
        parts[rows] = _by_time(table, rows, rule, num_valid, num_test)
    elif kind == "order":
        parts[rows] = np.repeat([TRAIN, VALID, TEST], [len(rows) - num_valid - num_test, num_valid, num_test])
    else:
        codes = np.zeros(len(rows), np.int64) if kind == "random" or target is None else target[rows].reshape(-1)
        parts[rows] = _by_class(codes, num_valid, num_test, seed)
    return parts


def split_notes(
    table: Table, parts: np.ndarray, rule: SplitRule, target: np.ndarray | None = None, class_names: Sequence[str] = ()
) -> tuple[str, ...]:
    """One sentence for each thing about the splits that one might not expect.

    Args:
        table: as for ``assign``.
        parts: as ``assign`` gives them.
        rule: as for ``assign``.
        target: likewise.
        class_names: by code.

    Returns:
        The sentences, without the rows that several splits share: for these, see ``repeats.py``.
    """
    num_rows = int((parts != LEFT_OUT).sum())
    shares = ", ".join(
        f"{name} {counted(count, 'row')} ({count / max(num_rows, 1):.1%})"
        for name, count in _counts(parts).items()
        if count
    )
    notes = []
    if rule.split != "column" and num_rows < LEAST_ROWS and _says_nothing(rule):
        notes.append(
            f"fewer than {LEAST_ROWS} rows are not split: all {num_rows} are for training; data.valid_fraction and "
            "data.test_fraction split them"
        )
    elif rule.split == "group":
        groups = len(np.unique(_keys(_column(table, rule))[parts != LEFT_OUT]))
        notes.append(f"{counted(groups, 'group')} of {rule.split_column}, each whole in one split: {shares}")
    elif rule.split == "time":
        notes.append(f"split by {rule.split_column}, earliest first: {shares}; {_ranges(table, parts, rule)}")
    elif rule.split == "order" and (parts > TRAIN).any():
        notes.append(f"split in the order of the rows: {shares}")
    elif rule.split == "column":
        notes.append(f"split by the column {rule.split_column}: {shares}")
    if target is not None:
        notes += _absent_classes(parts, target.reshape(-1), class_names)
    return tuple(notes)


def check_rule(rule: SplitRule) -> None:
    """Refuse keys that contradict each other or are out of range, whatever the table.

    Args:
        rule: the user's.

    Raises:
        ValueError: naming the keys.
    """
    if rule.split not in get_args(Kind):
        raise ValueError(f"data.split: expected one of {', '.join(get_args(Kind))}, found {rule.split!r}")
    if rule.split in _BY_COLUMN and rule.split_column is None:
        raise ValueError(f"data.split_column: data.split={rule.split} goes by a column: say which, found null")
    if rule.split not in _BY_COLUMN and rule.split_column is not None:
        raise ValueError(
            f"data.split_column: {rule.split_column!r} has no part in data.split={rule.split}; "
            f"choose {', '.join(_BY_COLUMN[:-1])} or {_BY_COLUMN[-1]}, or leave it out"
        )
    for name, fraction, count in _pairs(rule):
        if rule.split in ("column", "files") and (fraction is not None or count is not None):
            key = f"{name}_fraction" if fraction is not None else f"num_{name}"
            source = "the files are" if rule.split == "files" else f"the column {rule.split_column!r} says what is"
            raise ValueError(f"data.{key}: with data.split={rule.split}, {source} train, valid and test; leave it out")
        if fraction is not None and count is not None:
            raise ValueError(
                f"data.{name}_fraction and data.num_{name}: expected one of the two, found {fraction} and {count}"
            )
        if fraction is not None:
            check_between(f"{name}_fraction", fraction, 0, 1)
        if count is not None:
            check_count(f"num_{name}", count, 0)


def _pairs(rule: SplitRule) -> tuple[tuple[str, float | None, int | None], ...]:
    return ("valid", rule.valid_fraction, rule.num_valid), ("test", rule.test_fraction, rule.num_test)


def _says_nothing(rule: SplitRule) -> bool:
    return all(fraction is None and count is None for _, fraction, count in _pairs(rule))


def _kind(rule: SplitRule, target: np.ndarray | None) -> Kind:
    if rule.split == "stratified" and target is None:
        raise ValueError(
            "data.split: stratified keeps the shares of classes, and the target has none: choose random, or "
            "data.task=multiclass"
        )
    if rule.split == "auto":
        return "random" if target is None else "stratified"
    return rule.split


def _sizes(num_rows: int, rule: SplitRule) -> tuple[int, int]:
    """The rows wanted for validation and test."""
    if rule.split == "files" or (num_rows < LEAST_ROWS and _says_nothing(rule)):
        return 0, 0
    sizes = []
    for name, fraction, count in _pairs(rule):
        share = FRACTION if fraction is None else fraction
        size = round(num_rows * share) if count is None else count
        if count is None and share and not size:
            raise ValueError(
                f"data.{name}_fraction: {share:g} of {counted(num_rows, 'row')} is not one row, so {name} would be "
                f"empty: expected 0, for no such split, or at least {1 / num_rows:.3g}; or data.num_{name}=1"
            )
        sizes.append(size)
    num_valid, num_test = sizes
    if num_valid + num_test >= num_rows:
        keys = " + ".join(
            f"data.{name}_fraction" if count is None else f"data.num_{name}" for name, _, count in _pairs(rule)
        )
        raise ValueError(
            f"{keys}: no row is left to train on: {counted(num_rows, 'row')}, of which {num_valid:,} for valid and "
            f"{num_test:,} for test"
        )
    return num_valid, num_test


def _by_class(codes: np.ndarray, num_valid: int, num_test: int, seed: int) -> np.ndarray:
    """Rows of each class in a seeded order: test from its front, valid from its end."""
    sizes = np.bincount(codes)
    # A class keeps a row to train on, so that a class of one row is learnt rather than only tested.
    valid = _quotas(sizes, num_valid, np.maximum(sizes - 1, 0))
    test = _quotas(sizes, num_test, np.maximum(sizes - 1 - valid, 0))
    # Raw bits, because NumPy promises them to stay the same from version to version, and permutations not.
    order = np.argsort(_bits(seed, len(codes)))
    if len(sizes) > 1:
        # Of 16 bits, because NumPy sorts those several times as fast.
        few = codes.astype(np.int16) if len(sizes) < 2**15 else codes
        order = order[np.argsort(few[order], kind="stable")]
    rank = np.empty(len(codes), np.int64)
    rank[order] = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    parts = np.full(len(codes), TRAIN, np.int8)
    parts[rank < test[codes]] = TEST
    parts[sizes[codes] - 1 - rank < valid[codes]] = VALID
    return parts


def _quotas(sizes: np.ndarray, num_rows: int, most: np.ndarray) -> np.ndarray:
    """Rows of each class by the largest remainder, none above its most; they sum up to ``num_rows`` if they can.

    Source: A. Hamilton, report on apportionment (1792).
    """
    exact = sizes * (num_rows / max(sizes.sum(), 1))
    quotas: np.ndarray = np.minimum(np.floor(exact).astype(np.int64), most)
    order = np.argsort(-(exact - np.floor(exact)), kind="stable")
    while (missing := num_rows - int(quotas.sum())) > 0:
        open_classes = order[(quotas < most)[order]][:missing]
        if not len(open_classes):
            break
        quotas[open_classes] += 1
    return np.asarray(quotas)


def _bits(seed: int, count: int) -> np.ndarray:
    return np.asarray(np.random.PCG64(np.random.SeedSequence(seed)).random_raw(count))


def _by_group(table: Table, rows: np.ndarray, rule: SplitRule, num_valid: int, num_test: int, seed: int) -> np.ndarray:
    """Whole groups in a seeded order: a split takes the next group if that brings it nearer to its number of rows."""
    _, first, group_of, sizes = np.unique(
        _keys(_column(table, rule), rows, table), return_index=True, return_inverse=True, return_counts=True
    )
    wanted = 1 + bool(num_valid) + bool(num_test)
    if len(sizes) < wanted:
        raise ValueError(
            f"data.split_column: {rule.split_column!r} has {counted(len(sizes), 'group')}, too few for {wanted} "
            "splits of whole groups: expected another column, or a fraction of 0"
        )
    # Groups are numbered as they first occur, so that the names of the groups have no part in the order.
    order = np.argsort(first)[np.argsort(_bits(seed, len(sizes)), kind="stable")]
    part_of = np.full(len(sizes), TRAIN, np.int8)
    left = list(order)
    for part, goal, walk in ((VALID, num_valid, order[::-1]), (TEST, num_test, order)):
        if goal:
            wanted -= 1
            taken = _filled(sizes, [group for group in walk if part_of[group] == TRAIN], goal, len(left) - wanted)
            part_of[taken] = part
            left = [group for group in left if part_of[group] == TRAIN]
    return np.asarray(part_of[group_of])


def _filled(sizes: np.ndarray, walk: Sequence[int], goal: int, most: int) -> list[int]:
    """Groups that together come near to a number of rows, at most ``most`` of them and at least one."""
    taken: list[int] = []
    filled = 0
    for group in walk:
        nearer = abs(filled + int(sizes[group]) - goal) < abs(filled - goal)
        if nearer and len(taken) < most:
            taken.append(group)
            filled += int(sizes[group])
    return taken or [min(walk, key=lambda group: int(sizes[group]))]


def _by_time(table: Table, rows: np.ndarray, rule: SplitRule, num_valid: int, num_test: int) -> np.ndarray:
    """Cuts between different moments, as near to the numbers of rows as they come."""
    column = _column(table, rule)
    if column.stored not in ("number", "date"):
        example = next((text for text in map(column.cell, range(table.num_rows)) if text), "")
        raise ValueError(
            f"data.split_column: data.split=time needs dates or numbers; {table.source}: column {column.name} holds "
            f"{column.stored}, such as {example!r}"
        )
    keys = _keys(column, rows, table)
    order = np.argsort(keys, kind="stable")
    cuts = np.flatnonzero(np.diff(keys[order]) != 0) + 1
    wanted = 1 + bool(num_valid) + bool(num_test)
    if len(cuts) < wanted - 1:
        raise ValueError(
            f"data.split_column: {rule.split_column!r} has {counted(len(cuts) + 1, 'moment')}, too few for {wanted} "
            "splits with ties kept together: expected another column, or a fraction of 0"
        )
    parts = np.full(len(rows), TRAIN, np.int8)
    end = len(rows)
    for part, size in ((TEST, num_test), (VALID, num_valid)):
        if size:
            wanted -= 1
            # A cut for each split that is still to come has to be left below.
            possible = cuts[cuts < end][wanted - 1 :]
            start = int(possible[np.argmin(np.abs(possible - (end - size)))])
            parts[order[start:end]] = part
            end = start
    return parts


def _by_column(table: Table, rows: np.ndarray, rule: SplitRule) -> np.ndarray:
    column = _column(table, rule)
    if column.stored != "text":
        raise ValueError(
            f"data.split_column: data.split=column needs cells of {_names()}; {table.source}: column {column.name} "
            f"holds {column.stored}, such as {column.cell(int(rows[0])) if len(rows) else ''!r}"
        )
    part_of: np.ndarray = np.array(
        [SPLIT_NAMES.get(text.strip().lower(), LEFT_OUT) for text in column.texts] + [LEFT_OUT], np.int8
    )
    parts: np.ndarray = part_of[column.values[rows]]
    if (parts == LEFT_OUT).any():
        row = int(rows[np.argmax(parts == LEFT_OUT)])
        found = repr(column.cell(row)) if column.cell(row) else "an empty cell"
        more = int((parts == LEFT_OUT).sum()) - 1
        others = f", and {more:,} more like it" if more else ""
        raise ValueError(f"{table.where(row)}, column {column.name}: expected {_names()}, found {found}{others}")
    if not (parts == TRAIN).any():
        raise ValueError(f"{table.source}: column {column.name}: no row says train, so nothing is left to train on")
    return parts


def _names() -> str:
    *most, last = SPLIT_NAMES
    return f"{', '.join(most)} or {last}"


def _column(table: Table, rule: SplitRule) -> Column:
    assert rule.split_column is not None
    if rule.split_column not in table.columns:
        import difflib

        near = difflib.get_close_matches(rule.split_column, list(table.columns), 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(table.columns)}"
        raise ValueError(f"data.split_column: {table.source} has no column {rule.split_column!r}{hint}")
    return table.columns[rule.split_column]


def _keys(column: Column, rows: np.ndarray | None = None, table: Table | None = None) -> np.ndarray:
    """The cells as values that can be compared; with rows of a table, missing cells among them are refused."""
    if rows is None:
        return column.values
    missing = column.missing()[rows]
    if missing.any() and table is not None:
        row = int(rows[np.argmax(missing)])
        raise ValueError(
            f"{table.where(row)}, column {column.name}: expected a value, because data.split_column goes by it, found "
            f"an empty cell ({counted(int(missing.sum()), 'empty cell')} in the column)"
        )
    return np.asarray(column.values[rows])


def _counts(parts: np.ndarray) -> Mapping[str, int]:
    return {
        name: int((parts == part).sum())
        for name, part in (("train", TRAIN), ("valid", VALID), ("test", TEST), ("left out", LEFT_OUT))
    }


def _ranges(table: Table, parts: np.ndarray, rule: SplitRule) -> str:
    """Where each split begins, in the column's own words."""
    column = _column(table, rule)
    words = []
    for name, part in (("valid", VALID), ("test", TEST)):
        rows = np.flatnonzero(parts == part)
        if len(rows):
            first = column.cell(int(rows[np.argmin(column.values[rows])]))
            for nothing in ("T00:00:00.000000", ".000000", ".0"):
                first = first.removesuffix(nothing)
            words.append(f"{name} from {first}")
    return ", ".join(words)


def _absent_classes(parts: np.ndarray, codes: np.ndarray, class_names: Sequence[str]) -> list[str]:
    notes = []
    for name, part in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
        rows = parts == part
        if rows.any():
            counts = np.bincount(codes[rows], minlength=len(class_names))
            absent = [class_name for class_name, count in zip(class_names, counts, strict=False) if not count]
            if absent:
                more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
                notes.append(f"{name} has no row of {', '.join(absent[:5])}{more}")
    return notes
