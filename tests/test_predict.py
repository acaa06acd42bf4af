"""`nnlab predict`: tables in, tables out; the numbers are those of the run, the rows are the user's."""

import csv
import io
import json
import shutil

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from nnlab.cli import main
from nnlab.manifest import write_manifest
from nnlab.restore import load_run

FEW = ("trainer.threads=1", "logger=[]", "device=cpu", "trainer.max_epochs=4", "model.width=6")
RUNS = {
    "regression": ("data=plane", "data.standardize=true", "data.standardize_target=true", "data.expand=[xy]"),
    "binary": ("data=circle",),
    "iris": ("data=iris", "optim=sgd", "optim.lr=3.0"),  # jumps about: its best epoch is not its last
    "two_targets": ("data=inline", "data.inputs=[1.0,2.0,3.0]", "data.targets=[[1.5,2.0],[2.5,0.5],[3.5,9.0]]"),
}
FLOWERS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    parent = tmp_path_factory.mktemp("runs")
    for name, words in RUNS.items():
        assert main(["train", *FEW, *words, f"hydra.run.dir={parent / name}"]) == 0
    for name, sweep in (("regression", "values"), ("iris", "classes")):
        for number in range(3):
            member = shutil.copytree(parent / name, parent / sweep / f"{number}_seed={number}")
            scale_parameters(member, 1 + number)
    return parent


def scale_parameters(folder, factor):
    """Another member: the same run with other, known last weights."""
    import hashlib

    import safetensors.torch

    pointer = folder / "checkpoints" / "best.json"
    content = json.loads(pointer.read_text())
    name = f"{content['step']}.safetensors"
    file = folder / "checkpoints" / name
    tensors = safetensors.torch.load(file.read_bytes())
    tensors["model.output.weight"] = tensors["model.output.weight"] * factor
    payload = safetensors.torch.save(tensors)
    file.write_bytes(payload)
    content["sha256"][name] = hashlib.sha256(payload).hexdigest()
    pointer.write_text(json.dumps(content))


def write_csv(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read_csv(text):
    header, *rows = csv.reader(io.StringIO(text))
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def rows_of(width, num_rows=7):
    return np.random.default_rng(3).uniform(0.5, 6, (num_rows, width)).astype(np.float32)


@pytest.fixture
def flowers(tmp_path):
    return write_csv(tmp_path / "flowers.csv", FLOWERS, rows_of(4).tolist())


def predict(folder, given, output, *words):
    return main(["predict", str(folder), "--input", str(given), "--output", str(output), *words])


def test_values_are_the_runs_own_in_order(runs, tmp_path):
    rows = rows_of(2)
    given = write_csv(tmp_path / "x.csv", ["x", "y"], rows.tolist())
    assert predict(runs / "regression", given, tmp_path / "y.csv") == 0
    found = read_csv((tmp_path / "y.csv").read_text())
    value = load_run(runs / "regression").predict(torch.from_numpy(rows)).value
    assert list(found) == ["prediction"]
    assert [np.float32(cell) for cell in found["prediction"]] == value[:, 0].tolist()  # to the last bit


def test_several_targets_have_a_column_each(runs, tmp_path):
    given = write_csv(tmp_path / "x.csv", ["x"], [[1.0], [2.5]])
    assert predict(runs / "two_targets", given, tmp_path / "y.csv") == 0
    names = load_run(runs / "two_targets").target_names
    assert list(read_csv((tmp_path / "y.csv").read_text())) == [f"prediction_{name}" for name in names]


@pytest.mark.parametrize(("name", "header"), [("iris", FLOWERS), ("binary", ["x", "y"])])
def test_classes_have_their_names_and_probabilities(runs, tmp_path, name, header):
    rows = rows_of(len(header))
    given = write_csv(tmp_path / "x.csv", header, rows.tolist())
    assert predict(runs / name, given, tmp_path / "y.csv") == 0
    found = read_csv((tmp_path / "y.csv").read_text())
    run = load_run(runs / name)
    expected = run.predict(torch.from_numpy(rows))
    assert list(found) == ["prediction", *(f"probability_{each}" for each in run.class_names)]
    assert found["prediction"] == [run.class_names[code] for code in expected.label]
    columns = np.array([found[f"probability_{each}"] for each in run.class_names], dtype=np.float32).T
    np.testing.assert_array_equal(columns, expected.probability.numpy())
    np.testing.assert_allclose(columns.sum(axis=1), 1, atol=1e-6)


def test_columns_are_matched_by_name_and_others_reported_once(runs, flowers, tmp_path, capsys):
    assert predict(runs / "iris", flowers, tmp_path / "a.csv") == 0
    rows = rows_of(4)
    mixed = [[row[2], "Anna", row[0], "", row[3], row[1]] for row in rows.tolist()]
    header = [f" {FLOWERS[2]}", "who", FLOWERS[0], "remarks", f"{FLOWERS[3]} ", FLOWERS[1]]
    capsys.readouterr()
    assert predict(runs / "iris", write_csv(tmp_path / "b.csv", header, mixed), tmp_path / "c.csv") == 0
    said = capsys.readouterr()
    assert said.err.count("who, remarks: not needed, passed over") == 1
    assert said.out == f"{tmp_path / 'c.csv'}: 7 rows\n"
    assert (tmp_path / "c.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()


def test_parquet_goes_in_and_out(runs, flowers, tmp_path):
    rows = rows_of(4)
    columns = {name: pyarrow.array(rows[:, place]) for place, name in reversed(list(enumerate(FLOWERS)))}
    columns["sample"] = pyarrow.array(list("abcdefg"))
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    assert predict(runs / "iris", tmp_path / "x.parquet", tmp_path / "y.PARQUET") == 0
    assert predict(runs / "iris", flowers, tmp_path / "y.csv") == 0
    found = parquet.read_table(tmp_path / "y.PARQUET").to_pydict()
    expected = read_csv((tmp_path / "y.csv").read_text())
    assert found["prediction"] == expected.pop("prediction")
    for name, cells in expected.items():
        assert [np.float32(cell) for cell in cells] == found[name]


def test_minus_prints_csv_and_nothing_else(runs, flowers, tmp_path, capsys):
    assert predict(runs / "iris", flowers, tmp_path / "y.csv") == 0
    capsys.readouterr()
    assert predict(runs / "iris", flowers, "-") == 0
    assert capsys.readouterr().out == (tmp_path / "y.csv").read_text()


def test_last_parameters_are_used_where_asked_for(runs, flowers, tmp_path, capsys):
    folder = runs / "iris"
    assert predict(folder, flowers, tmp_path / "best.csv") == 0
    assert predict(folder, flowers, tmp_path / "last.csv", "--checkpoint", "last") == 0
    assert (tmp_path / "best.csv").read_bytes() != (tmp_path / "last.csv").read_bytes()


LINE = "5.1,3.5,1.4,0.2\n"
HEADER = ",".join(FLOWERS) + "\n"
WRONG = {
    "empty file": ("", "expected a header with the columns' names, found an empty file"),
    "no rows": (HEADER, "expected rows below the header, found none"),
    "empty lines": (HEADER + "\n\n", "expected rows below the header, found none"),
    "one name wrong": (HEADER.replace("petal length", "petal lenght") + LINE, "missing column: petal length (cm); did"),
    "two missing": (
        "sepal length (cm),petal width (cm)\n1,2\n",
        "missing columns: sepal width (cm), petal length (cm)",
    ),
    "no header": (
        LINE * 2,
        "as many columns as the model needs, but none of their names (the first line holds numbers)",
    ),
    "other names": (
        "a,b,c,d\n" + LINE,
        "has to name them: sepal length (cm), sepal width (cm), petal length (cm), pet",
    ),
    "semicolons": (HEADER.replace(",", ";") + LINE.replace(",", ";"), "columns are separated by commas"),
    "twice": (HEADER.strip() + ",sepal width (cm)\n" + LINE.strip() + ",1\n", "sepal width (cm) is there 2 times"),
    "text": (
        HEADER + LINE + "5.1,wide,1.4,0.2\n",
        "row 2 (line 3), column sepal width (cm): expected a number, found 'wi",
    ),
    "decimal comma": (HEADER + '5.1,"3,5",1.4,0.2\n', "found '3,5'; decimals stand behind a point"),
    "underscore": (HEADER + "5.1,3_5,1.4,0.2\n", "expected a number, found '3_5'"),
    "ragged": (HEADER + LINE + "5.1,3.5\n", "row 2 (line 3): expected 4 cells as in the header, found 2"),
    "empty cells": (HEADER + LINE + "5.1,,1.4,\n", "2 cells without a number, the first in row 2, column sepal width"),
    "nan": (HEADER + "5.1,NaN,1.4,n/a\n", "2 cells without a number, the first in row 1, column sepal width (cm)"),
    "infinite": (HEADER + "5.1,3.5,inf,1\n", "row 1, column petal length (cm): expected a number within the range"),
    "too large": (HEADER + "5.1,3.5,1e39,1\n", "within the range of float32, found 1e+39"),
    "quote": (HEADER + '5.1,"3.5,1.4,1\n', "expected a CSV file in UTF-8"),
    "latin-1": (HEADER.encode() + b"5.1,3.5,1.4,\xe9\n", "expected a CSV file in UTF-8"),
    "zeros": (b"PK\x00\x00" * 10, "x.csv: "),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_table_that_does_not_fit_is_refused_and_nothing_written(runs, tmp_path, capsys, kind):
    content, message = WRONG[kind]
    given = tmp_path / "x.csv"
    given.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "y.csv").write_text("old")
    assert predict(runs / "iris", given, tmp_path / "y.csv") == 2
    said = capsys.readouterr().err
    assert message in said
    assert str(given) in said
    assert (tmp_path / "y.csv").read_text() == "old"


def test_an_empty_line_is_a_missing_number_where_there_is_one_column(runs, tmp_path, capsys):
    (tmp_path / "x.csv").write_text("x\n1\n\n2\n\n")
    assert predict(runs / "two_targets", tmp_path / "x.csv", "-") == 2
    assert "1 cell without a number, the first in row 2, column x" in capsys.readouterr().err


def test_what_spreadsheets_write_is_read(runs, flowers, tmp_path):
    """A byte-order mark, Windows line ends, quotes, spaces, an empty last line."""
    assert predict(runs / "iris", flowers, tmp_path / "a.csv") == 0
    cells = [[f' "{value}"' if place else str(value) for place, value in enumerate(row)] for row in rows_of(4).tolist()]
    lines = [",".join(f'"{name}"' for name in FLOWERS), *(",".join(row).replace(' "', '"') for row in cells), ""]
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, ""]).encode())
    assert predict(runs / "iris", tmp_path / "b.csv", tmp_path / "c.csv") == 0
    assert (tmp_path / "c.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()


PARQUETS = {
    "text": ({"x": ["1", "2"]}, "column x: expected numbers, found string"),
    "null": ({"x": [1.0, None]}, "1 cell without a number, the first in row 2, column x"),
    "nan": ({"x": [float("nan"), 1.0]}, "1 cell without a number, the first in row 1, column x"),
    "missing": ({"X": [1.0]}, "its columns are X"),
    "no rows": ({"x": pyarrow.array([], pyarrow.float64())}, "expected rows below the header, found none"),
}


@pytest.mark.parametrize("kind", PARQUETS)
def test_a_parquet_file_that_does_not_fit_is_refused(runs, tmp_path, capsys, kind):
    columns, message = PARQUETS[kind]
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    assert predict(runs / "two_targets", tmp_path / "x.parquet", "-") == 2
    assert message in capsys.readouterr().err


def test_parquet_holds_whole_numbers_and_dictionaries_of_numbers(runs, tmp_path, capsys):
    whole = pyarrow.array([1, 2, 1], pyarrow.int32())
    for column in (whole, whole.cast(pyarrow.float64()).dictionary_encode()):
        parquet.write_table(pyarrow.table({"x": column}), tmp_path / "x.parquet")
        assert predict(runs / "two_targets", tmp_path / "x.parquet", "-") == 0
        one, two, again = capsys.readouterr().out.splitlines()[1:]
        assert one == again != two


def test_without_pyarrow_parquet_names_what_to_install(runs, flowers, tmp_path, capsys, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pyarrow" else real(name, *rest)
    )
    assert predict(runs / "iris", flowers, tmp_path / "y.parquet") == 2
    assert "pip install 'nnlab[table]'" in capsys.readouterr().err
    assert predict(runs / "iris", flowers, tmp_path / "y.csv") == 0


def test_places_that_are_none_are_refused_before_any_work(runs, flowers, tmp_path, capsys):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to(flowers)
    for given, output, message in (
        (flowers, tmp_path / "y.txt", "--output: expected a file that ends in .csv or .parquet"),
        (flowers, "/dev/null", "--output: expected a file that ends in .csv or .parquet"),
        (flowers, tmp_path / "no" / "y.csv", "--output: there is no folder"),
        (flowers, tmp_path / "folder.csv", "is no file; - is standard output"),
        (flowers, flowers, "is the input; choose another file"),
        (flowers, tmp_path / "link.csv", "is the input; choose another file"),
        (tmp_path / "none.csv", "-", "none.csv: there is no such file"),
        (tmp_path / "folder.csv", "-", "there is no such file"),
        ("rows.xlsx", "-", "--input: expected a file that ends in .csv or .parquet, found rows.xlsx"),
    ):
        assert predict(runs / "iris", given, output) == 2
        assert message in capsys.readouterr().err
    assert main(["predict", str(runs / "iris")]) == 2
    said = capsys.readouterr().err
    assert "--input is missing" in said
    assert "--output is missing" in said


def test_an_output_that_exists_is_replaced_whole_and_behind_its_link(runs, flowers, tmp_path):
    (tmp_path / "real.csv").write_text("old" * 1000)
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert predict(runs / "iris", flowers, tmp_path / "link.csv") == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("prediction,")
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_names_like_formulas_are_guarded_in_csv_and_said(runs, flowers, tmp_path, capsys):
    folder = shutil.copytree(runs / "iris", tmp_path / "run")
    names = ["=HYPERLINK(evil)", "-1", "plain"]
    record = json.loads((folder / "run.json").read_text())
    record["data"]["class_names"] = names
    (folder / "run.json").write_text(json.dumps(record))
    write_manifest(folder)
    assert predict(folder, flowers, tmp_path / "y.csv") == 0
    found = read_csv((tmp_path / "y.csv").read_text())
    guarded = {"'=HYPERLINK(evil)", "'-1", "plain"}
    assert set(found["prediction"]) <= guarded
    assert set(found["prediction"]) & {"'=HYPERLINK(evil)", "'-1"}
    assert "as a formula does (= + - @ or a tab) and stands behind an apostrophe" in capsys.readouterr().err
    assert list(found) == ["prediction", *(f"probability_{name}" for name in names)]
    assert predict(folder, flowers, tmp_path / "y.parquet") == 0
    assert set(parquet.read_table(tmp_path / "y.parquet").to_pydict()["prediction"]) <= set(names)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_every_start_of_a_formula_is_guarded(tmp_path, start):
    from nnlab.table import write_table

    names = [f"{start}1", "a", f"a{start}1"]
    notes = write_table(str(tmp_path / "y.csv"), {f"{start}c": names, "n": np.array([-1.5, 2, 3])})
    with open(tmp_path / "y.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [f"'{start}c", "n"]
    assert rows == [[f"'{start}1", "-1.5"], ["a", "2.0"], [f"a{start}1", "3.0"]]  # numbers are no formulas
    assert "2 names begin" in notes[0]


def members(folder):
    return sorted(folder.glob("[0-9]*_*"))


def test_mean_of_values_and_their_standard_deviation(runs, tmp_path, capsys):
    rows = rows_of(2)
    given = write_csv(tmp_path / "x.csv", ["x", "y"], rows.tolist())
    assert predict(runs / "values", given, tmp_path / "y.csv", "--mean") == 0
    assert "note: the mean of 3 members" in capsys.readouterr().err
    found = read_csv((tmp_path / "y.csv").read_text())
    each = []
    for member in members(runs / "values"):
        assert predict(member, given, "-") == 0
        each.append(np.array(read_csv(capsys.readouterr().out)["prediction"], dtype=np.float64))
    assert list(found) == ["prediction", "std"]
    np.testing.assert_allclose(np.array(found["prediction"], float), np.mean(each, axis=0), rtol=1e-6)
    np.testing.assert_allclose(np.array(found["std"], float), np.std(each, axis=0, ddof=1), rtol=1e-4, atol=1e-7)


def test_mean_of_probabilities_and_the_class_of_the_largest(runs, flowers, tmp_path, capsys):
    assert predict(runs / "classes", flowers, tmp_path / "y.csv", "--mean") == 0
    found = read_csv((tmp_path / "y.csv").read_text())
    names = load_run(runs / "iris").class_names
    each = []
    for member in members(runs / "classes"):
        each.append(load_run(member).predict(torch.from_numpy(rows_of(4))).probability.numpy().astype(np.float64))
    mean, std = np.mean(each, axis=0), np.std(each, axis=0, ddof=1)
    assert std.max() > 0.01  # else the members are all the same
    for code, name in enumerate(names):
        np.testing.assert_allclose(np.array(found[f"probability_{name}"], float), mean[:, code], rtol=1e-6)
        np.testing.assert_allclose(np.array(found[f"std_{name}"], float), std[:, code], rtol=1e-5)
    assert found["prediction"] == [names[code] for code in mean.argmax(axis=1)]


def test_members_that_failed_are_left_out_and_named(runs, flowers, tmp_path, capsys):
    sweep = shutil.copytree(runs / "classes", tmp_path / "sweep")
    shutil.copytree(sweep / "0_seed=0", sweep / "3_seed=3")
    for number, status in ((1, "failed"), (3, "running")):
        (member,) = sweep.glob(f"{number}_*")
        result = json.loads((member / "result.json").read_text()) | {"status": status}
        (member / "result.json").write_text(json.dumps(result))
    (sweep / "4_bad").mkdir()
    (sweep / "4_bad" / "result.json").write_text('{"status": "failed"}')
    (sweep / "aggregate").mkdir()
    assert predict(sweep, flowers, "-", "--mean") == 0
    said = capsys.readouterr().err
    for line in (
        "left out: 1_seed=1, which is failed",
        "left out: 3_seed=3, which is running",
        "left out: 4_bad, which is failed",
        "the mean of 2 members",
    ):
        assert f"note: {line}\n" in said
    (member,) = sweep.glob("2_*")
    shutil.rmtree(member)
    assert predict(sweep, flowers, "-", "--mean") == 2
    assert "--mean needs two finished members, found 1" in capsys.readouterr().err


def test_members_that_differ_are_refused_by_name(runs, flowers, tmp_path, capsys):
    sweep = shutil.copytree(runs / "classes", tmp_path / "sweep")
    shutil.copytree(runs / "binary", sweep / "3_data=circle")
    assert predict(sweep, flowers, "-", "--mean") == 2
    assert "the members differ in their inputs: 3_data=circle has x, y, 0_seed=0 has sepal" in capsys.readouterr().err
    shutil.rmtree(sweep / "3_data=circle")
    record = json.loads((sweep / "1_seed=1" / "run.json").read_text())
    record["data"]["class_names"].reverse()
    (sweep / "1_seed=1" / "run.json").write_text(json.dumps(record))
    write_manifest(sweep / "1_seed=1")
    assert predict(sweep, flowers, "-", "--mean") == 2
    assert "differ in their classes: 1_seed=1 has virginica, versicolor, setosa" in capsys.readouterr().err


def test_a_sweep_wants_mean_and_a_run_does_not(runs, flowers, capsys):
    assert predict(runs / "classes", flowers, "-") == 2
    assert "is a sweep of 3 members; choose one of them, such as" in capsys.readouterr().err
    assert predict(runs / "iris", flowers, "-", "--mean") == 2
    assert "--mean is for the folder of a sweep" in capsys.readouterr().err


def test_rows_far_from_the_training_that_overflow_are_noted(runs, tmp_path, capsys):
    given = write_csv(tmp_path / "x.csv", ["x", "y"], [[1.0, 1.0], [3e38, 3e38]])
    assert predict(runs / "regression", given, tmp_path / "y.csv") == 0
    assert "prediction is no finite number in row 2: the row is far from" in capsys.readouterr().err
