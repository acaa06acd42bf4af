"""What `nnlab data` says of raw columns, found again in the encoded inputs: compared with pandas on the raw cells."""

import numpy as np
import pandas
import pytest
import torch

from nnlab.data.dataset import Dataset, Split
from nnlab.data.literal import inline
from nnlab.data.raw_columns import MOST_COUNTED, raw_columns
from nnlab.data.table.column import Column, Table
from nnlab.data.table.encoding import Encoding
from nnlab.data.table.target import TargetEncoding

ROWS = 60
RNG = np.random.default_rng(3)
FRAME = pandas.DataFrame(
    {
        "colour": RNG.choice(["red", "blue", "green", "grey"], ROWS, p=[0.5, 0.25, 0.15, 0.1]),
        "area": RNG.normal(70, 20, ROWS).round(0),
        "sold": np.datetime64("2023-01-05") + RNG.integers(0, 400, ROWS),
        "lift": RNG.random(ROWS) < 0.3,
    }
)
FRAME["sold"] = FRAME["sold"].astype("datetime64[us]")


def dataset(num_rows=ROWS, missing="impute"):
    texts = tuple(FRAME["colour"].unique())
    columns = [
        Column("colour", "text", FRAME["colour"].map(texts.index).to_numpy(np.int32), texts),
        Column("area", "number", FRAME["area"].to_numpy()),
        Column("sold", "date", FRAME["sold"].to_numpy()),
        Column("lift", "boolean", FRAME["lift"].to_numpy(np.float64)),
    ]
    table = Table("t.csv", {column.name: column for column in columns}, ROWS)
    target = TargetEncoding("regression", ("price",))
    rules = {"missing": missing, "types": {}, "max_categories": 9, "target": target}
    encoding = Encoding.fit(table, list(FRAME), np.arange(ROWS), **rules)
    values = torch.from_numpy(encoding.encode(table).values)
    num_empty = (2, 0, 0, 1) if missing == "impute" else ()
    train = Split(values[:num_rows], torch.zeros(num_rows, 1))
    return Dataset(
        "regression", train, None, None, encoding.input_names, ("price",), encoding=encoding, num_empty=num_empty
    )


def test_cells_are_those_of_the_raw_columns():
    data = dataset()
    colour, area, sold, lift = raw_columns(data)
    counts = FRAME["colour"].value_counts()
    assert colour.cells(data.train) == {
        "different": "4",
        "commonest": ", ".join(f"{name} {count}" for name, count in counts.iloc[:3].items()) + ", …",
        "empty": "2",
        "filled with": counts.index[0],
    }
    numbers = FRAME["area"]
    assert area.cells(data.train) == {
        "different": str(numbers.nunique()),
        "min": f"{numbers.min():.4g}",
        "mean": f"{numbers.mean():.4g}",
        "std": f"{numbers.std(ddof=0):.4g}",
        "max": f"{numbers.max():.4g}",
        "empty": "0",
        "filled with": f"{numbers.median():.4g}",
    }
    days = FRAME["sold"]
    found = sold.cells(data.train)
    assert (found["different"], found["min"], found["max"]) == (
        str(days.nunique()), str(days.min().date()), str(days.max().date()),
    )  # fmt: skip
    assert found["filled with"].startswith(str(days.median().date()))
    num_true = int(FRAME["lift"].sum())
    assert lift.cells(data.train)["commonest"] == f"true {num_true}, false {ROWS - num_true}"


def test_what_the_model_gets_is_said():
    data = dataset(missing="error")
    first = FRAME["sold"].min().date()
    assert [column.becomes for column in raw_columns(data)] == [
        "4 x 0 or 1", "the number", f"days since {first}", "0 or 1",
    ]  # fmt: skip
    assert all("filled with" not in column.cells(data.train) for column in raw_columns(data))


def test_counts_have_a_place_for_none_of_the_categories():
    data = dataset()
    inputs = data.train.inputs.clone()
    inputs[0, :4] = 0
    counts = raw_columns(data)[0].counts(Split(inputs, data.train.target))
    assert counts[-1] == 1
    assert counts.sum() == ROWS


def test_other_data_sets_have_a_number_for_each_input():
    data = inline([[0.0, 1.0], [1.0, 0.5]], [0.5, 2.0])
    assert [(column.name, column.kind, column.start) for column in raw_columns(data)] == [
        ("x1", "number", 0), ("x2", "number", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(("num_rows", "expected"), [(MOST_COUNTED, "7"), (MOST_COUNTED + 1, ">= 7")])
def test_different_numbers_of_many_rows_are_a_lower_bound(num_rows, expected):
    inputs = (torch.arange(num_rows) % 7).float()[:, None]
    data = Dataset("regression", Split(inputs, inputs), None, None, ("x",), ("y",))
    assert raw_columns(data)[0].cells(data.train)["different"] == expected
