"""What a column means, and its cells as another kind wants them."""

import numpy as np
import pytest

from nnlab.data.table.column import Column, Table
from nnlab.data.table.kinds import as_kind, check_types, kind_of

NAN = np.nan
DATES = np.array(["2024-01-31", "NaT", "1999-12-31T12:30"], "datetime64[us]")
COLUMNS = {
    "number": Column("c", "number", np.array([1.0, NAN, 2.5])),
    "whole": Column("c", "number", np.array([0.0, NAN, 1.0])),
    "boolean": Column("c", "boolean", np.array([1.0, NAN, 0.0])),
    "date": Column("c", "date", DATES),
    "digits": Column("c", "text", np.array([1, -1, 0], np.int32), ("3.5", " 2 ")),
    "yes": Column("c", "text", np.array([1, -1, 0], np.int32), ("no", "Yes")),
    "iso": Column("c", "text", np.array([1, -1, 0], np.int32), ("2024-02-29", "2024-01-01T01:00:00+01:00")),
    "text": Column("c", "text", np.array([1, -1, 0], np.int32), ("n/k", "red")),
    "late": Column("c", "text", np.array([0, -1, 1], np.int32), ("2", "n/k")),
    "nothing": Column("c", "text", np.array([-1, -1, -1], np.int32)),
}


def table_of(column):
    return Table("house.csv", {column.name: column}, 3, lines=np.array([2, 3, 4]))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("number", "number"), ("boolean", "boolean"), ("date", "date"), ("text", "category"), ("digits", "category")],
)
def test_kind_without_a_declaration_is_that_of_the_cells(name, kind):
    assert kind_of(COLUMNS[name], {}) == kind


@pytest.mark.parametrize("kind", ["number", "boolean", "date", "category"])
def test_kind_with_a_declaration_is_the_declared_one(kind):
    assert kind_of(COLUMNS["number"], {"c": kind, "other": "date"}) == kind


CONVERTED = [
    ("number", "category", ["1", "", "2.5"]),
    ("boolean", "category", ["true", "", "false"]),
    ("date", "category", ["2024-01-31", "", "1999-12-31T12:30:00.000000"]),
    ("whole", "boolean", [0.0, NAN, 1.0]),
    ("boolean", "number", [1.0, NAN, 0.0]),
    ("digits", "number", [2.0, NAN, 3.5]),
    ("yes", "boolean", [1.0, NAN, 0.0]),
    ("iso", "date", ["2024-01-01T00:00", "NaT", "2024-02-29"]),
    ("nothing", "number", [NAN] * 3),
    ("nothing", "boolean", [NAN] * 3),
    ("nothing", "date", ["NaT"] * 3),
]


@pytest.mark.parametrize(("name", "kind", "expected"), CONVERTED)
def test_cells_that_fit_a_declared_kind_are_converted(name, kind, expected):
    found = as_kind(table_of(COLUMNS[name]), "c", kind)
    if kind == "category":
        assert [found.cell(row) for row in range(3)] == expected
    elif kind == "date":
        np.testing.assert_array_equal(found.values, np.array(expected, "datetime64[us]"))
    else:
        np.testing.assert_array_equal(found.values, expected)
    assert list(found.missing()) == list(COLUMNS[name].missing())
    assert as_kind(table_of(found), "c", kind) is found


@pytest.mark.parametrize("name", ["number", "boolean", "date"])
def test_column_without_a_value_is_of_any_kind(name):
    nothing = np.full(3, "NaT", "datetime64[us]") if name == "date" else np.full(3, NAN)
    table = table_of(Column("c", name, nothing))
    for kind in ("number", "boolean", "date", "category"):
        assert as_kind(table, "c", kind).missing().all()


REFUSED = [
    ("text", "number", "row 1 (line 2), column c: expected a number, found 'red'"),
    ("late", "number", "row 3 (line 4), column c: expected a number, found 'n/k'"),
    ("digits", "boolean", "row 1 (line 2), column c: expected true or false, found ' 2 '"),
    ("number", "boolean", "row 3 (line 4), column c: expected true or false, found '2.5'"),
    ("text", "date", "row 1 (line 2), column c: expected a date such as 2024-01-31, found 'red'"),
    ("number", "date", "row 1 (line 2), column c: expected a date such as 2024-01-31, found '1.0'"),
    ("date", "number", "row 1 (line 2), column c: expected a number, found '2024-01-31"),
]


@pytest.mark.parametrize(("name", "kind", "message"), REFUSED)
def test_cell_that_does_not_fit_a_declared_kind_is_refused_with_its_place(name, kind, message):
    with pytest.raises(ValueError, match=r"^house\.csv: ") as caught:
        as_kind(table_of(COLUMNS[name]), "c", kind)
    assert message in str(caught.value)
    assert "data.types={c: category}" in str(caught.value)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ({"d": "number"}, r"data\.types: house\.csv has no column 'd'"),
        ({"c": "float"}, r"data\.types\.c: expected one of number, boolean, date, category, found 'float'"),
        (["c"], r"data\.types: expected kinds by column"),
    ],
)
def test_declaration_that_fits_nothing_is_refused_with_its_key(types, message):
    with pytest.raises(ValueError, match=message):
        check_types(types, table_of(COLUMNS["text"]))
