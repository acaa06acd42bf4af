import json
import math
import os
import time

import pytest

from nnlab.durable import write_atomic
from nnlab.folder import JSON_LIMIT, FolderError, claim_folder, make_folder, member_name, read_json, write_json
from nnlab.metrics_file import TableFile, read_metrics

MOMENT = time.struct_time((2026, 11, 22, 13, 5, 9, 6, 326, 0))


def test_make_folder_in_the_same_second_gives_numbered_folders(tmp_path):
    names = [make_folder(tmp_path / "rings", MOMENT).name for _ in range(3)]
    assert names == ["2026-11-22_13-05-09", "2026-11-22_13-05-09_2", "2026-11-22_13-05-09_3"]


def test_make_folder_under_a_file_is_refused_naming_it(tmp_path):
    (tmp_path / "outputs").write_text("")
    with pytest.raises(FolderError, match="outputs"):
        make_folder(tmp_path / "outputs" / "rings", MOMENT)
    with pytest.raises(FolderError, match="a file of that name is in the way"):
        make_folder(tmp_path / "outputs", MOMENT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_make_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FolderError, match=r"cannot write .* hydra\.run\.dir"):
        make_folder(tmp_path / "rings", MOMENT)


def test_folder_that_holds_a_run_is_refused_naming_resume(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(FolderError, match=f"nnlab resume {tmp_path}"):
        claim_folder(tmp_path)


def test_folder_on_a_file_system_that_refuses_is_refused():
    with pytest.raises(FolderError, match="cannot write to /proc/nnlab"):
        claim_folder(__import__("pathlib").Path("/proc/nnlab"))


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "3"),
        (["optim=sgd", "seed=1"], "3_optim=sgd,seed=1"),
        (["data.path=/a/b/../c"], "3_data.path=-a-b-..-c"),
        (["model.widths=[3,4]"], "3_model.widths=-3,4"),
        (["x=" + "a" * 300], "3_x=" + "a" * 60),
        (["näme=ünï"], "3_näme=ünï"),
        (["a=*?<>|:\"'\\\n\t $"], "3_a"),
    ],
)
def test_member_name_is_short_and_legal(overrides, name):
    made = member_name(3, overrides)
    assert made == name
    assert len(made) <= 64
    assert not set(made) & set('/\\:*?"<>|\n')


def test_write_atomic_replaces_whole_and_leaves_no_temporary_file(tmp_path):
    path = tmp_path / "a.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_write_atomic_that_fails_keeps_the_old_content(tmp_path):
    path = tmp_path / "a"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(OSError, match="directory"):
        write_atomic(path, b"new")
    assert os.listdir(tmp_path) == ["a"]


def test_write_json_turns_numbers_that_json_lacks_into_null(tmp_path):
    write_json(tmp_path / "a.json", {"nan": math.nan, "list": [math.inf, 1.5], 3: (1, "ü")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"nan": None, "list": [None, 1.5], "3": [1, "ü"]}


@pytest.mark.parametrize(("content", "words"), [(None, "is missing"), ("{", "cannot be read"), ("[1]", "JSON object")])
def test_read_json_names_the_file_that_is_missing_or_damaged(content, words, tmp_path):
    path = tmp_path / "run.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FolderError, match=words) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 10**6, '{"a":' * 10**5])
def test_read_json_that_is_nested_too_deeply_is_refused(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(FolderError, match=r"run\.json cannot be read: its lists and objects are nested too deeply"):
        read_json(tmp_path / "run.json")


def test_read_json_above_its_limit_is_refused_unread(tmp_path):
    path = tmp_path / "run.json"
    path.touch()
    os.truncate(path, JSON_LIMIT + 1)
    with pytest.raises(FolderError, match=r"run\.json has 67,108,865 bytes"):
        read_json(path)
    path.write_text("{}" + " " * 1000)
    os.truncate(path, JSON_LIMIT)  # read, and found to be no JSON
    with pytest.raises(FolderError, match=r"run\.json cannot be read"):
        read_json(path)


@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "folder"])
def test_read_json_of_what_is_no_plain_file_is_refused_at_once(kind, tmp_path):
    path = tmp_path / "run.json"
    if kind.startswith("link"):
        path.symlink_to(tmp_path / "other.json")
        if kind == "link":
            (tmp_path / "other.json").write_text("{}")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(FolderError, match=r"run\.json is not a plain file"):
        read_json(path)


def test_metrics_file_holds_floats_that_read_back_exactly(tmp_path):
    file = TableFile(tmp_path / "metrics.csv")
    rows = [{"epoch": 1, "train/loss": 0.1 + 0.2, "x": 1e-300}, {"epoch": 2, "train/loss": math.nan, "x": 1 / 3}]
    for row in rows:
        file.append(row)
    file.flush()
    text = (tmp_path / "metrics.csv").read_text().splitlines()
    assert text[:2] == ["epoch,train/loss,x", "1,0.30000000000000004,1e-300"]
    read = read_metrics(tmp_path / "metrics.csv")
    assert read[0] == rows[0]
    assert math.isnan(read[1]["train/loss"])


def test_metrics_with_a_torn_last_line_are_read_without_it(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,train/loss\n1,0.5\n2,0.2")
    assert read_metrics(tmp_path / "metrics.csv") == [{"epoch": 1.0, "train/loss": 0.5}]
