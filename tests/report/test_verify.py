"""`nnlab verify` on a real run: whole, damaged, no run at all."""

import os
import re
import shutil
from pathlib import Path

import pytest

from nnlab.cli import main
from nnlab.lock import RunLock


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small run, made once; tests work on copies."""
    work = tmp_path_factory.mktemp("work")
    before = os.getcwd()
    os.chdir(work)
    try:
        words = ["data=celsius", "trainer.max_epochs=2", "trainer.threads=1", "logger=[]", "hydra.run.dir=run"]
        assert main(["train", *words]) == 0
    finally:
        os.chdir(before)
    return work / "run"


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def verify(capsys):
    def verify(*words):
        code = main(["verify", *map(str, words)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, printed.out.splitlines(), printed.err

    return verify


def sizes(folder):
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def test_whole_run_ends_with_0_and_a_summary(run, verify):
    code, (line,), errors = verify(run)
    assert (code, errors) == (0, "")
    assert line.startswith(f"{len(sizes(run))} files, ")
    assert line.endswith(": whole")
    size = float(re.search(r", ([\d.]+) kB:", line)[1]) * 1000
    assert size == pytest.approx(sum(sizes(run)), rel=0.01)


def test_damage_ends_with_1_and_names_each_file(run, verify):
    content = (run / "run.json").read_bytes()
    (run / "run.json").write_bytes(content.replace(b'"seed": 0', b'"seed": 1'))
    (run / "preprocessing.json").unlink()
    (run / "metrics.csv").write_bytes((run / "metrics.csv").read_bytes()[:-3])
    (run / "arrays" / "mine.txt").write_text("")
    code, lines, _ = verify(run)
    assert code == 1
    assert [line.split(": ")[:2] for line in lines[:-1]] == [
        ["arrays/mine.txt", "extra"],
        ["metrics.csv", "damaged"],
        ["preprocessing.json", "missing"],
        ["run.json", "damaged"],
    ]
    assert "SHA-256 differs" in lines[3]
    assert re.search(r"it has \d+ bytes, and \d+ in the manifest", lines[1])
    assert lines[-1].endswith(": 2 damaged, 1 missing, 1 not in the manifest")


def test_run_that_lost_its_run_json_is_damaged_not_absent(run, verify):
    (run / "run.json").unlink()
    code, lines, _ = verify(run)
    assert code == 1
    assert lines[0].startswith("run.json: missing: ")


def test_run_without_manifest_cannot_be_called_whole(run, verify):
    (run / "manifest.json").unlink()
    code, lines, _ = verify(run)
    assert code == 1
    assert lines[0].startswith("manifest.json: missing: there is none")


def test_files_beside_the_manifest_are_no_damage_and_few_are_named(run, verify):
    for number in range(25):
        (run / f"mine{number}").touch()
    with RunLock(run):
        code, lines, _ = verify(run)
    assert code == 0
    assert len(lines) == 12
    assert lines[-2] == "and 15 more that the manifest does not know"
    assert lines[-1].endswith(": whole, 25 not in the manifest (a process works on this run)")


def test_sweep_is_checked_member_by_member(run, tmp_path, verify):
    for name in ("0_seed=0", "10_seed=2", "2_seed=1"):
        shutil.copytree(run, tmp_path / "sweep" / name)
    (tmp_path / "sweep" / "figures").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").touch()
    (tmp_path / "sweep" / "3_link").symlink_to(run)
    code, lines, _ = verify(tmp_path / "sweep")
    assert code == 0
    assert [line.split(":")[0] for line in lines[:-1]] == ["0_seed=0", "2_seed=1", "10_seed=2"]
    assert lines[-1].startswith(f"3 runs, {3 * len(sizes(run))} files, ")
    assert lines[-1].endswith(": whole")
    (tmp_path / "sweep" / "2_seed=1" / "result.json").write_text("{}")
    code, lines, _ = verify(tmp_path / "sweep")
    assert code == 1
    assert lines[1].endswith(": 1 damaged")
    assert lines[2].startswith("  result.json: damaged: ")
    assert lines[-1].endswith(": 1 damaged")


def test_names_from_the_folder_cannot_drive_the_terminal(run, tmp_path, verify):
    (run / "a\x1b[2Jb\n\u202ec").touch()
    shutil.copytree(run, tmp_path / "sweep" / "0_\x1b]0;title\x07")
    for folder in (run, tmp_path / "sweep"):
        code, lines, _ = verify(folder)
        assert code == 0
        assert all(line.isprintable() for line in lines)
        assert any(r"a\x1b[2Jb\n\u202ec: extra" in line for line in lines)


@pytest.mark.parametrize("kind", ["nothing", "file", "empty folder", "link to nothing"])
def test_what_is_no_run_ends_with_2(kind, tmp_path, verify):
    path = tmp_path / "x"
    if kind == "file":
        path.touch()
    elif kind == "empty folder":
        path.mkdir()
    elif kind != "nothing":
        path.symlink_to("elsewhere")
    code, lines, errors = verify(path)
    assert (code, lines) == (2, [])
    assert str(path) in errors


@pytest.mark.parametrize("words", [[], ["a", "b"], ["--fast", "a"]])
def test_wrong_words_end_with_2(words, verify):
    code, lines, errors = verify(*words)
    assert (code, lines) == (2, [])
    assert errors.startswith("nnlab verify: ")


def test_verifying_changes_nothing(run, verify):
    before = {path: path.lstat().st_mtime_ns for path in [run, *run.rglob("*")]}
    verify(run)
    assert {path: path.lstat().st_mtime_ns for path in [run, *run.rglob("*")]} == before
