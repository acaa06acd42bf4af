"""CSV files: the same table by pyarrow and by Python's own reader, cell by cell, and as pandas has it."""

import gzip
import random
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas
import pytest

from nnlab.data.table import csv_arrow
from nnlab.data.table.cells import meaning
from nnlab.data.table.read_csv import CsvOptions, read_csv

ENGINES = ("pyarrow", "python")


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    return request.param


def write(folder, content, name="house.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def described(table):
    """All that a table holds, as plain values that can be compared."""
    cells = {
        name: (column.stored, str(column.values.dtype), tuple(column.texts), [str(value) for value in column.values])
        for name, column in table.columns.items()
    }
    return cells, table.num_rows, None if table.lines is None else list(table.lines), table.notes


NAN = float("nan")
#: what -> content, options, {column: (stored, cells as Python has them)}, lines of the rows, parts of the notes
FILES = {
    "numbers": ("a,b\n1,2.5\n-3,+1e3\n", {}, {"a": ("number", [1, -3]), "b": ("number", [2.5, 1000])}, [2, 3], []),
    "missing in any case": (
        "a,b\nNA,x\nn/a,NULL\n#N/A,none\nNaN,y\n,\n-nan,x\n7,x\n", {},
        {"a": ("number", [NAN] * 6 + [7]), "b": ("text", ["x", "", "", "y", "", "x", "x"])},
        range(2, 9), [],
    ),
    "booleans": (
        "a,b,c\ntrue,t,yes\nFALSE,f,no\n,t,\n", {},
        {"a": ("boolean", [1, 0, NAN]), "b": ("text", ["t", "f", "t"]), "c": ("text", ["yes", "no", ""])},
        [2, 3, 4], [],
    ),
    "dates": (
        "a,b\n2020-01-31,2020-01-31 10:30\n,2020-02-01T11\n1969-12-31,1900-01-01 00:00:59.25\n", {},
        {
            "a": ("date", ["2020-01-31", "NaT", "1969-12-31"]),
            "b": ("date", ["2020-01-31T10:30", "2020-02-01T11", "1900-01-01T00:00:59.250"]),
        },
        [2, 3, 4], [],
    ),
    "zones": (
        "a,b\n2020-01-01T10:30:59+01:00,1\n2020-01-01T10:30Z,2\n2020-01-01T23:30:00-0230,3\n", {},
        {
            "a": ("date", ["2020-01-01T09:30:59", "2020-01-01T10:30", "2020-01-02T02:00"]),
            "b": ("number", [1, 2, 3]),
        },
        [2, 3, 4], ["zone in a: taken in UTC"],
    ),
    "dates with and without a zone": (
        "a,b\n2020-01-01T10:30Z,1\n2020-01-01,2\n", {},
        {"a": ("text", ["2020-01-01T10:30Z", "2020-01-01"]), "b": ("number", [1, 2])}, [2, 3], [],
    ),
    "no dates": (
        "a,b,c\n2023-02-30,2020-1-1,20200131\n2020-01-01,2020-01-01,20200201\n", {},
        {
            "a": ("text", ["2023-02-30", "2020-01-01"]), "b": ("text", ["2020-1-1", "2020-01-01"]),
            "c": ("number", [20200131, 20200201]),
        },
        [2, 3], [],
    ),
    "nanoseconds are cut off": (
        "a,b\n2020-01-01T10:30:59.123456789,1\n", {},
        {"a": ("date", ["2020-01-01T10:30:59.123456"]), "b": ("number", [1])}, [2], [],
    ),
    "no numbers": (
        "a,b,c\n0x10,1_000,\u0661\n5,6,7\n", {},
        {"a": ("text", ["0x10", "5"]), "b": ("text", ["1_000", "6"]), "c": ("text", ["\u0661", "7"])}, [2, 3],
        ["row 1 (line 2), column a: '0x10' is no number"],
    ),
    "infinities": ("a,b\ninf,-Infinity\n1,1e999\n", {}, {
        "a": ("number", [np.inf, 1]), "b": ("number", [-np.inf, np.inf])}, [2, 3], []),
    "spaces": (
        " a , b\n 1 , red\n NA ,red \n2,  \n", {},
        {"a": ("number", [1, NAN, 2]), "b": ("text", ["red", "red", ""])}, [2, 3, 4], [],
    ),
    "quotes": (
        'a,"b, c"\n"1","x ""y"", z"\n2,5" pipe\n', {},
        {"a": ("number", [1, 2]), "b, c": ("text", ['x "y", z', '5" pipe'])}, [2, 3], [],
    ),
    "newlines in quotes": (
        'a,"b\nc"\n1,"two\nlines"\n2,x\n3,"a\r\nb"\n4,y\n', {},
        {"a": ("number", [1, 2, 3, 4]), "b\nc": ("text", ["two\nlines", "x", "a\r\nb", "y"])}, [4, 5, 7, 8], [],
    ),
    "Windows": (
        "\ufeffa,b\r\n1,x\r\n2,y\r\n\r\n", {}, {"a": ("number", [1, 2]), "b": ("text", ["x", "y"])}, [2, 3], []),
    "old Mac": ("a,b\r1,x\r2,y\r", {}, {"a": ("number", [1, 2]), "b": ("text", ["x", "y"])}, [2, 3], []),
    "no newline at the end": ("a,b\n1,x\n2,y", {}, {"a": ("number", [1, 2]), "b": ("text", ["x", "y"])}, [2, 3], []),
    "empty lines": (
        "\n\na,b\n1,x\n\n\n2,y\n\n3,z\n\n\n", {},
        {"a": ("number", [1, 2, 3]), "b": ("text", ["x", "y", "z"])}, [4, 7, 9],
        ["3 empty lines, the first of them line 5: passed over"],
    ),
    "one column": ("a\n1\n\n2\n\n\n", {}, {"a": ("number", [1, NAN, 2])}, [2, 3, 4], []),
    "semicolons and decimal commas": (
        "a;b;c;d\n3,14;1.5;1,5;2\n2;2;x;3\n-1,0e2;;1.5;4\n", {},
        {
            "a": ("number", [3.14, 2, -100]), "b": ("number", [1.5, 2, NAN]), "c": ("text", ["1,5", "x", "1.5"]),
            "d": ("number", [2, 3, 4]),
        },
        [2, 3, 4], ["a semicolon between cells, guessed", "decimals behind a comma in a: 1,234 is 1.234 there"],
    ),
    "decimal commas and points in one column": (
        "a;b\n3,14;1\n2.5;2\n", {}, {"a": ("text", ["3,14", "2.5"]), "b": ("number", [1, 2])}, [2, 3], ["semicolon"],
    ),
    "no decimal comma where commas divide": (
        'a,b\n"3,14",1\n"2,5",2\n', {}, {"a": ("text", ["3,14", "2,5"]), "b": ("number", [1, 2])}, [2, 3], [],
    ),
    "tabs": ("a\tb\n1\tx, y\n", {}, {"a": ("number", [1]), "b": ("text", ["x, y"])}, [2], ["a tab between cells"]),
    "bars": ("a|b|c\n1|x|2\n", {}, {"a": ("number", [1]), "b": ("text", ["x"]), "c": ("number", [2])}, [2], ["a bar"]),
    "commas with semicolons in the header": (
        "a;b,c\n1,2\n3,4\n", {}, {"a;b": ("number", [1, 3]), "c": ("number", [2, 4])}, [2, 3], []),
    "a delimiter that is given": (
        "a:b\n1:x;y\n", {"delimiter": ":"}, {"a": ("number", [1]), "b": ("text", ["x;y"])}, [2], []),
    "a tab that is given": (
        "a\tb\n1\t2\n", {"delimiter": "\\t"}, {"a": ("number", [1]), "b": ("number", [2])}, [2], []),
    "a delimiter beyond ASCII": (
        "a§b\n1§x\n", {"delimiter": "§"}, {"a": ("number", [1]), "b": ("text", ["x"])}, [2], []),
    "latin-1": (
        "größe,farbe\n1,grün\n2,weiß\n".encode("latin-1"), {"encoding": "latin-1"},
        {"größe": ("number", [1, 2]), "farbe": ("text", ["grün", "weiß"])}, [2, 3], [],
    ),
    "utf-16": (
        "a,b\n1,Ċ\n2,\"x\ny\"\n".encode("utf-16"), {"encoding": "UTF-16"},
        {"a": ("number", [1, 2]), "b": ("text", ["Ċ", "x\ny"])}, [2, 4], [],
    ),
    "an index of pandas": (
        ",a\n0,1\n1,2\n", {}, {"column 1": ("number", [0, 1]), "a": ("number", [1, 2])}, [2, 3],
        ["no name in the header for column 1", "data.exclude=[column 1]"],
    ),
    "counted columns": (
        "0,1,2\n5,6,7\n", {}, {"0": ("number", [5]), "1": ("number", [6]), "2": ("number", [7])}, [2], []),
    "identifiers": (
        "a,b\n9007199254740993,9007199254740992\n12345678901234567890,1\n", {},
        {"a": ("number", [9007199254740992, 12345678901234567168]), "b": ("number", [9007199254740992, 1])}, [2, 3],
        ["whole numbers beyond 2^53 in a are rounded"],
    ),
    "large measurements": (
        "a,b\n1e300,1\n0.5,2\n", {}, {"a": ("number", [1e300, 0.5]), "b": ("number", [1, 2])}, [2, 3], []),
    "nothing in a column": ("a,b\n,1\nNA,2\n", {}, {"a": ("number", [NAN, NAN]), "b": ("number", [1, 2])}, [2, 3], []),
    "header only": ("a,b\n", {}, {"a": ("number", []), "b": ("number", [])}, [], []),
    "header only, without an end": ("a,b", {}, {"a": ("number", []), "b": ("number", [])}, [], []),
}  # fmt: skip


@pytest.mark.parametrize("what", FILES)
def test_file_is_read_as_it_is_meant(what, engine, tmp_path):
    content, options, expected, lines, notes = FILES[what]
    table = read_csv(write(tmp_path, content), CsvOptions(**options))
    assert {name: column.stored for name, column in table.columns.items()} == {
        name: stored for name, (stored, _) in expected.items()
    }
    for name, (stored, cells) in expected.items():
        column = table.columns[name]
        if stored == "text":
            assert [column.cell(row) for row in range(table.num_rows)] == cells
            assert list(column.texts) == list(dict.fromkeys(cell for cell in cells if cell))
        elif stored == "date":
            np.testing.assert_array_equal(column.values, np.array(cells, "datetime64[us]"))
        else:
            np.testing.assert_array_equal(column.values, np.array(cells, np.float64))
    assert table.lines is not None
    assert list(table.lines) == list(lines)
    for part in notes:
        assert any(part in note for note in table.notes)
    if not notes:
        assert table.notes == ()


#: cells of which columns are made up; the first kinds agree with each other, the others do not
POOLS = {
    "whole": ["1", "-2", "007", " 3", "+4", ""],
    "number": ["1.5", "-2e3", ".5", "5.", "1E+05", "inf", "NaN", "12 "],
    "comma": ["1,5", "3", "-2,25e1", ""],
    "boolean": ["true", "FALSE", "True", "null"],
    "date": ["2020-01-01", "1999-12-31 23:59:59.5", "2020-02-29T10", "n/a"],
    "zoned": ["2020-01-01T10:30:59Z", "2020-01-01 10+05:30", ""],
    "text": ["red", "green ", 'say "x"', "a\nb", "x;y", "1,5", "ü", "None", "12"],
    "odd": ["1", "2.5", "?", "0x1F", "1_000", "-nan(ind)", "2020-01-01", "true", "1,5", "infinity", "1e400"],
}


@pytest.mark.parametrize("seed", range(8))
def test_both_readers_agree_on_files_at_random(seed, tmp_path, monkeypatch):
    """The first thousand rows are of one kind; what comes later may be of any other. Pyarrow's blocks may be small."""
    rng = random.Random(seed)
    monkeypatch.setattr(csv_arrow, "_BLOCK", rng.choice([1024, 1 << 21]))
    num_rows, delimiter = rng.choice([5, 3000]), rng.choice(",;\t|")
    columns = {}
    for number in range(8):
        early, late = rng.choice(list(POOLS)), rng.choice(list(POOLS))
        turn = rng.choice([num_rows, 1500, 1])
        columns[f"c{number}"] = [rng.choice(POOLS[early if row < turn else late]) for row in range(num_rows)]
    frame = pandas.DataFrame(columns)
    end = rng.choice(["\n", "\r\n"])
    path = tmp_path / "a.csv"
    frame.to_csv(path, index=False, sep=delimiter, lineterminator=end)
    found = []
    for name in ENGINES:
        with monkeypatch.context() as patch:
            if name == "python":
                patch.setitem(sys.modules, "pyarrow", None)
            found.append(described(read_csv(path, CsvOptions(delimiter=delimiter))))
    assert found[0] == found[1]


@pytest.mark.parametrize("late", ["x", "2.5", "2020-01-01", "true", "", "?"])
def test_column_that_turns_is_read_anew(late, engine, tmp_path):
    """Pyarrow's blocks hold megabytes: the odd cell stands in another block than the first rows."""
    cells = [str(row) for row in range(60_000)]
    cells[-1] = late
    path = write(tmp_path, "a,b\n" + "".join(f"{cell},{'y' * 50}\n" for cell in cells))
    column = read_csv(path, CsvOptions()).columns["a"]
    if late in ("2.5", ""):
        assert column.stored == "number"
        np.testing.assert_array_equal(column.values, [*range(59_999), float(late or "nan")])
    else:
        assert column.stored == "text"
        assert column.texts[-1] == late
        assert column.cell(12_345) == "12345"


def test_numbers_are_those_that_pandas_wrote(engine, tmp_path):
    random_bits = np.random.default_rng(0).integers(0, 2**64, 4000, np.uint64).view(np.float64)
    frame = pandas.DataFrame({"a": random_bits, "b": np.arange(4000)})
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = read_csv(tmp_path / "a.csv", CsvOptions())
    for name in frame:
        np.testing.assert_array_equal(found.columns[name].values, frame[name].to_numpy(np.float64))


GOOD = "a,b\n1,2\n3,4\n"
#: what is wrong -> content (None: no file; bytes or text), options, parts of the message
BAD = {
    "no file": (None, {}, ["there is no such file"]),
    "empty": ("", {}, ["expected a header with the columns' names, found an empty file"]),
    "empty lines": ("\n\n\n", {}, ["found an empty file"]),
    "a mark and nothing else": ("\ufeff", {}, ["found an empty file"]),
    "too few cells": (GOOD + "5\n", {}, ["row 3 (line 4): expected 2 cells as in the header, found 1"]),
    "too many cells": (GOOD + "5,6,\n", {}, ["row 3 (line 4): expected 2 cells as in the header, found 3"]),
    "ragged behind a newline in quotes": ('a,b\n1,"x\ny"\n\n3\n', {}, ["row 2 (line 5): expected 2 cells"]),
    "spaces alone": (GOOD + "  \n", {}, ["row 3 (line 4): expected 2 cells as in the header, found 1"]),
    "a quote left open": ('a,b\n1,2\n3,"4\n5,6\n', {}, ["line 3: a quote is opened and never closed"]),
    "a quote left open in the last row": ('a,b\n1,2\n3,"4', {}, ["line 3: a quote is opened and never closed"]),
    "a quote left open far below": (GOOD + "5,6\n" * 2000 + '3,"4', {}, ["line 2,004: a quote is opened and never"]),
    "a quote left open in the header": ('a,"b\n1,2\n', {}, ["line 1: a quote is opened and never closed"]),
    "no header": ("1,2.5,7\n3,4,8\n", {}, ["the first line holds numbers (1, 2.5, 7)"]),
    "twice": ("a,b, a\n1,2,3\n", {}, ["column a is there 2 times in the header, as columns 1, 3"]),
    "twice without a name": ("column 2,\n1,2\n", {}, ["column column 2 is there 2 times"]),
    "other delimiter": (
        GOOD, {"delimiter": ";"}, ["a single column, 'a,b', which has a comma in it", "data.delimiter"],
    ),
    "long delimiter": (GOOD, {"delimiter": ", "}, ["data.delimiter: expected one character", "', '"]),
    "a quote for a delimiter": (GOOD, {"delimiter": '"'}, ["data.delimiter"]),
    "unknown encoding": (GOOD, {"encoding": "utf8000"}, ["data.encoding: expected the name", "'utf8000'"]),
    "no encoding of text": (GOOD, {"encoding": "base64"}, ["data.encoding: expected the name"]),
    "wrong encoding": (
        GOOD.encode() + b"caf\xe9,1\n", {},
        ["line 4: 0xe9, byte 16 of the file, is not utf-8", "data.encoding", "latin-1"],
    ),
    "wrong encoding of the header": (b"caf\xe9,b\n1,2\n", {}, ["line 1: 0xe9, byte 4 of the file"]),
    "wrong encoding far below": (GOOD.encode() + b"x,y\n" * 50_000 + b"x,\xff\n", {}, ["line 50,004: 0xff"]),
    "beyond ASCII": (b"a,b\nx,\xc3\xa9\n", {"encoding": "ascii"}, ["line 2: 0xc3, byte 7 of the file, is not ascii"]),
    "UTF-16 unasked": (GOOD.encode("utf-16"), {}, ["found a mark of UTF-16: data.encoding=utf-16"]),
    "gzip": (gzip.compress(GOOD.encode()), {}, ["it is compressed; unpack it first: gunzip"]),
    "workbook": (b"PK\x03\x04...", {}, ["it is a ZIP archive or a workbook", "save the sheet as CSV"]),
    "Parquet": (b"PAR1...", {}, ["it is a Parquet file: data=parquet"]),
    "a cell without end": ("a,b\n1," + "x" * 200_000 + "\n", {}, ["line 2: field larger than field limit"]),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_wrong_file_is_refused_in_one_line(what, engine, tmp_path):
    content, options, parts = BAD[what]
    path = tmp_path / "house.csv"
    if content is not None:
        write(tmp_path, content)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the parts are looked for below
        read_csv(path, CsvOptions(**options))
    message = str(caught.value)
    for part in parts:
        assert part in message
    assert "\n" not in message
    assert "house.csv" in message or message.startswith("data.")


def test_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a CSV file, found a folder"):
        read_csv(tmp_path, CsvOptions())


def test_file_that_ends_in_gz_but_is_text_is_read(engine, tmp_path):
    assert read_csv(write(tmp_path, GOOD, "a.csv.gz"), CsvOptions()).num_rows == 2


def test_large_file_without_pyarrow_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("nnlab.data.table.read_csv._SLOW", 5)
    path = write(tmp_path, GOOD)
    assert read_csv(path, CsvOptions()).notes == ()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (note,) = read_csv(path, CsvOptions()).notes
    assert "read without pyarrow, slowly: pip install 'nnlab[table]'" in note


def test_newlines_in_quotes_may_stand_at_the_end_of_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_arrow, "_BLOCK", 128)
    monkeypatch.setattr("nnlab.data.table.read_csv.read_plain", None)
    texts = [f"{row}\n{row}" if row % 3 else str(row) for row in range(500)]
    path = tmp_path / "a.csv"
    pandas.DataFrame({"a": range(500), "b": texts}).to_csv(path, index=False)
    table = read_csv(path, CsvOptions())
    assert [table.columns["b"].cell(row) for row in range(500)] == texts
    assert table.lines is not None
    assert table.lines[-1] == path.read_bytes().count(b"\n")


def test_row_longer_than_a_block_is_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_arrow, "_BLOCK", 64)
    path = write(tmp_path, "a,b\n" + f"1,{'x' * 1000}\n" * 3)
    table = read_csv(path, CsvOptions())
    assert (table.num_rows, table.columns["b"].texts) == (3, ("x" * 1000,))


def test_python_holds_numbers_not_texts(tmp_path, monkeypatch):
    """A number takes 8 bytes, and twice that while blocks are put together; a text would take over 60."""
    rows = np.random.default_rng(0).normal(size=(40_000, 4))
    path = tmp_path / "a.csv"
    pandas.DataFrame(rows, columns=list("abcd")).to_csv(path, index=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("nnlab.data.table.csv_plain._ROWS_AT_ONCE", 1000)
    tracemalloc.start()
    try:
        table = read_csv(path, CsvOptions())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(table.columns["d"].values, rows[:, 3])
    assert peak < 3 * rows.nbytes


@pytest.mark.parametrize(
    ("texts", "written"),
    [
        (["1", "1e5"], "number"),
        (["true", "False"], "boolean"),
        (["0", "true"], "text"),
        (["0000-01-01"], "date"),
        (["2020-01-01T24:00"], "text"),
        (["2020-01-01T10:30:59+24:00"], "text"),
        (["2020-01-01Z"], "text"),
        (["1,5"], "comma"),
        (["1,5", "1,5,5"], "text"),
        ([], "nothing"),
    ],
)
def test_meaning_is_what_all_texts_agree_on(texts, written):
    assert meaning(texts, True).written == written


def test_source_is_the_path_as_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GOOD)
    table = read_csv(Path("house.csv"), CsvOptions())
    assert table.where(1) == "house.csv: row 2 (line 3)"
