"""Which rows are to train, to select and to report on."""

import re

import numpy as np
import pandas
import pytest
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

from nnlab.data.table.column import Column, Table
from nnlab.data.table.repeats import repeats_note, row_hashes
from nnlab.data.table.splits import SplitRule, assign, split_notes

TRAIN, VALID, TEST, LEFT_OUT = 0, 1, 2, -1


def text(name, cells):
    texts = list(dict.fromkeys(cell for cell in cells if cell))
    codes = np.array([texts.index(cell) if cell else -1 for cell in cells], np.int32)
    return Column(name, "text", codes, texts)


def number(name, cells):
    return Column(name, "number", np.array(cells, np.float64))


def date(name, cells):
    return Column(name, "date", np.array(cells, "datetime64[us]"))


def table(*columns, num_rows=None):
    size = len(columns[0].values) if columns else num_rows
    lines = np.arange(size) + 2
    return Table("house.csv", {column.name: column for column in columns}, size, lines)


def counts(parts):
    return [int((parts == part).sum()) for part in (TRAIN, VALID, TEST)]


CODES = np.random.default_rng(0).choice(4, size=500, p=[0.55, 0.3, 0.1, 0.05])
GROUPS = np.random.default_rng(1).integers(0, 40, size=500)


def test_random_split_has_the_fractions():
    parts = assign(table(num_rows=1000), None, SplitRule(valid_fraction=0.15, test_fraction=0.25), seed=0)
    assert (parts.dtype, counts(parts)) == (np.int8, [600, 150, 250])


def test_random_split_is_no_pattern_of_the_order():
    parts = assign(table(num_rows=4000), None, SplitRule(), seed=3)
    # Of a random set of 800 of 4,000 places, the mean has a standard deviation of 37.
    for part in (TRAIN, VALID, TEST):
        assert abs(np.flatnonzero(parts == part).mean() - 1999.5) < 150
    neighbours = (parts[1:] == TEST) & (parts[:-1] == TEST)
    assert 100 < neighbours.sum() < 220  # 160 expected


def test_counts_stand_in_for_fractions():
    assert counts(assign(table(num_rows=100), None, SplitRule(num_valid=7, num_test=13), seed=0)) == [80, 7, 13]
    assert counts(assign(table(num_rows=100), None, SplitRule(num_valid=0, test_fraction=0), seed=0)) == [100, 0, 0]


def test_stratified_shares_are_those_of_scikit_learn():
    rest, test = next(StratifiedShuffleSplit(1, test_size=100, random_state=0).split(CODES, CODES))
    parts = assign(table(num_rows=500), CODES, SplitRule(), seed=0)
    assert counts(parts) == [300, 100, 100]
    expected = np.bincount(CODES[test], minlength=4)
    for part in (VALID, TEST):
        found = np.bincount(CODES[parts == part], minlength=4)
        # Both are the shares of 100 rows, rounded; which class is rounded up may differ.
        assert np.abs(found - expected).max() <= 1
        assert np.abs(found - 100 * np.bincount(CODES) / 500).max() < 1
    assert len(rest) == 400


@pytest.mark.parametrize(
    ("sizes", "num_test", "expected"),
    [
        # Hamilton's apportionment by hand: exact shares 5, 3, 2; then 4.5, 3, 1.5 with the first of equal remainders
        ([50, 30, 20], 10, [5, 3, 2]),
        ([50, 30, 20], 3, [1, 1, 1]),  # 1.5, 0.9, 0.6: remainders 0.5, 0.9, 0.6 for two rows
        ([90, 8, 2], 10, [9, 1, 0]),  # 9, 0.8, 0.2
        ([18, 1, 1], 5, [5, 0, 0]),  # 4.5, 0.25, 0.25
        ([1, 1, 18], 18, [0, 0, 17]),  # a class keeps a row to train on
    ],
)
def test_stratified_rows_by_largest_remainder(sizes, num_test, expected):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    rules = {TEST: SplitRule(num_valid=0, num_test=num_test), VALID: SplitRule(num_valid=num_test, num_test=0)}
    for part, rule in rules.items():
        parts = assign(table(num_rows=len(codes)), codes, rule, seed=1)
        assert np.bincount(codes[parts == part], minlength=len(sizes)).tolist() == expected
        assert (np.bincount(codes[parts == TRAIN], minlength=len(sizes)) > 0).all()


def test_auto_is_stratified_for_classes_and_random_for_numbers():
    rows = table(num_rows=500)
    stratified = assign(rows, CODES, SplitRule("stratified"), seed=0)
    np.testing.assert_array_equal(assign(rows, CODES, SplitRule(), seed=0), stratified)
    random = assign(rows, None, SplitRule("random"), seed=0)
    np.testing.assert_array_equal(assign(rows, None, SplitRule(), seed=0), random)
    np.testing.assert_array_equal(assign(rows, CODES, SplitRule("random"), seed=0), random)
    assert (stratified != random).any()


@pytest.mark.parametrize("kind", ["random", "stratified", "group"])
def test_same_seed_gives_the_same_split_whatever_the_columns(kind):
    rule = SplitRule(kind, "g" if kind == "group" else None)
    few = table(number("g", GROUPS))
    many = table(text("noise", [f"t{i % 7}" for i in range(500)]), text("g", [f"group {i * 31 % 97}" for i in GROUPS]))
    first = assign(few, CODES, rule, seed=5)
    np.testing.assert_array_equal(first, assign(many, CODES, rule, seed=5))
    assert (first != assign(few, CODES, rule, seed=6)).any()


def test_split_of_a_seed_stays_what_it_is():
    """By raw bits of PCG64, which NumPy promises to keep; written down, so that nobody changes the split unawares."""
    parts = assign(table(num_rows=30), None, SplitRule(num_valid=4, num_test=3), seed=7)
    assert np.flatnonzero(parts == TEST).tolist() == [6, 23, 24]
    assert np.flatnonzero(parts == VALID).tolist() == [1, 16, 19, 27]


@pytest.mark.parametrize("kind", ["random", "stratified", "group"])
def test_other_num_test_moves_no_row_between_train_and_valid(kind):
    rows, column = table(number("g", GROUPS)), "g" if kind == "group" else None
    before = assign(rows, CODES, SplitRule(kind, column, num_valid=80, num_test=50), seed=0)
    after = assign(rows, CODES, SplitRule(kind, column, num_valid=80, num_test=120), seed=0)
    np.testing.assert_array_equal(before == VALID, after == VALID)
    assert ((before == TEST) <= (after == TEST)).mean() > (0.9 if kind == "group" else 0.99)


def test_groups_stay_whole_as_with_scikit_learn():
    rest, test = next(GroupShuffleSplit(1, test_size=0.2, random_state=0).split(CODES, groups=GROUPS))
    assert not set(GROUPS[rest]) & set(GROUPS[test])
    for seed in range(20):
        parts = assign(table(number("g", GROUPS)), None, SplitRule("group", "g"), seed=seed)
        in_parts = [set(GROUPS[parts == part]) for part in (TRAIN, VALID, TEST)]
        assert sum(map(len, in_parts)) == len(set.union(*in_parts)) == 40
        # A greedy fill ends within half of the largest group; scikit-learn counts groups and may be further away.
        largest = np.bincount(GROUPS).max()
        assert max(abs(found - 100) for found in counts(parts)[1:]) <= largest / 2


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([4, 4, 4], [4, 4, 4]),
        ([98, 1, 1], [98, 1, 1]),  # two groups of one row: a group for each split, though 20 rows are wanted
        ([1, 50, 49], [50, 1, 49]),
    ],
)
def test_few_groups_leave_one_for_each_split(sizes, expected):
    cells = np.repeat(np.arange(len(sizes)), sizes)
    rule = SplitRule("group", "g", valid_fraction=0.2, test_fraction=0.2)
    for seed in range(10):
        parts = assign(table(number("g", cells)), None, rule, seed)
        assert sorted(counts(parts)) == sorted(expected)


def test_reached_shares_of_groups_are_said():
    cells = np.repeat(np.arange(3), [98, 1, 1])
    rows, rule = table(number("patient", cells)), SplitRule("group", "patient")
    (note,) = split_notes(rows, assign(rows, None, rule, 0), rule)
    assert note == (
        "3 groups of patient, each whole in one split: train 98 rows (98.0%), valid 1 row (1.0%), test 1 row (1.0%)"
    )


def test_time_split_trains_on_the_earliest_and_keeps_ties_together():
    days = np.random.default_rng(2).integers(0, 60, size=400)
    cells = np.datetime64("2024-01-01") + days
    rows, rule = table(date("sold", cells)), SplitRule("time", "sold")
    parts = assign(rows, None, rule, seed=0)
    assert days[parts == TRAIN].max() < days[parts == VALID].min()
    assert days[parts == VALID].max() < days[parts == TEST].min()
    # Each cut is the nearest to its goal: pandas counts the rows before each day.
    before = pandas.Series(days).value_counts().sort_index().cumsum()
    assert (parts != TEST).sum() == before.iloc[(before - 320).abs().argmin()]
    goal = (parts != TEST).sum() - 80
    assert (parts == TRAIN).sum() == before.iloc[(before - goal).abs().argmin()]
    (note,) = split_notes(rows, parts, rule)
    first = cells[parts == TEST].min()
    assert note.endswith(f"test from {first}")


def test_time_split_with_too_many_ties_leaves_something_for_each():
    parts = assign(table(number("year", [2020] * 90 + [2021] * 9 + [2022])), None, SplitRule("time", "year"), 0)
    assert counts(parts) == [90, 9, 1]


def test_column_split_reads_any_spelling():
    cells = ["Train", "VALID", "validation", "val", " test ", "train"]
    rows = table(text("part", cells))
    rule = SplitRule("column", "part")
    parts = assign(rows, None, rule, seed=0)
    assert parts.tolist() == [TRAIN, VALID, VALID, VALID, TEST, TRAIN]
    assert split_notes(rows, parts, rule)[0].startswith("split by the column part: train 2 rows (33.3%), valid 3 rows")


def test_order_split_cuts_the_rows_as_they_stand():
    parts = assign(table(num_rows=10), None, SplitRule("order", num_valid=2, num_test=3), seed=9)
    assert parts.tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 2, 2]
    rule = SplitRule("order", num_valid=0, num_test=0)
    whole = assign(table(num_rows=10), None, rule, seed=9)
    assert (counts(whole), split_notes(table(num_rows=10), whole, rule)) == ([10, 0, 0], ())


def test_files_are_not_dealt():
    assert counts(assign(table(num_rows=50), None, SplitRule("files"), seed=0)) == [50, 0, 0]


def test_rows_left_out_are_in_no_split():
    left_out = np.arange(100) % 4 == 0
    parts = assign(table(num_rows=100), None, SplitRule(), seed=0, left_out=left_out)
    np.testing.assert_array_equal(parts == LEFT_OUT, left_out)
    assert counts(parts) == [45, 15, 15]
    codes = np.where(left_out, -1, 0)
    assert counts(assign(table(num_rows=100), codes, SplitRule(), seed=0, left_out=left_out)) == [45, 15, 15]


def test_fewer_than_20_rows_are_not_split_unless_told_to():
    few = table(num_rows=10)
    assert counts(assign(few, None, SplitRule(), seed=0)) == [10, 0, 0]
    (note,) = split_notes(few, np.zeros(10, np.int8), SplitRule())
    assert note.startswith("fewer than 20 rows are not split: all 10 are for training")
    told = SplitRule(valid_fraction=0.2, test_fraction=0.2)
    assert counts(assign(few, None, told, seed=0)) == [6, 2, 2]
    assert split_notes(few, assign(few, None, told, seed=0), told) == ()
    assert counts(assign(few, None, SplitRule(num_test=1), seed=0)) == [7, 2, 1]
    assert counts(assign(table(num_rows=20), None, SplitRule(), seed=0)) == [12, 4, 4]


def test_classes_without_rows_in_a_split_are_said():
    codes = np.repeat([0, 1, 2], [95, 4, 1])
    rows = table(num_rows=100)
    parts = assign(rows, codes, SplitRule(valid_fraction=0.05, test_fraction=0.3), seed=0)
    notes = split_notes(rows, parts, SplitRule(), codes, ["common", "rare", "single"])
    assert notes == ("valid has no row of rare, single", "test has no row of single")


YEARS = [float(2000 + i % 3) for i in range(30)]
REFUSED = [
    (SplitRule("sorted"), "data.split: expected one of auto, random, stratified, group"),
    (SplitRule("group"), "data.split_column: data.split=group goes by a column: say which, found null"),
    (SplitRule("random", "year"), "data.split_column: 'year' has no part in data.split=random; choose group, time or"),
    (SplitRule("group", "yaer"), "data.split_column: house.csv has no column 'yaer'; did you mean year?"),
    (SplitRule("time", "zip"), "house.csv: column zip holds text, such as 'a'"),
    (SplitRule("group", "gap"), "house.csv: row 4 (line 5), column gap: expected a value, because data.split_column"),
    (SplitRule("time", "constant"), "'constant' has 1 moment, too few for 3 splits with ties kept together"),
    (SplitRule("group", "constant"), "'constant' has 1 group, too few for 3 splits of whole groups"),
    (SplitRule("column", "part"), "house.csv: row 2 (line 3), column part: expected train, valid, validation, val or "
     "test, found 'tset', and 28 more like it"),
    (SplitRule("column", "year"), "column year holds number, such as '2000.0'"),
    (SplitRule("column", "tests"), "column tests: no row says train, so nothing is left to train on"),
    (SplitRule("column", "part", valid_fraction=0.1), "data.valid_fraction: with data.split=column, the column 'part'"),
    (SplitRule("files", num_test=3), "data.num_test: with data.split=files, the files are train, valid and test"),
    (SplitRule("stratified"), "data.split: stratified keeps the shares of classes, and the target has none"),
    (SplitRule(valid_fraction=0.2, num_valid=5), "data.valid_fraction and data.num_valid: expected one of the two"),
    (SplitRule(test_fraction=-0.1), "data.test_fraction: expected a number from 0 to 1, found -0.1"),
    (SplitRule(test_fraction=float("nan")), "data.test_fraction: expected a number from 0 to 1, found nan"),
    (SplitRule(num_valid=-1), "data.num_valid: expected an integer >= 0, found -1"),
    (SplitRule(num_valid=20, num_test=10), "data.num_valid + data.num_test: no row is left to train on: 30 rows, of "
     "which 20 for valid and 10 for test"),
    (SplitRule(valid_fraction=0.5, test_fraction=0.5), "data.valid_fraction + data.test_fraction: no row is left"),
    (SplitRule(valid_fraction=0.01), "0.01 of 30 rows is not one row, so valid would be empty: expected 0, for no such "
     "split, or at least 0.0333; or data.num_valid=1"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "message"), REFUSED)
def test_wrong_rule_is_refused_with_the_way_out(rule, message):
    rows = table(
        number("year", YEARS),
        text("zip", ["a"] * 30),
        text("gap", ["a", "b", "c", "", "e", *"fghijklmnopqrstuvwxyzABCD"]),
        number("constant", [1.0] * 30),
        text("part", ["train", *["tset"] * 29]),
        text("tests", ["test"] * 30),
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        assign(rows, None, rule, seed=0)


def test_wrong_seed_is_refused():
    with pytest.raises(ValueError, match=r"data\.seed: expected an integer from 0"):
        assign(table(num_rows=50), None, SplitRule(), seed=-1)


def test_repeated_rows_are_counted_as_pandas_counts_them():
    rng = np.random.default_rng(4)
    frame = pandas.DataFrame({"x": rng.integers(0, 6, 300) * 0.5, "y": rng.choice(["a", "b", ""], 300)})
    frame.loc[rng.random(300) < 0.1, "x"] = np.nan
    rows = table(number("x", frame["x"]), text("y", list(frame["y"])))
    parts = assign(rows, None, SplitRule(), seed=0)
    known = frame[parts == TRAIN].drop_duplicates()
    expected = len(frame[parts == VALID].merge(known, how="inner", on=["x", "y"]))
    assert expected > 0
    assert repeats_note(rows, parts).startswith(f"{expected} rows of valid and ")
    hashes = row_hashes(rows)
    assert len(np.unique(hashes)) == len(frame.drop_duplicates())


def test_no_repeats_no_note():
    rows = table(number("x", np.arange(100.0)), number("y", [1.0] * 100))
    assert repeats_note(rows, assign(rows, None, SplitRule(), seed=0)) == ""
    # Without the column that numbers the rows, all are alike.
    note = repeats_note(rows, assign(rows, None, SplitRule(), seed=0), ["y"])
    assert note == (
        "20 rows of valid and 20 rows of test are also in train or valid, equal in all columns: the figures there "
        "flatter"
    )


def test_equal_rows_of_two_tables_have_equal_hashes():
    a = table(text("c", ["red", "blue", ""]), number("x", [0.0, np.nan, 2.0]), date("d", ["2024-01-01", "NaT", "NaT"]))
    b = table(text("c", ["blue", "", "red"]), number("x", [np.nan, 2.0, -0.0]), date("d", ["NaT", "NaT", "2024-01-01"]))
    np.testing.assert_array_equal(row_hashes(a), row_hashes(b)[[2, 0, 1]])
    assert len(set(row_hashes(a).tolist())) == 3
