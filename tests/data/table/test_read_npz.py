"""NumPy arrays in one file, against what was put into them."""

import io
import zipfile

import numpy as np
import pytest

from nnlab.data.table.read_npz import read_npz

NAN = float("nan")


def save(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def refused(path):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the callers look at the words
        read_npz(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_inputs_and_target_are_columns_the_target_last(tmp_path):
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    table = read_npz(save(tmp_path, y=np.arange(5), X=np.asfortranarray(inputs)))
    assert list(table.columns) == ["X_1", "X_2", "X_3", "y"]
    assert (table.num_rows, table.lines, table.notes, table.source) == (5, None, (), str(tmp_path / "a.npz"))
    for place in range(3):
        column = table.columns[f"X_{place + 1}"]
        assert (column.stored, column.values.dtype) == ("number", np.float64)
        assert column.values.flags.c_contiguous
        np.testing.assert_array_equal(column.values, inputs[:, place])
    np.testing.assert_array_equal(table.columns["y"].values, np.arange(5))


#: array -> as what it is kept, the expected cells
KINDS = {
    "boolean": (np.array([True, False]), "boolean", [1, 0]),
    "float16": (np.array([0.5, NAN], np.float16), "number", [0.5, NAN]),
    "uint8": (np.array([[255], [0]], np.uint8), "number", [255, 0]),
    "other byte order": (np.array([1, 2], ">i4"), "number", [1, 2]),
    "days": (np.array(["2020-01-31", "NaT"], "datetime64[D]"), "date", ["2020-01-31", "NaT"]),
    "texts": (np.array(["red ", ""]), "text", ["red", ""]),
    "bytes": (np.array([b"b\xe9", b"a"]), "text", ["bé", "a"]),
}


@pytest.mark.parametrize("what", KINDS)
def test_cells_are_those_that_were_saved(what, tmp_path):
    array, stored, expected = KINDS[what]
    column = read_npz(save(tmp_path, x=array)).columns["x"]
    assert column.stored == stored
    if stored == "text":
        assert [column.cell(row) for row in range(2)] == expected
    else:
        dtype = "datetime64[us]" if stored == "date" else np.float64
        assert column.values.dtype == dtype
        np.testing.assert_array_equal(column.values, np.array(expected, dtype))


def test_texts_are_in_the_order_of_the_rows(tmp_path):
    column = read_npz(save(tmp_path, x=np.array(["c", "a", "c", "b"]))).columns["x"]
    assert (column.texts, column.values.tolist()) == (("c", "a", "b"), [0, 1, 0, 2])


#: what is wrong -> arrays, parts of the message
BAD = {
    "objects": ({"X": np.array([{}, []], object)}, "X holds Python objects, which may run any code"),
    "other lengths": ({"x_train": np.zeros((9, 2)), "x_test": np.zeros((3, 2))}, "found 9 in x_train and 3 in x_test"),
    "images": ({"X": np.zeros((2, 3, 4))}, "X: expected rows, or rows and columns, found shape (2, 3, 4)"),
    "a single number": ({"X": np.array(1.0)}, "X: expected rows, or rows and columns, found shape ()"),
    "complex": ({"X": np.zeros(2, complex)}, "X: expected numbers, booleans, dates or texts, found complex128"),
    "fields": ({"X": np.zeros(2, "i4,f8")}, "X: expected numbers, booleans, dates or texts"),
    "one name twice": ({"X": np.zeros((2, 2)), "X_1": np.zeros(2)}, "two columns would be called X_1"),
    "nothing": ({}, "expected arrays, found none"),
}


@pytest.mark.parametrize("what", BAD)
def test_arrays_that_are_no_table_are_refused(what, tmp_path):
    arrays, words = BAD[what]
    assert words in refused(save(tmp_path, **arrays))


def header_of(shape, dtype="<f8"):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": dtype, "fortran_order": False, "shape": shape})
    return content.getvalue()


def test_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    """Zeros: a gigabyte of them is a megabyte in the file. The machine is said to be smaller than it is."""
    monkeypatch.setattr("nnlab.data.table.read_npz._memory", lambda: 50_000_000)
    monkeypatch.setattr(np, "load", None)
    np.savez_compressed(tmp_path / "a.npz", X=np.zeros((1000, 5000)))
    assert (tmp_path / "a.npz").stat().st_size < 100_000
    assert "needs 0.1 GB of memory; this machine has 0.1 GB" in refused(tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(10**15, 10**3), (1000, 1)])
def test_header_that_promises_more_than_is_there_is_refused(shape, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("X.npy", header_of(shape) + bytes(80))
    assert "X is damaged: of" in refused(tmp_path / "a.npz")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    assert refused(path).endswith("there is no such file")
    for content in (b"", b"a,b\n1,2\n", b"\x93NUMPY" + bytes(100)):
        path.write_bytes(content)
        assert "expected an unharmed .npz file, as numpy.savez writes it" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "expected nothing but arrays, found readme.txt" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", "hello")
    assert "X is no array" in refused(path)


@pytest.mark.parametrize("save_it", [np.savez, np.savez_compressed])
def test_damaged_file_is_refused_in_one_line(save_it, tmp_path):
    path = tmp_path / "a.npz"
    save_it(path, X=np.random.default_rng(0).normal(size=(50, 3)), y=np.arange(50))
    messages = []
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            content[place] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        try:
            read_npz(path)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all("a.npz" in message and "\n" not in message for message in messages)
