"""Raw columns as numbers: against pandas and scikit-learn."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from nnlab.data.table.column import Column, Table
from nnlab.data.table.encoding import Encoding
from nnlab.data.table.target import TargetEncoding

TARGET = TargetEncoding("regression", ("price",))
NUM_ROWS = 60
FEATURES = ["area", "garden", "sold", "colour"]


def frame(seed=0, share_missing=0.0):
    random = np.random.default_rng(seed)
    found = pd.DataFrame(
        {
            "area": random.normal(50, 20, NUM_ROWS),
            "garden": random.random(NUM_ROWS) < 0.3,
            "sold": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 10**9, NUM_ROWS), unit="s"),
            "colour": random.choice(["red", "green", "blue"], NUM_ROWS),
        }
    ).astype({"garden": "boolean", "colour": object})
    return found.mask(random.random(found.shape) < share_missing)


def column_of(name, series):
    if series.dtype.kind == "M":
        return Column(name, "date", series.to_numpy().astype("datetime64[us]"))
    if series.dtype == object:
        codes, texts = pd.factorize(series)
        return Column(name, "text", codes.astype(np.int32), tuple(texts))
    stored = "boolean" if series.dtype == "boolean" else "number"
    return Column(name, stored, series.to_numpy(np.float64, na_value=np.nan))


def table_of(data, source="house.csv"):
    columns = {name: column_of(name, data[name]) for name in data}
    return Table(source, columns, len(data), lines=np.arange(2, len(data) + 2))


def fitted(table, rows, missing="error", types=None, most=50, features=None):
    features = features or list(table.columns)
    return Encoding.fit(table, features, rows, missing=missing, types=types or {}, max_categories=most, target=TARGET)


def one_column(name, values, stored="number", texts=()):
    return Table("house.csv", {name: Column(name, stored, np.asarray(values), texts)}, len(values))


def test_encoded_columns_equal_pandas_get_dummies():
    data = frame()
    train = np.arange(40)
    encoding = fitted(table_of(data), train)
    days = (data["sold"] - data["sold"][:40].min()) / pd.Timedelta(days=1)
    expected = pd.get_dummies(data.assign(sold=days), columns=["colour"], prefix_sep="=")
    assert encoding.input_names == tuple(expected.columns)
    assert encoding.input_names[-1] == "colour=red"
    found = encoding.encode(table_of(data))
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, expected.to_numpy(np.float64).astype(np.float32))
    assert list(found.rows) == list(range(NUM_ROWS))
    assert found.notes == ()
    assert encoding.summary == "1 number, 1 boolean, 1 category (colour 3), 1 date"


@pytest.mark.parametrize("seed", range(5))
def test_imputed_cells_equal_simple_imputer_fitted_on_train_only(seed):
    data = frame(seed, share_missing=0.2)
    train = np.random.default_rng(seed).permutation(NUM_ROWS)[:35]
    found = fitted(table_of(data), train, "impute").encode(table_of(data))
    first = data["sold"].iloc[train].min()
    days = ((data["sold"] - first) / pd.Timedelta(days=1)).to_numpy(np.float64)
    numbers = np.c_[data["area"], days]
    most = np.c_[data["garden"].to_numpy(np.float64, na_value=np.nan)]
    texts = data[["colour"]].fillna(np.nan).to_numpy(object)
    expected = [
        SimpleImputer(strategy="median").fit(numbers[train]).transform(numbers),
        SimpleImputer(strategy="most_frequent").fit(most[train]).transform(most),
    ]
    filled = SimpleImputer(strategy="most_frequent").fit(texts[train]).transform(texts)
    one_hot = OneHotEncoder(sparse_output=False).fit(filled[train]).transform(filled)
    columns = np.c_[expected[0][:, 0], expected[1], expected[0][:, 1], one_hot]
    np.testing.assert_allclose(found.values, columns, rtol=1e-6)
    counts = {name: int(data[name].isna().sum()) for name in data}
    for name, count in counts.items():
        assert any(f"{count} empty cells of {name} filled in with" in note for note in found.notes)


def test_most_frequent_of_a_tie_is_the_smallest_as_in_scikit_learn():
    colours = one_column("colour", np.array([0, 1, 1, 0, -1], np.int32), "text", ("red", "blue"))
    flags = one_column("flag", [1.0, 0.0, np.nan], "boolean")
    assert fitted(colours, np.arange(5), "impute").columns[0].fill == "blue"
    assert fitted(flags, np.arange(3), "impute").columns[0].fill == 0.0


def test_other_rows_than_train_teach_nothing():
    data = frame(share_missing=0.1)
    changed = data.copy()
    changed.loc[40:, "area"] = 1e6
    changed.loc[40:, "sold"] = pd.Timestamp("1980-01-01")
    changed.loc[40:, "colour"] = "violet"
    train = np.arange(40)
    assert fitted(table_of(data), train, "impute") == fitted(table_of(changed), train, "impute")


def test_unseen_category_is_all_zeros_and_counted():
    data = frame()
    encoding = fitted(table_of(data), np.arange(NUM_ROWS))
    later = data.head(5).copy()
    later.loc[[1, 3], "colour"] = ["violet", "teal"]
    found = encoding.encode(table_of(later, "later.csv"))
    assert found.values[[1, 3], 3:].tolist() == [[0.0] * 3] * 2
    assert found.values[[0, 2, 4], 3:].sum() == 3
    (note,) = found.notes
    assert note.startswith("later.csv: 2 cells of colour with a category that no training row has ('violet', 'teal')")


def test_missing_cells_under_error_are_refused_with_the_first_the_count_and_the_ways_out():
    data = frame()
    data.loc[[16, 20], "area"] = np.nan
    data.loc[30, "colour"] = np.nan
    encoding = fitted(table_of(frame()), np.arange(NUM_ROWS))
    with pytest.raises(ValueError, match=r"^house\.csv: row 17 \(line 18\), column area: expected a value") as caught:
        encoding.encode(table_of(data))
    for part in ("3 empty cells in all (area 2, colour 1)", "data.missing=impute", "data.missing=drop", "data.exclude"):
        assert part in str(caught.value)


def test_missing_cells_under_drop_leave_their_rows_out_and_say_so():
    data = frame()
    data.loc[[16, 20], "area"] = np.nan
    data.loc[[20, 30], "colour"] = np.nan
    found = fitted(table_of(data), np.arange(15), "drop").encode(table_of(data))
    assert sorted(set(range(NUM_ROWS)) - set(found.rows.tolist())) == [16, 20, 30]
    whole = fitted(table_of(frame()), np.arange(15)).encode(table_of(frame())).values
    np.testing.assert_array_equal(found.values, whole[found.rows])
    assert found.notes == ("house.csv: 3 rows with empty cells left out",)


@pytest.mark.parametrize(("cell", "shown"), [(np.inf, "inf"), (-np.inf, "-inf"), (1e39, "1e+39")])
def test_number_that_float32_cannot_hold_is_refused_with_row_and_column(cell, shown):
    data = frame()
    data.loc[[7, 9], "area"] = cell
    table = table_of(data)
    with pytest.raises(ValueError, match=r"house\.csv: row 8 \(line 9\), column area: .* range of float32") as caught:
        fitted(table, np.arange(NUM_ROWS), "impute").encode(table)
    assert f"found {shown}; 2 such cells" in str(caught.value)


TEXTS = {
    # different texts, rows, options -> what the message says; None where it is accepted
    "every row": ((20, 20, {}), r"column id has 20 different texts in 20 training rows, .* data\.exclude=\[id\]"),
    "nearly every row": ((96, 100, {}), r"it names the rows and teaches nothing; .* data\.exclude=\[id\]"),
    "declared": ((20, 20, {"types": {"id": "category"}}), None),
    "too many": ((51, 400, {}), r"51 categories .* more than data\.max_categories=50: .* data\.max_categories=51"),
    "too many, declared": ((51, 52, {"types": {"id": "category"}}), r"51 categories"),
    "as many as allowed": ((50, 400, {}), None),
    "more allowed": ((51, 400, {"most": 51}), None),
    "few rows": ((4, 4, {}), None),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_column_with_many_values_is_refused_with_the_way_out(case):
    (different, num_rows, options), message = TEXTS[case]
    codes = (np.arange(num_rows) % different).astype(np.int32)
    table = one_column("id", codes, "text", tuple(f"n{number:03}" for number in range(different)))
    if message is None:
        assert len(fitted(table, np.arange(num_rows), **options).input_names) == different
        return
    with pytest.raises(ValueError, match=message):
        fitted(table, np.arange(num_rows), **options)


def test_column_without_a_value_in_train_cannot_be_filled_in():
    table = one_column("area", [np.nan, np.nan, 3.0])
    with pytest.raises(ValueError, match=r"column area has no value in the training rows: data\.exclude=\[area\]"):
        fitted(table, np.arange(2), "impute")


def test_declared_category_of_numbers_has_their_digits_as_names():
    table = one_column("zip", [1011.0, 3012.0, 1011.0])
    assert fitted(table, np.arange(3), types={"zip": "category"}).input_names == ("zip=1011", "zip=3012")


def test_names_that_collide_are_refused():
    columns = {
        "a": Column("a", "text", np.zeros(3, np.int32), ("b",)),
        "a=b": Column("a=b", "number", np.arange(3.0)),
    }
    with pytest.raises(ValueError, match="two inputs would be called a=b"):
        fitted(Table("house.csv", columns, 3), np.arange(3))


def test_absent_columns_are_named_with_the_nearest():
    encoding = fitted(table_of(frame()), np.arange(NUM_ROWS))
    with pytest.raises(ValueError, match=r"other\.csv: missing columns: garden.*, colour; did you mean color\?"):
        encoding.encode(table_of(frame().rename(columns={"colour": "color"}).drop(columns="garden"), "other.csv"))


def test_columns_are_found_by_name_whatever_their_order():
    encoding = fitted(table_of(frame()), np.arange(NUM_ROWS), features=FEATURES)
    turned = frame()[FEATURES[::-1]].assign(more=1.0)
    np.testing.assert_array_equal(encoding.encode(table_of(turned)).values, encoding.encode(table_of(frame())).values)


@pytest.mark.parametrize("missing", ["error", "drop", "impute"])
def test_json_round_trip_is_equal(missing):
    encoding = fitted(table_of(frame(share_missing=0.1)), np.arange(NUM_ROWS), missing)
    assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


def damaged(path, value):
    content = json.loads(json.dumps(fitted(table_of(frame()), np.arange(NUM_ROWS), "impute").to_json()))
    *way, last = path
    node = content
    for key in way:
        node = node[key]
    node[last] = value
    return content


DAMAGE = [
    (("missing",), "guess"),
    (("columns",), []),
    (("columns", 0, "kind"), "float"),
    (("columns", 0, "fill"), None),
    (("columns", 0, "fill"), float("inf")),
    (("columns", 0, "fill"), 10**400),
    (("columns", 0, "name"), 3),
    (("columns", 1, "fill"), 0.5),
    (("columns", 2, "first"), "yesterday"),
    (("columns", 2, "first"), None),
    (("columns", 2, "fill"), "NaT"),
    (("columns", 2, "fill"), "now"),
    (("columns", 2, "first"), "2024-13-01"),
    (("columns", 3, "categories"), ["red", "red"]),
    (("columns", 3, "categories"), []),
    (("columns", 3, "fill"), "violet"),
    (("columns", 3, "name"), "area"),
    (("target", "task"), "ranking"),
    (("target", "class_names"), ["a"]),
    (("more",), 1),
]


@pytest.mark.parametrize(("path", "value"), DAMAGE, ids=lambda part: str(part)[:40])
def test_json_of_something_else_is_refused(path, value):
    content = damaged(path, value)
    if path == ("columns", 3, "name"):  # the names of a category's inputs are its own
        content["columns"][3] = content["columns"][0]
    with pytest.raises(ValueError, match=r"^table"):
        Encoding.from_json(content)


def test_date_that_is_filled_in_is_said_as_one_writes_it():
    moments = np.array(["2020-01-01", "NaT", "2020-01-03", "2020-01-09"], "datetime64[us]")
    table = Table("t.csv", {"when": Column("when", "date", moments)}, 4)
    rules = {"missing": "impute", "types": {}, "max_categories": 5, "target": TargetEncoding("regression", ("y",))}
    (note,) = Encoding.fit(table, ["when"], np.arange(4), **rules).encode(table).notes
    assert note == "t.csv: 1 empty cell of when filled in with 2020-01-03, the training rows' median"
