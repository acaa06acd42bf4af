"""From a table to a data set: columns, splits, notes; scikit-learn's own sets."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import datasets
from sklearn.model_selection import GroupKFold

from nnlab import build
from nnlab.arguments import split_arguments
from nnlab.command import resolved_config
from nnlab.config import ConfigError
from nnlab.data import Preprocessing, npz, sklearn
from nnlab.data.table.column import Column, Table
from nnlab.data.table.encoding import Encoding
from nnlab.data.table.make import Choice, make_dataset
from nnlab.data.table.splits import SplitRule
from nnlab.rows import build_data, fingerprint

NUM_ROWS = 100
CHOICE = Choice("price", [], [], None, {}, "error", 50, None, 0, None, 0)
BUNDLED = {
    "breast_cancer": ("binary", 30, 1),
    "diabetes": ("regression", 10, 1),
    "digits": ("multiclass", 64, 1),
    "iris": ("multiclass", 4, 1),
    "linnerud": ("regression", 3, 3),
    "wine": ("multiclass", 13, 1),
}
RULE = {"split": "auto", "split_column": None, "valid_fraction": None, "test_fraction": None} | {
    "num_valid": None,
    "num_test": None,
    "seed": 0,
}


def texts(name, cells):
    different = list(dict.fromkeys(cell for cell in cells if cell))
    codes = [different.index(cell) if cell else -1 for cell in cells]
    return Column(name, "text", np.array(codes, np.int32), tuple(different))


def houses(**changes):
    """100 rows: area, colour, street (10 groups) and price, which is 2 area + 1."""
    random = np.random.default_rng(1)
    area = random.normal(50, 20, NUM_ROWS)
    columns = {
        "area": Column("area", "number", area),
        "colour": texts("colour", random.choice(["red", "blue"], NUM_ROWS)),
        "street": texts("street", [f"s{row % 10}" for row in range(NUM_ROWS)]),
        "price": Column("price", "number", 2 * area + 1),
    }
    columns |= {name: column for name, column in changes.items() if column is not None}
    columns = {name: column for name, column in columns.items() if name not in changes or changes[name] is not None}
    return Table("house.csv", columns, NUM_ROWS, lines=np.arange(2, NUM_ROWS + 2))


def numbers(name, values):
    return Column(name, "number", np.asarray(values, np.float64))


def make(table, rule=None, others=None, fitted=None, **changes):
    return make_dataset(table, replace(CHOICE, **changes), rule or SplitRule(), others or {}, fitted)


def with_nan(column, rows):
    values = column.values.copy()
    values[rows] = np.nan
    return replace(column, values=values)


def rows_of(dataset):
    return {name: len(split) for name, split in dataset.splits.items()}


def test_table_becomes_a_data_set_whose_rows_are_those_of_the_file():
    data = make(houses())
    assert data.task == "regression"
    assert data.input_names == ("area", "colour=blue", "colour=red", *(f"street=s{group}" for group in range(10)))
    assert rows_of(data) == {"train": 60, "valid": 20, "test": 20}
    found = torch.cat([torch.cat([split.inputs[:, :1], split.target], 1) for split in data.splits.values()])
    area = houses().columns["area"].values
    expected = np.c_[area, 2 * area + 1].astype(np.float32)
    assert np.array_equal(found.numpy()[np.argsort(found[:, 0].numpy())], expected[np.argsort(area)])
    for part in ("target price: regression, inferred from", "inputs: 1 number, 2 categories (colour 2, street 10)"):
        assert any(note.startswith(part) for note in data.notes)


def test_classes_are_stratified_and_named_as_in_the_file():
    data = make(houses(), target="colour", exclude=["street"])
    assert (data.task, data.class_names, data.num_outputs) == ("binary", ("blue", "red"), 1)
    assert data.train.target.shape == (60, 1)
    assert data.train.target.dtype == torch.float32
    reds = sum(float(split.target.sum()) for split in data.splits.values())
    cells = houses().columns["colour"]
    assert reds == sum(cells.cell(row) == "red" for row in range(NUM_ROWS))
    data = make(houses(), target="street", exclude=["price"])
    assert (data.task, data.num_outputs) == ("multiclass", 10)
    assert data.train.target.dtype == torch.int64
    assert torch.bincount(data.train.target).tolist() == [6] * 10


def test_null_target_is_the_last_column_and_said():
    data = make(houses(), target=None)
    assert data.target_names == ("price",)
    assert "data.target is null: the last column, price, is the target" in data.notes


def test_features_and_exclude_choose_columns_in_their_order():
    assert make(houses(), features=["colour", "area"]).input_names == ("colour=blue", "colour=red", "area")
    assert make(houses(), exclude=["colour", "street"]).input_names == ("area",)


def test_column_of_the_split_is_no_input_unless_it_is_named():
    by_street = SplitRule("group", "street")
    data = make(houses(), by_street, exclude=["colour"])
    assert data.input_names == ("area",)
    assert "street splits the rows and is no input; data.features can name it as one" in data.notes
    assert len(make(houses(), by_street, features=["street"]).input_names) == 6  # those of the training rows


REFUSED = {
    "absent target": ({"target": "prize"}, r"data\.target: house\.csv has no column 'prize'; did you mean price\?"),
    "target twice": ({"target": ["price", "price"]}, r"data\.target: price stands there twice"),
    "no target": ({"target": []}, r"data\.target: expected a column's name or a list of names, found \[\]"),
    "target as a feature": ({"features": ["area", "price"]}, r"data\.features: price is the target"),
    "absent feature": ({"features": ["aera"]}, r"data\.features: house\.csv has no column 'aera'; did you mean area"),
    "absent exclude": ({"exclude": ["id"]}, r"data\.exclude: house\.csv has no column 'id'; it has area, colour"),
    "feature as a word": ({"features": "area"}, r"data\.features: expected a list of columns' names, found 'area'"),
    "both": ({"features": ["area"], "exclude": ["area"]}, r"data\.exclude: area is among data\.features too"),
    "nothing left": ({"exclude": ["area", "colour", "street"]}, r"house\.csv: no column is left to learn from"),
    "unknown rule": ({"missing": "zero"}, r"data\.missing: expected one of error, drop, impute, found 'zero'"),
    "no categories": ({"max_categories": 0}, r"data\.max_categories: expected an integer >= 1, found 0"),
    "too many": (
        {"max_categories": 5},
        r"column street has 10 categories .* data\.exclude=\[street\], or set data\.max",
    ),
    "text as a number": ({"types": {"colour": "number"}}, r"row 1 \(line 2\), column colour: expected a number, found"),
    "weight as target": ({"sample_weight": "price"}, r"data\.sample_weight: price is the target"),
    "absent weight": ({"sample_weight": "w"}, r"data\.sample_weight: house\.csv has no column 'w'"),
    "fold without folds": ({"fold": 1}, r"data\.fold: found 1, but data\.folds is null"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_keys_that_do_not_fit_the_table_are_refused(case):
    changes, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        make(houses(), **changes)


def test_empty_table_is_refused():
    empty = Table("house.csv", {"a": numbers("a", []), "price": numbers("price", [])}, 0)
    with pytest.raises(ValueError, match=r"house\.csv: expected rows below the header, found none"):
        make(empty)


def test_missing_cells_by_rule():
    holes = houses(area=with_nan(houses().columns["area"], [3, 50]), price=with_nan(houses().columns["price"], [7]))
    with pytest.raises(ValueError, match=r"row 4 \(line 5\), column area: .*3 empty cells in all \(area 2, price 1\)"):
        make(holes)
    with pytest.raises(
        ValueError, match=r"row 8 \(line 9\), column price: expected a target, which is never filled in"
    ):
        make(holes, missing="impute")
    data = make(holes, missing="drop")
    assert sum(rows_of(data).values()) == 97
    assert "house.csv: 3 rows with empty cells left out (data.missing=drop), 97 kept" in data.notes
    data = make(houses(area=with_nan(houses().columns["area"], [3, 50])), missing="impute")
    assert sum(rows_of(data).values()) == 100
    (note,) = [note for note in data.notes if "filled in" in note]
    train = data.train.inputs[:, 0]
    present = np.isin(train.numpy(), houses().columns["area"].values.astype(np.float32))
    assert note.startswith(f"house.csv: 2 empty cells of area filled in with {np.median(train.numpy()[present]):.6g}")
    with pytest.raises(ValueError, match=r"column price: every cell of the target is empty"):
        make(houses(price=numbers("price", np.full(NUM_ROWS, np.nan))), missing="drop")
    nothing = houses(area=numbers("area", np.full(NUM_ROWS, np.nan)))
    with pytest.raises(ValueError, match=r"area has the most: data\.exclude=\[area\]"):
        make(nothing, missing="drop")


@pytest.mark.parametrize("missing", ["drop", "impute"])
def test_rows_left_out_and_rows_for_testing_teach_nothing(missing):
    """The encoding is that of the training rows alone: other rows may be anything."""
    table = houses(area=with_nan(houses().columns["area"], [3, 50]))
    rule = SplitRule("order", num_valid=20, num_test=20)
    plain = make(table, rule, missing=missing)
    area, colour = table.columns["area"].values.copy(), table.columns["colour"]
    area[70:] = 1e6
    late = [colour.cell(row) if row < 70 else "violet" for row in range(NUM_ROWS)]
    other = make(houses(area=numbers("area", area), colour=texts("colour", late)), rule, missing=missing)
    assert plain.encoding == other.encoding
    assert any("category that no training row has ('violet')" in note for note in other.notes)


@pytest.mark.parametrize("split", ["random", "group"])
def test_folds_are_dealt_before_anything_is_learnt(split):
    """Each fold's training rows alone decide what an empty cell becomes."""
    table = houses(area=with_nan(houses().columns["area"], range(0, NUM_ROWS, 9)))
    column = "street" if split == "group" else None
    rule = SplitRule(split, column, test_fraction=0.2)
    features = ["area", "colour", "street"]
    made = [make(table, rule, missing="impute", features=features, folds=4, fold=fold) for fold in range(4)]
    assert [len(data.test) for data in made] == [20] * 4
    assert sum(len(data.valid) for data in made) == 80
    assert len({data.encoding.columns[0].fill for data in made}) > 1
    for data in made:
        target = data.train.target.double().numpy()
        there = ~np.isclose(data.train.inputs[:, 0].numpy() * 2 + 1, target[:, 0], atol=1e-2)
        areas = (target[:, 0] - 1) / 2
        assert np.isclose(data.encoding.columns[0].fill, np.median(areas[~there]), rtol=1e-5)
        assert data.train.inputs[there, 0].unique().numel() <= 1
    held = [set(data.valid.target[:, 0].tolist()) for data in made]
    assert len(set.union(*held)) == 80
    if split == "group":
        prices, street = table.columns["price"].values.astype(np.float32), table.columns["street"].values
        groups = [{int(group) for group, price in zip(street, prices, strict=True) if price in one} for one in held]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 8


def test_folds_of_unequal_groups_are_as_even_as_group_k_fold():
    streets = [f"s{int(row**0.5)}" for row in range(NUM_ROWS)]  # of 1, 3, 5, … rows
    rule = SplitRule("group", "street", valid_fraction=0.2, test_fraction=0.0)
    made = [make(houses(street=texts("street", streets)), rule, folds=4, fold=fold) for fold in range(4)]
    expected = [len(held) for _, held in GroupKFold(4).split(np.zeros(NUM_ROWS), groups=streets)]
    assert sorted(len(data.valid) for data in made) == sorted(expected)
    assert all(len(data.train) + len(data.valid) == NUM_ROWS for data in made)


def test_folds_by_time_or_of_files_are_refused():
    with pytest.raises(ValueError, match=r"data\.folds: .*data\.split=time keeps apart"):
        make(houses(), SplitRule("time", "area"), folds=3)
    with pytest.raises(ValueError, match=r"data\.folds: .*data\.valid_path or data\.test_path keeps apart"):
        make(houses(), SplitRule(test_fraction=0.0), {"test": houses()}, folds=3)


def test_files_of_their_own_are_encoded_by_what_train_taught():
    late = houses(colour=texts("colour", ["violet"] * NUM_ROWS))
    data = make(houses(), SplitRule("files"), {"valid": houses(), "test": replace(late, source="late.csv")})
    assert rows_of(data) == {"train": 100, "valid": 100, "test": 100}
    assert torch.equal(data.valid.inputs, data.train.inputs)
    assert data.test.inputs[:, 1:3].eq(0).all()
    assert "late.csv: 100 cells of colour with a category that no training row has ('violet')" in str(data.notes)
    assert "100 rows of valid are also in train: the figures there flatter" in data.notes
    with pytest.raises(ValueError, match=r"other\.csv: column area is missing"):
        make(houses(), SplitRule("files"), {"test": replace(houses(area=None), source="other.csv")})


def test_constant_and_coarse_inputs_are_kept_and_said():
    """Near 10^9, float32 tells numbers apart in steps of 64."""
    table = houses(flat=numbers("flat", np.full(NUM_ROWS, 3.0)), stamp=numbers("stamp", 1e9 + np.arange(100) * 100.0))
    data = make(table)
    assert {"flat", "stamp"} <= set(data.input_names)
    assert any(note.startswith("the same in every training row") and "kept: flat;" in note for note in data.notes)
    assert any(note.startswith("far from zero for its spread") and ": stamp;" in note for note in data.notes)


def test_rows_that_two_splits_share_are_counted():
    whole = houses()
    halved = Table(
        "house.csv", {c.name: replace(c, values=np.tile(c.values[:50], 2)) for c in whole.columns.values()}, 100
    )
    data = make(halved, SplitRule("order", num_valid=0, num_test=50))
    assert any(note.startswith("50 rows of test are also in train") for note in data.notes)


def test_encoding_of_another_run_is_used_as_it_is():
    data = make(houses(), missing="impute")
    shifted = houses(area=numbers("area", houses().columns["area"].values + 5))
    again = make(shifted, fitted=data.encoding)
    assert again.encoding is data.encoding
    torch.testing.assert_close(again.train.inputs[:, 0], data.train.inputs[:, 0] + 5)
    assert fingerprint(make(houses(), fitted=data.encoding)) == fingerprint(data)
    with pytest.raises(ValueError, match=r"house\.csv: the target price is missing"):
        make(houses(price=None), fitted=data.encoding)


def test_preprocessing_keeps_the_encoding_and_older_files_still_load():
    data = make(houses(), missing="impute")
    fitted = Preprocessing.fit(data, [], 1.0, standardize=True, standardize_target=False)
    content = json.loads(json.dumps(fitted.to_json()))
    assert Preprocessing.from_json(content) == fitted
    assert Encoding.from_json(content["table"]) == data.encoding
    older = {key: value for key, value in content.items() if key != "table"}
    assert Preprocessing.from_json(older) == replace(fitted, table=None)
    content["table"]["columns"] = content["table"]["columns"][1:]
    with pytest.raises(ValueError, match="table: expected the encoding of the columns"):
        Preprocessing.from_json(content)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets_have_scikit_learns_rows(name):
    task, num_inputs, num_targets = BUNDLED[name]
    data = sklearn(name, target=None, features=[], exclude=[], task=None, **RULE)
    assert (data.task, len(data.input_names), len(data.target_names)) == (task, num_inputs, num_targets)
    bunch = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    classes = [str(one) for one in bunch.target_names] if task != "regression" else []
    assert sorted(classes) == list(data.class_names)
    expected = np.c_[bunch.data, bunch.target]
    if classes:
        expected[:, -1] = [data.class_names.index(classes[code]) for code in bunch.target]
    found = np.concatenate([np.c_[s.inputs, s.target.reshape(len(s), -1)] for s in data.splits.values()])
    expected = expected.astype(np.float32)
    assert np.array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])


FILE_RULE = RULE | {"target": None, "features": [], "exclude": [], "task": None, "types": {}, "missing": "error"}
FILE_RULE |= {"max_categories": 50, "valid_path": None, "test_path": None, "sample_weight": None, "streaming": "auto"}
FILES = {
    "no path": ({"path": None}, r"data\.path: expected a file, such as data\.path=house\.csv, found null"),
    "no files": ({"split": "files"}, r"data\.split: files needs data\.valid_path or data\.test_path, found neither"),
    "column and file": (
        {"split": "column", "split_column": "part", "test_path": "t.npz"},
        r"data\.test_path: with data\.split=column, part says what is test",
    ),
    "file and fraction": (
        {"test_path": "t.npz", "test_fraction": 0.1},
        r"data\.test_fraction: data\.test_path is the test split",
    ),
    "file and number": (
        {"valid_path": "v.npz", "num_valid": 9},
        r"data\.num_valid: data\.valid_path is the valid split",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_contradict_other_keys_are_refused_before_any_is_read(case):
    changes, message = FILES[case]
    with pytest.raises(ValueError, match=message):
        npz(**(FILE_RULE | {"path": "absent.npz"} | changes))


def config_of(*words):
    return resolved_config(split_arguments(["data=sklearn", "logger=[]", *words]))[0]


def test_unknown_bundled_set_lists_those_there_are():
    with pytest.raises(
        ConfigError, match=r"data\.name: .*: breast_cancer, diabetes, digits, iris, linnerud, wine, found"
    ):
        build_data(config_of("data.name=boston"))


def test_target_far_from_unit_spread_is_advised_to_be_standardized():
    data, _ = build_data(config_of("data.name=diabetes"))
    (note,) = [note for note in data.notes if "standardize_target" in note]
    spread = data.train.target.std(correction=0).item()
    assert note.endswith(f"progression has {spread:.3g}: data.standardize_target=true")
    data, _ = build_data(config_of("data.name=diabetes", "data.standardize_target=true"))
    assert not any("standardize_target" in note for note in data.notes)


def test_keys_that_only_nnlab_sets_cannot_be_set():
    config = config_of()
    config["data"]["fitted"] = {}
    with pytest.raises(ConfigError, match=r"data\.fitted: cannot be set in a config, nnlab sets it"):
        build_data(config)


def test_folds_of_a_config_reach_the_table():
    parts = [build_data(config_of("data.folds=5", f"data.fold={fold}"))[0] for fold in range(5)]
    assert [rows_of(data) for data in parts] == [{"train": 96, "valid": 24, "test": 30}] * 5
    assert build.Rows().data(config_of("data.folds=5"))[0].encoding is not None
