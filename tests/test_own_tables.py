"""Tables of one's own, end to end: from a file to a trained, evaluated, predicting, exported run; and bad tables."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from pyarrow import parquet

from nnlab.cli import main
from nnlab.restore import load_run

FEW = ("trainer.threads=1", "logger=[]", "figures=[]", "device=cpu", "trainer.max_epochs=3", "model.width=6")
COLOURS = ["red", "blue", "green"]


def flats(num_rows, seed=0):
    """Numbers, a category, a boolean, a date; some cells of each are empty."""
    rng = np.random.default_rng(seed)
    frame = pandas.DataFrame(
        {
            "id": [f"flat {row}" for row in range(num_rows)],
            "area": rng.normal(70, 20, num_rows).round(1),
            "colour": rng.choice(COLOURS, num_rows),
            "lift": rng.choice(["true", "false"], num_rows),
            "sold": [str(np.datetime64("2020-03-01") + int(day)) for day in rng.integers(0, 900, num_rows)],
        }
    )
    frame["price"] = (frame["area"] * 3 + (frame["colour"] == "red") * 40 + rng.normal(0, 5, num_rows)).round(2)
    frame["price"] += np.arange(num_rows) * 3e-5  # different in every row
    for place, name in enumerate(["area", "colour", "lift", "sold"]):
        frame.loc[rng.random(num_rows) < 0.02 * (1 + place), name] = None
    return frame


WORDS = ("data=csv", "data.target=price", "data.exclude=[id]", "data.missing=impute", "data.standardize_target=true")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    flats(200).to_csv(folder / "flats.csv", index=False)
    assert main(["train", *FEW, *WORDS, f"data.path={folder / 'flats.csv'}", f"hydra.run.dir={folder / 'run'}"]) == 0
    return folder


def expected_inputs(frame, train):
    """The encoding by pandas: medians and most frequent values of the training rows, one-hot, days since the first."""
    known = frame.loc[train]
    days = pandas.to_datetime(frame["sold"])
    first = days[train].min()
    numbers = (days - first).dt.total_seconds() / 86400
    lift = frame["lift"].map({"true": 1.0, "false": 0.0})
    colour = frame["colour"].fillna(known["colour"].value_counts().index[0])
    columns = [
        frame["area"].fillna(known["area"].median()),
        *(1.0 * (colour == name) for name in sorted(COLOURS)),
        lift.fillna(lift[train].mode()[0]),
        numbers.fillna(numbers[train].median()),
    ]
    return np.stack([column.to_numpy(np.float64) for column in columns], axis=1)


def training_rows(home):
    """Which rows of the file the run was trained on: found by their price, which is different in each."""
    from nnlab.evaluate import make_data

    run = load_run(home / "run")
    prices = make_data(run).train.target[:, 0].numpy()
    return np.isin(flats(200)["price"].to_numpy(np.float32), prices)


def test_run_holds_the_encoding_of_its_training_rows(home):
    train = training_rows(home)
    assert train.sum() == 120
    frame = flats(200)
    table = json.loads((home / "run" / "preprocessing.json").read_text())["table"]
    by_name = {column["name"]: column for column in table["columns"]}
    assert list(by_name) == ["area", "colour", "lift", "sold"]
    assert by_name["area"]["fill"] == pytest.approx(frame.loc[train, "area"].median())
    assert by_name["colour"]["categories"] == sorted(COLOURS)
    assert by_name["sold"]["first"].startswith(frame.loc[train, "sold"].dropna().min())
    assert (table["missing"], table["target"]["task"]) == ("impute", "regression")


def training_prices(*words):
    from nnlab.arguments import Arguments
    from nnlab.command import resolved_config
    from nnlab.rows import build_data

    config, _ = resolved_config(Arguments(list(words)))
    return build_data(config)[0].train.target[:, 0].numpy()


def read(text):
    header, *rows = csv.reader(io.StringIO(text))
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predict_encodes_raw_rows_as_the_run_has_learnt(home, tmp_path, capsys, ending):
    new = flats(30, seed=5)
    columns = ["sold", "price", "lift", "colour", "area"]  # in another order, with one that is not needed
    path = tmp_path / f"new.{ending}"
    if ending == "csv":
        new[columns].to_csv(path, index=False)
    else:
        table = pyarrow.table(
            {
                "sold": pyarrow.array(pandas.to_datetime(new["sold"]).dt.date, pyarrow.date32()),
                "price": pyarrow.array(new["price"]),
                "lift": pyarrow.array(new["lift"].map({"true": True, "false": False}), pyarrow.bool_()),
                "colour": pyarrow.array(new["colour"]).dictionary_encode(),
                "area": pyarrow.array(new["area"], from_pandas=True),
            }
        )
        parquet.write_table(table, path)
    capsys.readouterr()
    assert main(["predict", str(home / "run"), "--input", str(path), "--output", "-"]) == 0
    said = capsys.readouterr()
    both = pandas.concat([flats(200), new], ignore_index=True)
    inputs = expected_inputs(both, np.append(training_rows(home), np.zeros(30, bool)))[200:]
    expected = load_run(home / "run").predict(torch.from_numpy(inputs).float()).value[:, 0]
    np.testing.assert_allclose(np.array(read(said.out)["prediction"], float), expected.numpy(), rtol=1e-5)
    num_empty = int(new["colour"].isna().sum())
    assert num_empty > 0
    assert re.search(rf"{num_empty} empty cells? of colour filled in", said.err)
    assert "price: not needed, passed over" in said.err


def test_predict_says_unseen_categories(home, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("area,colour,lift,sold\n50,purple,true,2021-01-01\n60,red,false,2021-01-02\n")
    assert main(["predict", str(home / "run"), "--input", str(tmp_path / "new.csv"), "--output", "-"]) == 0
    said = capsys.readouterr()
    assert "1 cell of colour with a category that no training row has ('purple')" in said.err
    assert len(read(said.out)["prediction"]) == 2


def test_predict_without_a_column_names_it(home, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("area,color,lift,sold\n50,red,true,2021-01-01\n")
    assert main(["predict", str(home / "run"), "--input", str(tmp_path / "new.csv"), "--output", "-"]) == 2
    assert "missing column: colour; did you mean color?" in capsys.readouterr().err


def test_evaluate_without_words_repeats_the_test_split(home, capsys):
    assert main(["evaluate", str(home / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["rows"], found["notes"]) == ("test", 40, [])
    result = json.loads((home / "run" / "result.json").read_text())
    assert found["metrics"]["loss"] == pytest.approx(result["test"]["loss"], rel=1e-6)


def test_evaluate_of_another_file_uses_the_runs_encoding(home, tmp_path, capsys):
    """The other file alone would be encoded otherwise: it has a median, a first date and categories of its own."""
    new = flats(50, seed=9)
    new["area"] += 200
    new.loc[0, "colour"] = "purple"
    new.to_csv(tmp_path / "other.csv", index=False)
    assert main(["evaluate", str(home / "run"), f"data.path={tmp_path / 'other.csv'}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["rows"]) == ("all", 50)
    assert any("purple" in note for note in found["notes"])
    assert not any("standardize_target" in note or "split" in note for note in found["notes"])
    both = pandas.concat([flats(200), new], ignore_index=True)
    inputs = expected_inputs(both, np.append(training_rows(home), np.zeros(50, bool)))[200:]
    run = load_run(home / "run")
    value = run.predict(torch.from_numpy(inputs).float()).value[:, 0].numpy()
    std = json.loads((home / "run" / "preprocessing.json").read_text())["target"]["std"][0]
    # The loss is the one trained on: of the standardized target.
    expected = np.mean((value - new["price"].to_numpy()) ** 2) / std**2
    assert found["metrics"]["loss"] == pytest.approx(expected, rel=1e-4)


def test_evaluate_of_another_file_splits_it_if_told_to(home, tmp_path, capsys):
    flats(50, seed=9).to_csv(tmp_path / "other.csv", index=False)
    other = f"data.path={tmp_path / 'other.csv'}"
    assert main(["evaluate", str(home / "run"), other, "data.split=random", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["rows"]) == ("test", 10)
    assert main(["evaluate", str(home / "run"), other, "--split", "valid"]) == 2
    assert "another file is evaluated whole" in capsys.readouterr().err


def test_evaluate_of_a_file_without_the_target_names_it(home, tmp_path, capsys):
    flats(50, seed=9).drop(columns="price").to_csv(tmp_path / "other.csv", index=False)
    assert main(["evaluate", str(home / "run"), f"data.path={tmp_path / 'other.csv'}"]) == 2
    assert "the target price is missing" in capsys.readouterr().err


def test_export_writes_the_encoding_beside_the_model(home, tmp_path, capsys):
    assert main(["export", str(home / "run"), "--format", "torch_export", "--output", str(tmp_path)]) == 0
    assert "it takes 6 encoded columns, not the 4 raw ones" in capsys.readouterr().out
    card = json.loads((tmp_path / "model.pt2.json").read_text())
    assert card["table"] == json.loads((home / "run" / "preprocessing.json").read_text())["table"]
    assert card["inputs"][0]["columns"] == ["area", *(f"colour={name}" for name in sorted(COLOURS)), "lift", "sold"]


def test_export_works_where_the_table_is_gone(home, tmp_path, capsys):
    (home / "flats.csv").rename(home / "moved.csv")
    try:
        assert main(["export", str(home / "run"), "--format", "torch_export", "--output", str(tmp_path)]) == 0
    finally:
        (home / "moved.csv").rename(home / "flats.csv")
    said = capsys.readouterr().out
    assert "rows made up from the training rows' mean and spread" in said
    assert "note: the run's table cannot be had" in said


def test_header_and_result_say_what_was_made_of_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flats(60).to_csv("flats.csv", index=False)
    assert main(["train", *FEW, *WORDS, "data.path=flats.csv", "hydra.run.dir=run"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^colour +category +\d+ +(red|blue|green) +3 .* 3 x 0 or 1$", printed, re.MULTILINE)
    notes = json.loads(Path("run/result.json").read_text())["notes"]
    assert any("target price: regression" in note for note in notes)
    for note in notes:
        assert printed.count(f"note: {note}\n") == 1


def test_data_page_shows_raw_columns_and_draws_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = flats(200)
    frame.to_csv("flats.csv", index=False)
    assert main(["data", *WORDS, "data.path=flats.csv", "--figure", "a.png"]) == 0
    page = capsys.readouterr().out
    header = "training inputs|kind|empty|filled with|different|min|mean|std|max|commonest|the model gets"
    assert re.search(rf"^{' +'.join(map(re.escape, header.split('|')))}$", page, re.MULTILINE)
    day = r"20\d\d-\d\d-\d\d"
    assert re.search(rf"^sold +date +\d+ +{day} +\d+ +{day} +{day} +days since {day}$", page, re.MULTILINE)
    train = frame[np.isin(frame["price"].to_numpy(np.float32), training_prices(*WORDS, "data.path=flats.csv"))]
    lift = train["lift"].fillna("false").value_counts()
    wanted = f"lift boolean {train['lift'].isna().sum()} false 2 true {lift['true']}, false {lift['false']} 0 or 1"
    assert wanted in [" ".join(line.split()) for line in page.splitlines()]
    assert page.rstrip().endswith("figure   a.png")
    assert main(["data", *WORDS, "data.path=flats.csv", "--figure", "a.svg"]) == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert Path("a.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("figure", "message"),
    [("a.pdf", "expected a file that ends in .png or .svg"), ("nowhere/a.png", "there is no folder nowhere")],
)
def test_wrong_figure_is_refused_before_the_data_are_read(figure, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "data=rings", "--figure", figure]) == 2
    assert message in capsys.readouterr().err


def test_mean_over_members_encodes_rows_for_each(tmp_path, monkeypatch, capsys):
    """Members with other splits have learnt other medians, so that an empty cell becomes another number in each."""
    monkeypatch.chdir(tmp_path)
    flats(100).to_csv("flats.csv", index=False)
    for seed in (0, 1):
        words = [*WORDS, "data.path=flats.csv", f"data.seed={seed}", f"hydra.run.dir=sweep/{seed}_member"]
        assert main(["train", *FEW, *words]) == 0
    Path("new.csv").write_text("area,colour,lift,sold\n,red,true,2021-01-01\n60,,false,2021-01-02\n")
    each = []
    capsys.readouterr()
    for seed in (0, 1):
        assert main(["predict", f"sweep/{seed}_member", "--input", "new.csv", "--output", "-"]) == 0
        each.append(np.array(read(capsys.readouterr().out)["prediction"], float))
    fills = [json.loads(Path(f"sweep/{s}_member/preprocessing.json").read_text())["table"] for s in (0, 1)]
    assert fills[0]["columns"][0]["fill"] != fills[1]["columns"][0]["fill"]
    assert main(["predict", "sweep", "--mean", "--input", "new.csv", "--output", "-"]) == 0
    found = np.array(read(capsys.readouterr().out)["prediction"], float)
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-5)


def test_rows_with_empty_cells_have_an_empty_prediction_under_drop(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = flats(100)
    frame["grade"] = np.where(frame["price"] > 220, "dear", "cheap")
    frame.drop(columns="price").to_csv("flats.csv", index=False)
    words = ["data=csv", "data.path=flats.csv", "data.target=grade", "data.exclude=[id]", "data.missing=drop"]
    assert main(["train", *FEW, *words, "hydra.run.dir=run"]) == 0
    Path("new.csv").write_text("area,colour,lift,sold\n,red,true,2021-01-01\n60,red,false,2021-01-02\n")
    capsys.readouterr()
    assert main(["predict", "run", "--input", "new.csv", "--output", "-"]) == 0
    said = capsys.readouterr()
    rows = read(said.out)
    assert rows["prediction"][0] == ""
    assert rows["prediction"][1] in ("cheap", "dear")
    assert rows["probability_dear"][0] == "nan"
    assert "1 row with empty cells: the prediction is empty too" in said.err


GOOD = "area,rooms,colour,price\n" + "".join(
    f"{30 + row},{1 + row % 4},{COLOURS[row % 3]},{100.5 + row}\n" for row in range(40)
)


def changed(line, text):
    """The good file with another line, counted as in the file."""
    lines = GOOD.splitlines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


def column(name, value):
    """The good file with another column of the same value in each row, or of a function of the row."""
    header, *lines = GOOD.splitlines()
    cells = [value(row) if callable(value) else value for row in range(len(lines))]
    return "\n".join([f"{header},{name}", *(f"{line},{cell}" for line, cell in zip(lines, cells, strict=True))]) + "\n"


#: what is wrong -> the file's content (None for no file), further words, parts of the message
BAD = {
    "missing file": (None, [], ["house.csv"]),
    "wrong delimiter": (GOOD, ["data.delimiter=';'"], ["house.csv"]),
    "ragged rows": (changed(4, "32,3"), [], ["house.csv", "line 4"]),
    "absent target": (GOOD, ["data.target=prize"], ["prize", "did you mean price?"]),
    "constant target": (column("y", "2.5"), ["data.target=y"], ["column y", "2.5 in every row"]),
    "target all missing": (column("y", ""), ["data.target=y"], ["column y", "every cell of the target is empty"]),
    "text where numbers are declared": (
        changed(18, "46,many,red,117.5"), ["data.types={rooms: number}"],
        ["row 17 (line 18), column rooms", "expected a number", "'many'"],
    ),
    "duplicate columns": (changed(1, "area,area,colour,price"), [], ["area"]),
    "infinities": (changed(3, "inf,2,blue,101.5"), [], ["row 2 (line 3), column area", "inf"]),
    "one class only": (column("y", "yes"), ["data.target=y"], ["column y", "every row is of the class 'yes'"]),
    "empty file": ("", [], ["house.csv"]),
    "header only": ("area,price\n", [], ["house.csv", "row"]),
    "wrong encoding": (
        GOOD.replace("red", "rouge fonc\u00e9").encode("latin-1"), [], ["house.csv", "data.encoding"]
    ),
    "identifiers": (column("id", lambda row: f"n{row}"), ["data.target=price"], ["column id", "data.exclude=[id]"]),
    "missing cells": (changed(5, ",4,red,103.5"), [], ["row 4 (line 5), column area", "data.missing=impute"]),
    "no path": (GOOD, ["data.path=null"], ["data.path", "data.path=house.csv"]),
    "no row left to train on": (GOOD, ["data.num_test=40"], ["data.num_test", "no row is left to train on: 40 rows"]),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_table_is_refused_and_leaves_nothing_behind(what, tmp_path, monkeypatch, capsys):
    content, words, parts = BAD[what]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("house.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["train", *FEW, "data=csv", "data.path=house.csv", *words]) == 2
    said = capsys.readouterr().err
    for part in parts:
        assert part in said
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == (["house.csv"] if content is not None else [])


def test_ten_rows_are_all_for_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("house.csv").write_text("".join(GOOD.splitlines(keepends=True)[:11]))
    assert main(["train", *FEW, "data=csv", "data.path=house.csv", "hydra.run.dir=run"]) == 0
    said = capsys.readouterr().out
    assert "10 train rows" in said
    assert "fewer than 20 rows are not split: all 10 are for training" in said
