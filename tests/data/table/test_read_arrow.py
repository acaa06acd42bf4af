"""Parquet and Arrow files, against what was put into them."""

import datetime
import decimal
import sys
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pytest
from pyarrow import feather, ipc, parquet

from nnlab.data.table.read_arrow import read_arrow, read_parquet


def write_stream(table, path):
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def write_file(table, path):
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


#: format -> reader, ending, writer
FORMATS = {
    "parquet": (read_parquet, "parquet", lambda table, path: parquet.write_table(table, path, row_group_size=2)),
    "stream": (read_arrow, "arrows", lambda table, path: write_stream(table, str(path))),
    "file": (read_arrow, "arrow", lambda table, path: write_file(table, str(path))),
    "feather": (read_arrow, "feather", lambda table, path: feather.write_feather(table, path)),
}

NAN = float("nan")
NOON = datetime.datetime(2020, 1, 1, 12)
#: what -> pyarrow's type, values, as what they are kept, the expected cells
KINDS = {
    "int8": (pyarrow.int8(), [1, None, -3], "number", [1, NAN, -3]),
    "uint64": (pyarrow.uint64(), [1, 2**53, 3], "number", [1, 2**53, 3]),
    "float32": (pyarrow.float32(), [0.5, None, NAN], "number", [0.5, NAN, NAN]),
    "float64": (pyarrow.float64(), [0.1, 2, 3], "number", [0.1, 2, 3]),
    "decimal": (
        pyarrow.decimal128(7, 2), [decimal.Decimal("1.25"), None, decimal.Decimal(-3)], "number", [1.25, NAN, -3]),
    "null": (pyarrow.null(), [None, None, None], "number", [NAN, NAN, NAN]),
    "bool": (pyarrow.bool_(), [True, None, False], "boolean", [1, NAN, 0]),
    "date32": (pyarrow.date32(), [NOON.date(), None, NOON.date()], "date", ["2020-01-01", "NaT", "2020-01-01"]),
    "nanoseconds": (
        pyarrow.timestamp("ns"), np.array([1, 1999, -999], "datetime64[ns]"), "date",
        ["1970-01-01", "1970-01-01T00:00:00.000001", "1970-01-01"],
    ),
    "a zone": (
        pyarrow.timestamp("s", "Europe/Berlin"), [NOON.replace(tzinfo=datetime.UTC), None, None], "date",
        ["2020-01-01T12", "NaT", "NaT"],
    ),
    "string": (pyarrow.string(), ["red ", "", " red"], "text", ["red", "", "red"]),
    "large_string": (pyarrow.large_string(), ["b", None, "a"], "text", ["b", "", "a"]),
    "string_view": (pyarrow.string_view(), ["b", None, "a"], "text", ["b", "", "a"]),
    "dictionary": (pyarrow.dictionary(pyarrow.int8(), pyarrow.string()), ["z", None, "a"], "text", ["z", "", "a"]),
    "dictionary of numbers": (pyarrow.dictionary(pyarrow.int8(), pyarrow.int32()), [7, None, 5], "number", [7, NAN, 5]),
}  # fmt: skip


@pytest.mark.parametrize("which", FORMATS)
@pytest.mark.parametrize("what", KINDS)
def test_cells_are_those_that_were_written(what, which, tmp_path):
    kind, values, stored, expected = KINDS[what]
    read, ending, write = FORMATS[which]
    array = pyarrow.array(values, kind.value_type).dictionary_encode() if "dictionary" in what else None
    array = pyarrow.array(values, kind) if array is None else array
    path = tmp_path / f"a.{ending}"
    write(pyarrow.table({"y": pyarrow.array([1, 2, 3]), "x": array}), path)
    table = read(str(path))
    assert list(table.columns) == ["y", "x"]
    assert (table.num_rows, table.lines, table.source) == (3, None, str(path))
    column = table.columns["x"]
    assert column.stored == stored
    if stored == "text":
        assert column.values.dtype == np.int32
        assert [column.cell(row) for row in range(3)] == expected
        assert list(column.texts) == list(dict.fromkeys(cell for cell in expected if cell))
    else:
        dtype = "datetime64[us]" if stored == "date" else np.float64
        assert column.values.dtype == dtype
        np.testing.assert_array_equal(column.values, np.array(expected, dtype))
    assert [("UTC" in note) for note in table.notes] == ([True] if what == "a zone" else [])


def test_texts_are_in_the_order_of_the_rows_without_those_of_no_row(tmp_path):
    frame = pandas.DataFrame({"x": pandas.Categorical(["c", "a", "c"], categories=["a", "b", "c"])})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_parquet(str(tmp_path / "a.parquet")).columns["x"].texts == ("c", "a")


def part(folder, name, **columns):
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), folder / name)


def test_folder_is_read_in_the_order_of_names(tmp_path):
    part(tmp_path / "b", "1.parquet", x=[3], y=["c"])
    part(tmp_path / "a", "2.parquet", x=pyarrow.array([None], pyarrow.null()), y=["a"])
    part(tmp_path / "a", "10.parquet", y=["c"], x=[1.5])
    part(tmp_path / "_delta", "0.parquet", z=[0])
    part(tmp_path, ".hidden.parquet", z=[0])
    (tmp_path / "notes.txt").write_text("no part")
    table = read_parquet(str(tmp_path))
    np.testing.assert_array_equal(table.columns["x"].values, [1.5, NAN, 3])
    assert [table.columns["y"].cell(row) for row in range(3)] == ["c", "a", "c"]
    assert table.columns["y"].texts == ("c", "a")
    assert table.notes == (f"{tmp_path}: 3 files",)


def test_pattern_is_read_in_the_order_of_names(tmp_path):
    for name, cell in (("b2", 2), ("b1", 1), ("c1", 3)):
        part(tmp_path, f"{name}.parquet", x=[cell])
    np.testing.assert_array_equal(read_parquet(str(tmp_path / "b*.parquet")).columns["x"].values, [1, 2])
    np.testing.assert_array_equal(read_parquet(str(tmp_path / "**" / "*1.parquet")).columns["x"].values, [1, 3])


def test_file_whose_name_is_a_pattern_is_a_file(tmp_path):
    part(tmp_path, "a[1].parquet", x=[7])
    assert read_parquet(str(tmp_path / "a[1].parquet")).num_rows == 1


def test_columns_of_other_cells_are_left_out_and_said(tmp_path):
    part(
        tmp_path, "a.parquet", x=[1], tags=[["a"]], blob=pyarrow.array([b"x"], pyarrow.binary()), at=[datetime.time(1)]
    )
    table = read_parquet(str(tmp_path / "a.parquet"))
    assert list(table.columns) == ["x"]
    (note,) = table.notes
    for words in ("left out: tags (list<", "blob (binary)", "at (time64[us])"):
        assert words in note


def test_index_of_pandas_and_partitions_are_said(tmp_path):
    frame = pandas.DataFrame({"x": [1, 2, 3]}, index=[7, 2, 5])
    (tmp_path / "year=2020").mkdir()
    frame.to_parquet(tmp_path / "year=2020" / "a.parquet")
    table = read_parquet(str(tmp_path))
    assert list(table.columns) == ["x"]
    assert [note.split(": ", 1)[1] for note in table.notes] == [
        "__index_level_0__, an index of pandas, left out",
        "names of folders, such as year=2020, are no columns",
    ]


def test_names_with_points_are_columns_of_their_own(tmp_path):
    part(tmp_path, "a.parquet", **{"a": [1], "a.b": [2], "": [3]})
    assert list(read_parquet(str(tmp_path / "a.parquet")).columns) == ["a", "a.b", ""]


def test_no_rows_are_a_table(tmp_path):
    for which, (read, ending, write) in FORMATS.items():
        path = tmp_path / f"{which}.{ending}"
        write(pyarrow.table({"x": pyarrow.array([], pyarrow.int64()), "y": pyarrow.array([], pyarrow.string())}), path)
        table = read(str(path))
        assert (table.num_rows, table.columns["x"].stored, table.columns["y"].stored) == (0, "number", "text")


def refused(read, path):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the callers look at the words
        read(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_of_other_columns_are_refused_with_both_names(tmp_path):
    part(tmp_path, "a.parquet", x=[1], y=[1])
    part(tmp_path, "b.parquet", x=[1])
    assert refused(read_parquet, tmp_path).endswith(f"{tmp_path}/a.parquet has y, {tmp_path}/b.parquet has not")
    part(tmp_path, "b.parquet", x=[1], y=[1], z=[1])
    assert refused(read_parquet, tmp_path).endswith(f"{tmp_path}/b.parquet has z, {tmp_path}/a.parquet has not")
    part(tmp_path, "b.parquet", x=[1], y=["1"])
    assert f"y is int64 in {tmp_path}/a.parquet, string in {tmp_path}/b.parquet" in refused(read_parquet, tmp_path)


def test_column_that_is_there_twice_is_refused(tmp_path):
    table = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], ["x", "x"])
    for which, (read, ending, write) in FORMATS.items():
        if which == "feather":  # cannot be written
            continue
        path = tmp_path / f"{which}.{ending}"
        write(table, path)
        assert "column x is there 2 times" in refused(read, path)


def test_what_is_not_there_is_said(tmp_path):
    assert refused(read_parquet, tmp_path / "a.parquet").endswith("there is no such file")
    assert refused(read_parquet, tmp_path / "*.parquet").endswith("no file fits this pattern")
    assert "a folder without one that ends in .parquet or .pq" in refused(read_parquet, tmp_path)


@pytest.mark.parametrize("which", FORMATS)
def test_damaged_file_is_refused_in_one_line(which, tmp_path):
    read, ending, write = FORMATS[which]
    path = tmp_path / f"a.{ending}"
    write(pyarrow.table({"x": np.arange(1000.0), "y": [f"text {row}" for row in range(1000)]}), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(60):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole), 20):
            content[place] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        try:
            read(str(path))
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all(str(path) in message and "\n" not in message for message in messages)
    for content in (b"", whole[: len(whole) // 2], b"a,b\n1,2\n" * 10):
        path.write_bytes(content)
        assert "expected an unharmed" in refused(read, path)


def test_moment_that_no_microseconds_hold_is_refused(tmp_path):
    table = pyarrow.table({"x": pyarrow.array([2**62], pyarrow.timestamp("s"))})
    write_file(table, str(tmp_path / "a.arrow"))
    assert "a.arrow" in refused(read_arrow, tmp_path / "a.arrow")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for read in (read_parquet, read_arrow):
        assert "needs pyarrow, which is not installed: pip install 'nnlab[table]'" in refused(read, Path("a.parquet"))
