"""Tables whose rows stay on disk are the data sets that they would be in memory; the cache that they lie in."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from pyarrow import feather, parquet

from nnlab.command import composed
from nnlab.data.stream import cache, streaming
from nnlab.rows import build_data, fingerprint

NUM_ROWS = 3000


def frame(seed=0, num_rows=NUM_ROWS):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_rows, 2))
    return pandas.DataFrame(
        {
            "x": x[:, 0],
            "y": x[:, 1].astype(np.float32),
            "count": rng.integers(0, 9, num_rows),
            "colour": rng.choice(["red", "blue", "green"], num_rows),
            "open": rng.random(num_rows) < 0.5,
            "when": pandas.Timestamp("2020-01-01") + pandas.to_timedelta(rng.integers(0, 10**6, num_rows), "s"),
            "shop": rng.integers(0, 30, num_rows).astype(str),
            "c": np.array(["low", "mid", "high"])[np.digitize((x**2).sum(axis=1), [1.0, 3.0])],
            "z": np.tanh(x[:, 0]) + rng.normal(size=num_rows),
            "late": np.maximum(np.arange(num_rows) - 0.7 * num_rows, 0),  # the same in the first rows
        }
    )


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setenv("NNLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    whole = frame()
    holes = whole.copy()
    rng = np.random.default_rng(1)
    holes["open"] = holes["open"].astype(object)
    for name in ("x", "colour", "open", "when"):
        holes.loc[rng.random(len(holes)) < 0.05, name] = None
    whole.to_csv("t.csv", index=False)
    holes.to_csv("holes.csv", index=False)
    whole.to_parquet("t.parquet", index=False, row_group_size=500)
    feather.write_feather(whole, "t.arrow", chunksize=400)
    frame(2, 500).to_csv("valid.csv", index=False)
    (tmp_path / "parts").mkdir()
    for number in range(3):
        whole[number * 1000 : (number + 1) * 1000].to_parquet(f"parts/{number}.parquet", index=False)
    np.savez("t.npz", X=whole[["x", "y", "count"]].to_numpy(), y=whole["z"].to_numpy())
    return tmp_path


def data(*words):
    return build_data(composed([], list(words))[0])


WORDS = {
    "csv": "data=csv data.path=t.csv data.target=c",
    "regression": "data=csv data.path=t.csv data.target=z data.exclude=[c] data.standardize_target=true",
    "several targets": "data=csv data.path=t.csv data.target=[x,z]",
    "binary": "data=csv data.path=t.csv data.target=open",
    "impute": "data=csv data.path=holes.csv data.target=c data.missing=impute",
    "drop": "data=csv data.path=holes.csv data.target=z data.missing=drop",
    "groups": "data=csv data.path=t.csv data.target=c data.split=group data.split_column=shop",
    "time": "data=csv data.path=t.csv data.target=z data.split=time data.split_column=when",
    "files": "data=csv data.path=t.csv data.target=c data.valid_path=valid.csv",
    "folds": "data=csv data.path=t.csv data.target=c data.folds=3 data.fold=1",
    "constant where it is trained on": "data=csv data.path=t.csv data.target=z data.split=order",
    "parquet": "data=parquet data.path=t.parquet data.target=c",
    "parts": "data=parquet data.path=parts data.target=z",
    "arrow": "data=arrow data.path=t.arrow data.target=c",
    "npz": "data=npz data.path=t.npz",
    "scaled": "data=csv data.path=t.csv data.target=z data.features=[x,y] data.input_scale=2",
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_rows_on_disk_are_those_in_memory(words, table, monkeypatch):
    monkeypatch.setattr("nnlab.data.stream.streaming.ROWS_OF_BLOCK", 256)
    monkeypatch.setattr("nnlab.data.table.encoding.ROWS_OF_BLOCK", 256)
    monkeypatch.setattr("nnlab.data.preprocessing._MANY", 256)
    words = words.split()
    held, own = data(*words, "data.streaming=false")
    streamed, seen = data(*words, "data.streaming=true")
    again, _ = data(*words, "data.streaming=true")
    for found in (streamed, again):
        assert (found.task, found.input_names, found.class_names) == (held.task, held.input_names, held.class_names)
        assert found.encoding == held.encoding
        assert found.num_empty == held.num_empty
        assert list(found.splits) == list(held.splits)
        for name, split in held.splits.items():
            other = found.splits[name]
            assert torch.equal(split.inputs, other.inputs)
            assert torch.equal(split.target, other.target)
            assert other.stored is not None
            assert other.inputs.dtype == torch.float32
        assert found.notes[:-1] == held.notes
        assert "rows stay on disk" in found.notes[-1]
        assert fingerprint(found) == fingerprint(held)
    assert seen == own


def test_a_table_is_read_once_and_again_when_anything_about_it_changes(table, monkeypatch):
    made = []
    convert = streaming._convert
    monkeypatch.setattr(streaming, "_convert", lambda key, *rest: (made.append(key), convert(key, *rest)))
    words = ["data=csv", "data.path=t.csv", "data.target=c", "data.streaming=true"]
    data(*words), data(*words)
    assert len(made) == 1
    data(*words, "data.batch_size=7", "data.standardize=false")  # which change nothing of the rows
    os.rename("t.csv", "moved.csv")
    moved, _ = data("data=csv", "data.path=moved.csv", "data.target=c", "data.streaming=true")
    assert len(made) == 1
    assert not any("t.csv" in note for note in moved.notes)
    moved = ["data=csv", "data.path=moved.csv", "data.target=c", "data.streaming=true"]
    for number, word in enumerate(["data.seed=1", "data.exclude=[y]", "data.test_fraction=0.1", "data.fold=1"], 2):
        data(*moved, word, *(["data.folds=3"] if word == "data.fold=1" else []))
        assert len(made) == number
    text = Path("moved.csv").read_text()
    Path("moved.csv").write_text(text.replace("red", "ros", 1))
    data(*moved)
    assert len(made) == 6
    assert len(set(made)) == 6


def test_digest_is_remembered_until_size_or_date_of_a_file_change(table, monkeypatch):
    file = table / "t.csv"
    os.utime(file, (1e9, 1e9))
    first = cache.digest_of(file)
    assert first == hashlib.sha256(file.read_bytes()).hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_BLOCK", None)  # with which nothing can be read
        assert cache.digest_of(file) == first
    file.write_text(file.read_text().replace("red", "ros", 1))
    os.utime(file, (2e9, 2e9))
    assert cache.digest_of(file) == hashlib.sha256(file.read_bytes()).hexdigest() != first


def test_damaged_or_foreign_entries_are_made_anew(table):
    words = ["data=csv", "data.path=t.csv", "data.target=c", "data.streaming=true"]
    held, _ = data(*words[:-1])
    for harm in (
        lambda folder: (folder / "train.inputs").write_bytes(b"short"),
        lambda folder: (folder / "valid.target").unlink(),
        lambda folder: (folder / "meta.json").write_text("{"),
        lambda folder: (folder / "meta.json").unlink(),
    ):
        streamed, _ = data(*words)
        folder = streamed.train.stored.inputs.parent
        del streamed
        harm(folder)
        again, _ = data(*words)
        assert torch.equal(again.train.inputs, held.train.inputs)


def test_what_is_half_made_is_never_seen_and_swept_later(table, monkeypatch):
    def broken(folder, *rest):
        (folder / "train.inputs").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    words = ["data=csv", "data.path=t.csv", "data.target=c", "data.streaming=true"]
    with monkeypatch.context() as patch:
        patch.setattr(streaming, "_write", broken)
        with pytest.raises(
            ValueError, match=r"data\.streaming: .* cannot be kept in .*: No space left on device; NNLAB"
        ):
            data(*words)
    assert not [file for file in cache.rows_folder().iterdir() if file.name != "digests"]
    stale, fresh = (cache.rows_folder() / f".making-{name}" for name in ("old", "new"))
    for folder in (stale, fresh):
        folder.mkdir()
    os.utime(stale, (time.time() - 90_000,) * 2)
    data(*words)
    assert not stale.exists()
    assert fresh.exists()


KILLED = """
import os, signal
from nnlab.command import composed
from nnlab.data.stream import streaming
from nnlab.rows import build_data
write = streaming._Writer.write
def killed(self, split, *rest):
    if split == "valid":
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, split, *rest)
streaming._Writer.write = killed
build_data(composed([], ["data=csv", "data.path=t.csv", "data.target=c", "data.streaming=true"])[0])
"""


def test_killed_while_it_writes_leaves_nothing_that_is_taken_for_whole(table):
    ended = subprocess.run([sys.executable, "-c", KILLED], check=False, timeout=120)
    assert ended.returncode == -9
    words = ["data=csv", "data.path=t.csv", "data.target=c"]
    streamed, held = data(*words, "data.streaming=true")[0], data(*words)[0]
    assert torch.equal(streamed.valid.inputs, held.valid.inputs)


def test_two_processes_make_the_same_rows_at_once(table):
    words = ["data=csv", "data.path=t.csv", "data.target=c", "data.streaming=true"]
    script = (
        f"from nnlab.command import composed; from nnlab.rows import build_data\nbuild_data(composed([], {words})[0])"
    )
    both = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    entries = [file for file in cache.rows_folder().iterdir() if file.name != "digests"]
    assert len(entries) == 1
    assert json.loads((entries[0] / "meta.json").read_text())["fingerprint"]


def test_auto_goes_by_the_size_of_the_files(table, monkeypatch):
    words = ["data=parquet", "data.path=parts", "data.target=z"]
    assert not data(*words)[0].is_streamed
    size = sum(file.stat().st_size for file in Path("parts").iterdir())
    monkeypatch.setattr(streaming, "AUTO_BYTES", size)
    assert not data(*words)[0].is_streamed
    monkeypatch.setattr(streaming, "AUTO_BYTES", size - 1)
    assert data(*words)[0].is_streamed
    assert not data(*words, "data.streaming=false")[0].is_streamed


WRONG = {
    "data.streaming=maybe": "data.streaming: expected auto, true or false, found 'maybe'",
    "data.streaming=true data.sample_weight=z": "data.sample_weight: rows that stay on disk have no weights",
    "data.streaming=true data.path=none.csv": "none.csv",
    "data.streaming=true data.exclude=[nothing]": "nothing",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_keys_are_refused_and_leave_no_rows(words, table):
    with pytest.raises(ValueError, match=WRONG[words].replace(".", r"\.")):
        data("data=csv", "data.path=t.csv", "data.target=c", *words.split())
    folder = cache.rows_folder()
    assert not folder.exists() or not [file for file in folder.iterdir() if file.name != "digests"]


def test_wrong_cell_far_down_is_named_with_its_row(table):
    lines = Path("t.csv").read_text().splitlines()
    cells = lines[2500].split(",")
    lines[2500] = ",".join(["inf", *cells[1:]])
    Path("t.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"row 2,500 \(line 2,501\), column x: expected a number within"):
        data("data=csv", "data.path=t.csv", "data.target=c", "data.streaming=true")


def test_sample_of_rows_on_disk_is_in_memory_and_from_everywhere(table):
    streamed, _ = data("data=parquet", "data.path=t.parquet", "data.target=z", "data.streaming=true")
    some = streamed.sample(200)
    assert {name: len(split) for name, split in some.splits.items()} == {"train": 200, "valid": 200, "test": 200}
    ends = torch.cat([streamed.train.inputs[:100], streamed.train.inputs[-100:]])
    assert torch.equal(some.train.inputs, ends)
    assert some.train.stored is None
    assert not some.is_streamed
    whole = streamed.sample(10**6)
    assert torch.equal(whole.valid.inputs, streamed.valid.inputs)


def test_text_that_is_numbered_anew_in_each_part_is_the_same_text(table):
    """Dictionaries of Parquet's row groups and Arrow's batches number their texts each on their own."""
    whole = frame()
    whole["colour"] = pandas.Categorical(whole["colour"])
    parquet.write_table(__import__("pyarrow").Table.from_pandas(whole), "d.parquet", row_group_size=100)
    words = ["data=parquet", "data.path=d.parquet", "data.target=c"]
    held, streamed = data(*words)[0], data(*words, "data.streaming=true")[0]
    assert torch.equal(held.train.inputs, streamed.train.inputs)
    assert held.encoding == streamed.encoding
